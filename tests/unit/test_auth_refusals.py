"""What refused clients are told: RFC 6750, RFC 9457, RFC 9728, gRPC, and THREATS A28."""

import json
from http import HTTPStatus

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.auth.refusals import RefusalStyle, compile_refusals, grpc_refusals, is_curable, status_of
from lbjwt.errors import ConfigurationError
from lbjwt.http1._answer import Answer

ALL = compile_refusals("api", RefusalStyle(scopes=("read", "write")))
NO_REQUEST = {DenyReason.MULTIPLE_TOKENS, DenyReason.MALFORMED_CREDENTIALS}
NOT_ENOUGH = {
    DenyReason.INSUFFICIENT_SCOPE,
    DenyReason.CLAIM_REFUSED,
    DenyReason.SUBJECT_REFUSED,
    DenyReason.CLIENT_REFUSED,
    DenyReason.NO_CLUSTER,
}
UNJUDGED = {DenyReason.RATE_LIMITED, DenyReason.KEYS_UNAVAILABLE}
NO_GOOD = set(DenyReason) - NO_REQUEST - NOT_ENOUGH - UNJUDGED - {DenyReason.MISSING, DenyReason.NONE}
STYLES = [
    RefusalStyle(),
    RefusalStyle(json=True),
    RefusalStyle(scopes=("a", "b"), resource_metadata="https://api.example/.well-known/oauth-protected-resource"),
    RefusalStyle(json=True, statuses={401: 404, 403: 404, 400: 418, 503: 502, 429: 403}),
    RefusalStyle(statuses={400: 401, 403: 401}),
]


def fields(refusal: Answer) -> dict[str, str]:
    """The fields as a dictionary, after a look at their form."""
    text = refusal.head.decode("ascii")
    assert text.endswith("\r\n")
    assert "\r\n\r\n" not in text
    lines = text[:-2].split("\r\n")[1:]
    parsed = dict(line.split(": ", 1) for line in lines)
    assert len(parsed) == len(lines)
    assert parsed["Content-Length"] == str(len(refusal.body))
    assert parsed["Cache-Control"] == "no-store"
    return parsed


@pytest.mark.parametrize(
    ("reason", "status", "challenge"),
    [
        (DenyReason.MISSING, 401, 'Bearer realm="api"'),
        (DenyReason.MULTIPLE_TOKENS, 400, 'Bearer realm="api", error="invalid_request"'),
        (DenyReason.MALFORMED_CREDENTIALS, 400, 'Bearer realm="api", error="invalid_request"'),
        (DenyReason.INSUFFICIENT_SCOPE, 403, 'Bearer realm="api", error="insufficient_scope", scope="read write"'),
        (DenyReason.CLAIM_REFUSED, 403, 'Bearer realm="api", error="insufficient_scope", scope="read write"'),
        (DenyReason.SUBJECT_REFUSED, 403, 'Bearer realm="api", error="insufficient_scope", scope="read write"'),
        (DenyReason.CLIENT_REFUSED, 403, 'Bearer realm="api", error="insufficient_scope", scope="read write"'),
        (DenyReason.NO_CLUSTER, 403, 'Bearer realm="api", error="insufficient_scope", scope="read write"'),
        (DenyReason.EXPIRED, 401, 'Bearer realm="api", error="invalid_token"'),
        (DenyReason.REVOKED, 401, 'Bearer realm="api", error="invalid_token"'),
        (DenyReason.TOO_OLD, 401, 'Bearer realm="api", error="invalid_token"'),
        (DenyReason.WRONG_TYPE, 401, 'Bearer realm="api", error="invalid_token"'),
        (DenyReason.INTERNAL, 401, 'Bearer realm="api", error="invalid_token"'),
    ],
)
def test_challenges(reason: DenyReason, status: int, challenge: str):
    """Status and WWW-Authenticate of RFC 6750 section 3."""
    assert ALL[reason].status == status == status_of(reason)
    assert fields(ALL[reason])["WWW-Authenticate"] == challenge
    assert len(fields(ALL[reason])) == 5


