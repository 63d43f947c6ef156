"""Issuers with a tenant in their name: THREATS C7 and C15."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import ConfigurationError
from tests.unit.auth_tokens import NOW, SECRET, claims, judged, token

TEMPLATE = "https://login.example/{tenant}/v2.0"
UUID = "0b5e7a1c-93d4-4f11-8a3e-1f0c2d3e4f50"


def verifier(**pattern: Any) -> Verifier:
    """A verifier of the tokens of every tenant of a pattern."""
    return Verifier.from_secret(
        SECRET,
        algorithms=["HS256"],
        issuer=IssuerPattern(**({"template": TEMPLATE} | pattern)),
        audiences=["api"],
    )


def reason(one: Verifier, issuer: Any, **changes: Any) -> str:
    """What the verifier says of a token of that issuer."""
    return judged(one.verify(token(claims(iss=issuer, **changes)), NOW))


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("https://login.example/acme/v2.0", "NONE"),
        ("https://login.example/b.example/v2.0", "NONE"),
        ("https://login.example/Acme/v2.0", "WRONG_ISSUER"),
        ("https://login.example/acme/v2.0/", "WRONG_ISSUER"),
        ("https://login.example/acme/v1.0", "WRONG_ISSUER"),
        ("https://login.example/acme/v2X0", "WRONG_ISSUER"),
        ("https://login.example/acm/v2.0", "WRONG_ISSUER"),
        ("https://login.example//v2.0", "WRONG_ISSUER"),
        ("https://login.example/v2.0", "WRONG_ISSUER"),
        ("https://login.example/acme/b.example/v2.0", "WRONG_ISSUER"),
        ("https://login.example/{tenant}/v2.0", "WRONG_ISSUER"),
        ("https://login.example/bXexample/v2.0", "WRONG_ISSUER"),
        ("https://loginXexample/acme/v2.0", "WRONG_ISSUER"),
        ("", "WRONG_ISSUER"),
        (None, "MISSING_CLAIM"),
        (["https://login.example/acme/v2.0"], "INVALID_CLAIM"),
    ],
)
def test_c7_listed_tenants_are_exact(issuer: Any, expected: str):
    """The issuer is one of as many exact texts as there are tenants; a dot in either is a dot."""
    assert reason(verifier(tenants=("acme", "b.example")), issuer) == expected


@pytest.mark.parametrize(
    "issuer",
    [
        "https://login.example/acme/v2.0/",
        "https://login.example/acme/v1.0",
        "https://login.example/acme/v2X0",
        "https://login.example/acme/V2.0",
        "https://login.example/acme",
        "https://login.example/v2.0",
        "https://login.evil.com/acme/v2.0",
        "http://login.example/acme/v2.0",
        "xhttps://login.example/acme/v2.0",
        "https://login.example.evil/acme/v2.0",
        "https://login.example/acme/acme/v2.0",
        "",
    ],
)
def test_c7_the_text_around_a_tenant_is_exact(issuer: str):
    """A tenant of a class may vary, and not one character before or after it."""
    one = verifier(tenant_class="name")
    assert reason(one, issuer) == "WRONG_ISSUER"
    assert reason(one, "https://login.example/acme/v2.0") == "NONE"


@pytest.mark.parametrize(
    ("tenant_class", "good", "bad"),
    [
        ("digits", ["0", "42"], ["a", "4a", "-1", "４２", "٣"]),
        ("hex", ["0a", "ff"], ["FF", "g", "0-a"]),
        ("uuid", [UUID], [UUID.upper(), UUID[:-1], UUID + "0", UUID.replace("-", ""), "-" * 36, UUID[:-2] + "\n0"]),
        ("alphanumeric", ["a", "Z9"], ["a-b", "a_b", "é", "a.b"]),
        ("name", ["a", "us-east-1_Ab3"], ["a.b", "a/b", "a%2fb", "a b", "a@b", "..", "a:b", "a\n", "a\x00", "\u0430"]),
    ],
)
def test_c15_classes_are_closed(tenant_class: str, good: list[str], bad: list[str]):
    """A tenant is made of the characters of its class and of no other, whatever stands around them."""
    one = verifier(tenant_class=tenant_class)
    for tenant in good:
        assert reason(one, f"https://login.example/{tenant}/v2.0") == "NONE"
    for tenant in [*bad, ""]:
        assert reason(one, f"https://login.example/{tenant}/v2.0") == "WRONG_ISSUER"


def test_the_length_of_a_tenant_is_exact():
    """64 characters unless said otherwise."""
    for options, longest in (({}, 64), ({"max_length": 8}, 8)):
        one = verifier(tenant_class="name", **options)
        assert reason(one, f"https://login.example/{'a' * longest}/v2.0") == "NONE"
        assert reason(one, f"https://login.example/{'a' * (longest + 1)}/v2.0") == "WRONG_ISSUER"


def test_tenants_of_a_class_are_bounded_in_number():
    """The first ones stay, a further one is refused, cached or not, and refused tokens take nobody's place."""
    one = verifier(tenant_class="name", max_tenants=2)
    for number in range(50):
        issuer = f"https://login.example/evil-{number}/v2.0"
        assert judged(one.verify(token(claims(iss=issuer), key=b"x" * 32), NOW)) == "BAD_SIGNATURE"
        assert reason(one, issuer, exp=5) == "EXPIRED"
        assert reason(one, issuer, aud="other") == "WRONG_AUDIENCE"
    for tenant in ("a", "b", "a"):
        assert reason(one, f"https://login.example/{tenant}/v2.0") == "NONE"
    for _ in range(2):
        assert reason(one, "https://login.example/c/v2.0") == "WRONG_ISSUER"
    for tenant in ("a", "b"):
        one.gate.cache.clear()
        assert reason(one, f"https://login.example/{tenant}/v2.0", jti="new") == "NONE"


