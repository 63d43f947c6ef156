"""What refused clients are told: RFC 6750 and THREATS A28."""

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.auth.refusals import Refusal, compile_refusals
from lbjwt.errors import ConfigurationError

ALL = compile_refusals("api", required_scopes=("read", "write"), retry_after=7)


def fields(refusal: Refusal) -> dict[str, str]:
    """The fields as a dictionary, after a look at their form."""
    text = refusal.fields.decode("ascii")
    assert text.endswith("\r\n")
    assert "\r\n\r\n" not in text
    parsed = dict(line.split(": ", 1) for line in text[:-2].split("\r\n"))
    assert parsed["Content-Length"] == str(len(refusal.body))
    assert len(parsed) == 4
    return parsed


@pytest.mark.parametrize(
    ("reason", "status", "challenge"),
    [
        (DenyReason.MISSING, 401, 'Bearer realm="api"'),
        (DenyReason.MULTIPLE_TOKENS, 400, 'Bearer realm="api", error="invalid_request"'),
        (DenyReason.MALFORMED_CREDENTIALS, 400, 'Bearer realm="api", error="invalid_request"'),
        (DenyReason.INSUFFICIENT_SCOPE, 403, 'Bearer realm="api", error="insufficient_scope", scope="read write"'),
        (DenyReason.EXPIRED, 401, 'Bearer realm="api", error="invalid_token"'),
        (DenyReason.INTERNAL, 401, 'Bearer realm="api", error="invalid_token"'),
    ],
)
def test_challenges(reason: DenyReason, status: int, challenge: str):
    """Status and WWW-Authenticate of RFC 6750 section 3."""
    assert ALL[reason].status == status
    assert fields(ALL[reason])["WWW-Authenticate"] == challenge


def test_keys_unavailable_is_a_503_with_retry_after():
    """It is our fault and passes: no challenge, a time to come back."""
    refusal = ALL[DenyReason.KEYS_UNAVAILABLE]
    assert refusal.status == 503
    assert fields(refusal)["Retry-After"] == "7"


def test_a28_all_bad_tokens_look_alike():
    """Every reason has an answer, there are four bodies, and bad tokens of any kind get one and the same."""
    assert len(ALL) == len(DenyReason) == max(DenyReason) + 1
    assert len({refusal.body for refusal in ALL}) == 4
    own_shape = {
        DenyReason.MISSING,
        DenyReason.MULTIPLE_TOKENS,
        DenyReason.MALFORMED_CREDENTIALS,
        DenyReason.INSUFFICIENT_SCOPE,
        DenyReason.KEYS_UNAVAILABLE,
    }
    assert len({ALL[reason] for reason in DenyReason if reason not in own_shape}) == 1
    assert all(refusal.status >= 400 and b"token" not in refusal.body for refusal in ALL)


def test_realms_are_quoted():
    """Quotes and backslashes are escaped; what cannot stand in a header cannot be configured."""
    assert fields(compile_refusals('a"b\\c')[1])["WWW-Authenticate"] == 'Bearer realm="a\\"b\\\\c"'
    for realm in ("a\r\nb", "\x00", "é", "\t"):
        with pytest.raises(ConfigurationError):
            compile_refusals(realm)
    assert (
        "scope"
        not in fields(compile_refusals()[DenyReason.INSUFFICIENT_SCOPE])["WWW-Authenticate"].split(
            "insufficient_scope"
        )[1]
    )