@pytest.mark.parametrize(("reason", "status"), [(DenyReason.KEYS_UNAVAILABLE, 503), (DenyReason.RATE_LIMITED, 429)])
def test_what_judges_no_token_says_when_to_come_back(reason: DenyReason, status: int):
    """No challenge: another token would not help, time does."""
    refusal = ALL[reason]
    assert refusal.status == status == status_of(reason)
    assert fields(refusal)["Retry-After"] == "5"
    assert "WWW-Authenticate" not in fields(refusal)


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_a28_of_a_judged_token_four_things_can_be_learned(style: RefusalStyle):
    """Every reason has an answer; those about a token have four shapes at most, and all bad tokens get one and the same."""
    every = [(refusal.head, refusal.body) for refusal in compile_refusals("api", style)]
    assert len(every) == len(DenyReason) == max(DenyReason) + 1
    judged = {every[reason] for reason in DenyReason if reason not in UNJUDGED}
    assert len(judged) <= 4
    for alike in (NO_REQUEST, NOT_ENOUGH, NO_GOOD):
        assert len({every[reason] for reason in alike}) == 1, alike
    assert every[DenyReason.NONE] == every[DenyReason.INTERNAL]
    assert all(head[9:12] >= b"400" and b"token" not in body for head, body in every)


def test_a28_the_two_other_answers_tell_nothing_of_the_token():
    """Too many failures from an address, and no keys: one fixed answer each, without a word on what came."""
    assert {reason for reason in DenyReason if status_of(reason) in (429, 503)} == UNJUDGED
    for style in STYLES:
        for reason in UNJUDGED:
            assert b"Bearer" not in compile_refusals("api", style)[reason].head


def test_a28_grpc_callers_learn_no_more():
    """Their answers have the same four shapes, and the two others."""
    every = [refusal.head for refusal in grpc_refusals()]
    assert (
        len({every[reason] for reason in DenyReason if reason not in UNJUDGED}) == 3
    )  # no challenge: missing is no good
    assert len(set(every)) == 5


def test_realms_are_quoted():
    """Quotes and backslashes are escaped; what cannot stand in a header cannot be configured."""
    assert fields(compile_refusals('a"b\\c')[1])["WWW-Authenticate"] == 'Bearer realm="a\\"b\\\\c"'
    for realm in ("a\r\nb", "\x00", "é", "\t"):
        with pytest.raises(ConfigurationError):
            compile_refusals(realm)
    assert fields(compile_refusals()[DenyReason.INSUFFICIENT_SCOPE])["WWW-Authenticate"].endswith(
        'error="insufficient_scope"'
    )


@pytest.mark.parametrize("reason", [*DenyReason][1:], ids=lambda reason: reason.name)
def test_json_refusals_are_problem_documents(reason: DenyReason):
    """RFC 9457: type, title and status, and nothing else unless reasons are exposed."""
    refusal = compile_refusals("api", RefusalStyle(json=True))[reason]
    assert fields(refusal)["Content-Type"] == "application/problem+json"
    assert json.loads(refusal.body) == {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
    }
    exposed = compile_refusals("api", RefusalStyle(json=True, expose_reason=True))[reason]
    assert json.loads(exposed.body) == {**json.loads(refusal.body), "reason": reason.name.lower()}


def test_exposed_reasons_stand_in_the_challenge():
    """The name of the reason and nothing else; not where no token came (RFC 6750 section 3), and nowhere in the text."""
    every = compile_refusals("api", RefusalStyle(expose_reason=True, scopes=("a",)))
    for reason in set(DenyReason) - UNJUDGED - {DenyReason.MISSING, DenyReason.NONE}:
        assert f', error_description="{reason.name.lower()}"' in fields(every[reason])["WWW-Authenticate"]
    assert fields(every[DenyReason.MISSING])["WWW-Authenticate"] == 'Bearer realm="api"'
    assert fields(every[DenyReason.CLAIM_REFUSED])["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", error_description="claim_refused", scope="a"'
    )
    plain = compile_refusals("api", RefusalStyle(scopes=("a",)))
    assert [refusal.body for refusal in every] == [refusal.body for refusal in plain]
    assert all(b"error_description" not in refusal.head for refusal in plain)


def test_every_challenge_leads_to_the_metadata():
    """RFC 9728 section 5.1: also, and above all, where no token came."""
    url = "https://api.example/.well-known/oauth-protected-resource/x"
    for reason, refusal in enumerate(compile_refusals("api", RefusalStyle(resource_metadata=url))):
        challenge = fields(refusal).get("WWW-Authenticate")
        assert (challenge is None) == (reason in UNJUDGED)
        assert challenge is None or challenge.endswith(f', resource_metadata="{url}"')