def test_a_grant_names_the_tenant_that_it_is_of():
    """Each tenant's tokens carry the whole issuer, in one object for all of them."""
    one = verifier(tenant_class="name")
    for tenant in ("a", "b"):
        grants = [
            one.verify(token(claims(iss=f"https://login.example/{tenant}/v2.0", jti=jti)), NOW).grant for jti in "xy"
        ]
        assert grants[0] is not None and grants[1] is not None
        assert grants[0].issuer == f"https://login.example/{tenant}/v2.0"
        assert grants[0].issuer is grants[1].issuer


def test_a_pattern_reads_what_it_writes():
    """issuer_of and tenant_of are each other's inverse, also where the tenant is part of the host or ends the text."""
    for template in (TEMPLATE, "https://{tenant}.login.example/", "https://login.example/{tenant}"):
        pattern = IssuerPattern(template=template, tenant_class="name")
        assert pattern.tenant_of(pattern.issuer_of("acme")) == "acme"
        assert pattern.tenant_of(pattern.issuer_of("")) is None
        assert pattern.tenant_of(pattern.issuer_of("acme") + " ") is None
        assert pattern.tenant_of(" " + pattern.issuer_of("acme")) is None
    overlapping = IssuerPattern(template="aba{tenant}aba", tenant_class="name")
    assert overlapping.tenant_of("aba") is None
    assert overlapping.tenant_of("ababa") is None
    assert overlapping.tenant_of("abaxaba") == "x"


@given(st.text(alphabet="htps:/login.exampe2v0ab{}%@\\", max_size=50))
def test_c7_only_what_the_pattern_writes_is_read(issuer: str):
    """Whatever text is taken for an issuer of the pattern is exactly what the pattern writes for that tenant."""
    pattern = IssuerPattern(template="http://{tenant}/2", tenant_class="alphanumeric")
    for text in (issuer, f"http://{issuer}/2"):
        tenant = pattern.tenant_of(text)
        assert tenant is None or pattern.issuer_of(tenant) == text
    assert (pattern.tenant_of(f"http://{issuer}/2") is not None) == (issuer.isascii() and issuer.isalnum())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tenants": ("a",), "tenant_class": "name"},
        {"tenants": ()},
        {"tenants": ("",)},
        {"tenants": ("a/b",)},
        {"tenants": ("..",)},
        {"tenants": ("a\n",)},
        {"tenants": ("a", "a")},
        {"tenants": ("x" * 256,)},
        {"tenant_class": "regex"},
        {"tenant_class": "[a-z]+"},
        {"tenant_class": "name", "max_length": 0},
        {"tenant_class": "name", "max_length": 256},
        {"tenant_class": "name", "max_tenants": 0},
        {"tenant_class": "name", "max_tenants": 100_001},
        {"tenant_class": "name", "template": "https://login.example/"},
        {"tenant_class": "name", "template": "{tenant}"},
        {"tenant_class": "name", "template": "https://{tenant}/{tenant}"},
        {"tenant_class": "name", "template": "https://{host}/{tenant}"},
        {"tenant_class": "name", "template": ""},
    ],
)
def test_impossible_patterns_cannot_be_made(options: dict[str, Any]):
    """One place for the tenant, one way of saying who may stand there."""
    with pytest.raises(ConfigurationError):
        IssuerPattern(**({"template": TEMPLATE} | options))