def test_a_challenge_goes_with_401_or_the_usual_status():
    """RFC 9110 section 15.5.2: each 401 has one; a status chosen to hide something gets none."""
    every = compile_refusals("api", RefusalStyle(statuses={401: 404, 403: 404, 400: 422}))
    assert {refusal.status for refusal in every} == {404, 422, 429, 503}
    assert all("WWW-Authenticate" not in fields(refusal) for refusal in every)
    every = compile_refusals("api", RefusalStyle(statuses={403: 401, 400: 401, 503: 500}))
    assert {refusal.status for refusal in every} == {401, 429, 500}
    assert all(("WWW-Authenticate" in fields(refusal)) == (refusal.status == 401) for refusal in every)
    assert 'error="insufficient_scope"' in fields(every[DenyReason.INSUFFICIENT_SCOPE])["WWW-Authenticate"]


def test_a_custom_status_has_its_own_words():
    """Text and problem document are those of the status that is sent."""
    style = RefusalStyle(statuses={403: 404})
    assert compile_refusals("api", style)[DenyReason.CLAIM_REFUSED].body == b"not found\n"
    body = compile_refusals("api", RefusalStyle(statuses={403: 404}, json=True))[DenyReason.CLAIM_REFUSED].body
    assert json.loads(body) == {"type": "about:blank", "title": "Not Found", "status": 404}


@pytest.mark.parametrize(
    ("statuses", "complaint"),
    [
        ({401: 200}, "4xx or 5xx"),
        ({401: 302}, "4xx or 5xx"),
        ({401: 399}, "4xx or 5xx"),
        ({403: 600}, "4xx or 5xx"),
        ({403: 499}, "4xx or 5xx"),  # no such status: it has no phrase
        ({403: 405}, "4xx or 5xx"),  # these three need a field of their own
        ({401: 407}, "4xx or 5xx"),
        ({400: 426}, "4xx or 5xx"),
        ({404: 403}, "lbjwt never refuses with status 404"),
        ({200: 403}, "lbjwt never refuses with status 200"),
        ({503: 401}, "503 cannot become 401"),
        ({503: 403}, "503 cannot become 403"),
        ({429: 401}, "429 cannot become 401"),
    ],
)
def test_custom_statuses_stay_refusals(statuses: dict[int, int], complaint: str):
    """Nothing that looks like success, that needs fields we have not got, or that blames a token nobody judged."""
    with pytest.raises(ConfigurationError, match=complaint):
        RefusalStyle(statuses=statuses)


@pytest.mark.parametrize(
    "style",
    [
        {"scopes": ('a"b',)},
        {"scopes": ("a b",)},
        {"scopes": ("",)},
        {"scopes": ("a\\",)},
        {"scopes": ("é",)},
        {"scopes": ("a\r\n",)},
        {"redirect": "//evil.example/"},
    ],
    ids=str,
)
def test_what_cannot_stand_in_a_header_cannot_be_configured(style: dict):
    """Scopes of RFC 6749, templates that are templates."""
    with pytest.raises(ConfigurationError):
        RefusalStyle(**style)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (DenyReason.MISSING, 16),
        (DenyReason.EXPIRED, 16),
        (DenyReason.INTERNAL, 16),
        (DenyReason.NONE, 16),
        (DenyReason.MALFORMED_CREDENTIALS, 3),
        (DenyReason.INSUFFICIENT_SCOPE, 7),
        (DenyReason.CLIENT_REFUSED, 7),
        (DenyReason.NO_CLUSTER, 7),
        (DenyReason.KEYS_UNAVAILABLE, 14),
        (DenyReason.RATE_LIMITED, 8),
    ],
)
def test_grpc_callers_get_a_grpc_status(reason: DenyReason, status: int):
    """HTTP 200, no body, and in the head the status that a gRPC library turns into its error; custom statuses change nothing."""
    for style in (None, RefusalStyle(json=True, statuses={401: 404, 403: 404}, resource_metadata="https://a.example/")):
        refusal = grpc_refusals(style)[reason]
        assert (refusal.status, refusal.body) == (200, b"")
        parsed = fields(refusal)
        assert parsed["Content-Type"] == "application/grpc"
        assert parsed["grpc-status"] == str(status)
        assert parsed["grpc-message"] == HTTPStatus(status_of(reason)).phrase.lower()
    exposed = fields(grpc_refusals(RefusalStyle(expose_reason=True))[reason])
    assert exposed["grpc-message"] == (reason or DenyReason.INTERNAL).name.lower()


def test_a_login_helps_who_lacks_a_good_token():
    """401 and nothing else: after a 403 the same token would come back from the login page."""
    assert {reason for reason in DenyReason if is_curable(reason)} == {DenyReason.NONE, DenyReason.MISSING, *NO_GOOD}
