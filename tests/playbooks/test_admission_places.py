"""Where tokens stand, several in one request, and what becomes of them on their way to the endpoint. Whole and byte by byte."""

import base64
import time
from pathlib import Path

import pytest

from tests.playbooks.messages import OK, SWITCH, UPGRADE
from tests.playbooks.policies import KEYS, Policies, bearer, field_of, status_of, token
from tests.playbooks.stage import Client, Stage, request, response
from tests.playbooks.steps import counts, is_refused, passes

BOTH = "  - {name: both, prefix: /, require: {all_of: [a, b]}}"
SPLIT = {"a": "", "b": "from_headers: [{name: X-Second, scheme: ''}]"}


def second(text: str) -> str:
    return f"X-Second: {text}"


@pytest.fixture
def both(pieces: int | None) -> tuple[Policies, Stage, Client]:
    """A route that requires a token of a and one of b."""
    policies = Policies(BOTH, SPLIT)
    stage = Stage(pieces, **policies.options())
    return policies, stage, stage.client()


def test_all_of_two_tokens_pass_together(both: tuple[Policies, Stage, Client]) -> None:
    """The endpoint gets the identity of both, each in the header of its issuer; the request counts once, for the first; both are remembered."""
    policies, stage, client = both
    data = request("GET", "/", second(token("b")), "X-Jwt-Sub-B: root", auth=bearer(token("a")))
    for _ in range(3):
        seen = passes(stage, client, data)
        assert b"\r\nX-Jwt-Sub: user-of-a\r\nX-Jwt-Sub-B: user-of-b\r\n" in seen and b"root" not in seen
    assert (policies.verifier.gate.cache.hits, policies.verifier.gate.cache.misses) == (4, 2)
    assert [stage.board.issuer_totals(issuer)["accepted"] for issuer in (-1, 0, 1)] == [0, 3, 0]


@pytest.mark.parametrize(
    ("first", "other", "issuer", "reason"),
    [
        ("", "b", -1, "MISSING"),
        ("a", "", -1, "MISSING"),
        ("", "", -1, "MISSING"),
        ("expired a", "b", 0, "EXPIRED"),
        ("a", "expired b", 1, "EXPIRED"),
        ("a", "strange b", 1, "UNKNOWN_KEY"),
        ("a", "a", 0, "WRONG_ISSUER"),
        ("b", "a", 1, "WRONG_ISSUER"),
        ("b", "b", 1, "WRONG_ISSUER"),
        ("a", "rubbish", -1, "MALFORMED"),
    ],
)
def test_one_token_of_two_is_none(
    both: tuple[Policies, Stage, Client], first: str, other: str, issuer: int, reason: str
) -> None:
    """One missing, bad, or in the place of the other refuses the request, as a matter of the issuer that it is about; nothing is accepted."""
    _, stage, client = both
    tokens = {
        "": "", "a": token("a"), "b": token("b"), "rubbish": "x.y.z",
        "expired a": token("a", exp=1), "expired b": token("b", exp=1), "strange b": token("b", "k2"),
    }  # fmt: skip
    auth = bearer(tokens[first]) if first else b""
    answer = is_refused(stage, client, request("GET", "/", *([second(tokens[other])] if other else []), auth=auth))
    assert status_of(answer) == 401
    assert counts(stage, issuer) == {"refusals": {reason: 1}, "reported": {}}
    assert stage.totals["accepted"] == 0 and sum(stage.totals["refusals"]) == 1


def test_a_rule_that_only_reports_of_two_tokens(pieces: int | None, tmp_path: Path) -> None:
    """It is reported under the issuer whose token failed it; where the other token is refused, nothing is reported."""
    policies = Policies(
        "  - {name: both, prefix: /, require: {all_of: [a, b]}, rules: [{claim: level, at_least: 3, report_only: true}]}",
        SPLIT,
    )
    stage = Stage(pieces, **policies.options(log=tmp_path / "log"))
    client = stage.client()
    passes(stage, client, request("GET", "/", second(token("b", level=3)), auth=bearer(token("a", level=1))))
    assert counts(stage, 0)["reported"] == {"CLAIM_REFUSED": 1} and counts(stage, 1)["reported"] == {}
    passes(stage, client, request("GET", "/", second(token("b", level=1)), auth=bearer(token("a", level=3))))
    assert counts(stage, 1)["reported"] == {"CLAIM_REFUSED": 1}
    assert [stage.board.issuer_totals(issuer)["accepted"] for issuer in (0, 1)] == [2, 0]
    is_refused(stage, client, request("GET", "/", second(token("b", exp=1)), auth=bearer(token("a", level=1))))
    assert sum(stage.totals["reported"]) == 2
    last = stage.records()[-1]
    assert (last["reason"], last.get("would_refuse"), last["issuer"]) == ("expired", None, "b")


def test_one_good_token_of_two_speaks_for_nobody(pieces: int | None) -> None:
    """report_only: where the other one is no good the request passes without the identity of the first, and ends with no token."""
    policies = Policies(BOTH.replace("prefix: /", "prefix: /, report_only: true"), SPLIT)
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    for fields in ((), (second(token("b", exp=1)),), (second(token("a")),)):
        assert b"X-Jwt-Sub" not in passes(stage, client, request("GET", "/", *fields, auth=bearer(token("a"))))
    assert stage.totals["accepted"] == 0 and sum(stage.totals["reported"]) == 3


def test_p6_issuers_in_different_places_of_one_route(pieces: int | None) -> None:
    """A token of one in the place of the other is refused, though its signature is good; two that differ are one too many (THREATS P6, B17)."""
    policies = Policies("", {"a": "", "b": "from_cookies: [{name: session}]"})
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    a, b = token("a"), token("b")
    assert b"\r\nX-Jwt-Sub: user-of-a\r\n" in passes(stage, client, request(auth=bearer(a)))
    seen = passes(stage, client, request("GET", "/", f"Cookie: x=1; session={b}; y=2", auth=b""))
    assert b"\r\nX-Jwt-Sub-B: user-of-b\r\n" in seen and b"\r\nCookie: x=1; y=2\r\n" in seen
    for auth, cookie, status in (
        (bearer(b), "", 401),
        (b"", a, 401),
        (bearer(a), b, 400),
        (bearer(b), a, 400),
        (b"", f"{b}; session={b}", 400),
    ):
        fields = [f"Cookie: session={cookie}"] if cookie else []
        assert status_of(is_refused(stage, client, request("GET", "/", *fields, auth=auth))) == status
    for text in (a, b):  # the same token in both places is one token, and one of the places is its own
        seen = passes(stage, client, request("GET", "/", f"Cookie: session={text}", auth=bearer(text)))
        assert b"Cookie" not in seen
    assert counts(stage, 0)["refusals"] == {"WRONG_ISSUER": 1} and counts(stage, 1)["refusals"] == {"WRONG_ISSUER": 1}
    assert counts(stage, -1)["refusals"] == {"MULTIPLE_TOKENS": 3}


def test_a_required_issuer_is_not_another_one(pieces: int | None) -> None:
    """Of three issuers in one place a route takes two: the third is refused there and taken elsewhere."""
    policies = Policies(
        "  - {name: two, prefix: /two, require: {any_of: [a, b]}}\n  - {name: one, prefix: /one, require: {issuer: c}}",
        {"a": "", "b": "", "c": ""},
    )
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    for label, two, one in (("a", 200, 401), ("b", 200, 401), ("c", 401, 200)):
        for target, status in (("/two", two), ("/one", one), ("/two", two)):
            data = request("GET", target, auth=bearer(token(label)))
            if status == 200:
                passes(stage, client, data)
            else:
                assert status_of(is_refused(stage, client, data)) == status
    assert [counts(stage, at)["refusals"] for at in range(3)] == [
        {"WRONG_ISSUER": 1},
        {"WRONG_ISSUER": 1},
        {"WRONG_ISSUER": 2},
    ]


# --- the query --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        ("/x?access_token=T", b"/x"),
        ("/x?a=1&access_token=T&b=2", b"/x?a=1&b=2"),
        ("/x?access_token=T&b=%32", b"/x?b=%32"),
        ("/y/../x?a&access_token=T", b"/x?a"),
    ],
)
@pytest.mark.parametrize("places", ["one", "two", "all of"])
def test_p8_a_token_in_the_query_stays_here_and_the_response_is_private(
    pieces: int | None,
    target: str,
    forwarded: bytes,
    places: str,
) -> None:
    """It is cut out of the target, and the response must not be kept for others, whatever other places were searched; the next is as it was
    (THREATS P8)."""
    issuers = {"a": "from_params: [{name: access_token}]", "b": "from_cookies: [{name: session}]"}
    if places == "one":
        issuers["b"] = issuers["a"]
    route = "require: {all_of: [a, b]}" if places == "all of" else "require: {any_of: [a, b]}"
    stage = Stage(pieces, **Policies(f"  - {{name: only, prefix: /, {route}}}", issuers).options())
    client = stage.client()
    cookie = f"Cookie: session={token('b')}"
    fields = [cookie] if places == "all of" else []
    client.sends(request("GET", target.replace("T", token("a")), *fields, auth=b""))
    seen = stage.server().take()
    assert seen.split(b" ")[1] == forwarded and b"access_token" not in seen and b"session" not in seen
    stage.server().sends(OK)
    assert field_of(client.take(), "Cache-Control") == "private"
    if places == "two":
        client.sends(request("GET", "/x", cookie, auth=b""))
        stage.server().sends(OK)
        assert client.take() == OK


@pytest.mark.parametrize("first", ["a", "b"])
def test_p8_a_forwarded_query_token_makes_the_response_private_too(pieces: int | None, first: str) -> None:
    """It is not cut out, and whichever group of places is searched last does not make it forgotten (THREATS P8)."""
    other = "from_cookies: [{name: s}], from_params: [{name: u}]"
    issuers = {"a": "from_params: [{name: t, forward: true}]", "b": other}
    policies = Policies("", {label: issuers[label] for label in (first, *({"a", "b"} - {first}))})
    stage = Stage(pieces, **policies.options())
    target = f"/?t={token('a')}"
    seen = passes(stage, stage.client(), request("GET", target, auth=b""), private=True)
    assert seen.startswith(f"GET {target} ".encode())


def test_a_place_may_say_that_its_token_goes_on(pieces: int | None) -> None:
    """forward: true keeps cookie and parameter, false takes a header away while forward_token says yes."""
    policies = Policies(
        "",
        {
            "a": "from_headers: [{name: Authorization, forward: false}], from_cookies: [{name: s, forward: true}], "
            "from_params: [{name: t, forward: true}]"
        },
        "claim_to_headers: []",
    )
    stage = Stage(pieces, **policies.options())
    client, text = stage.client(), token("a")
    seen = passes(stage, client, request(auth=bearer(text)))
    assert text.encode() not in seen
    seen = passes(stage, client, request("GET", f"/?t={text}", f"Cookie: s={text}", auth=b""), private=True)
    assert seen.startswith(f"GET /?t={text} ".encode()) and f"\r\nCookie: s={text}\r\n".encode() in seen


def test_forward_is_said_of_a_place_over_the_default(pieces: int | None) -> None:
    """forward_token: false takes every field with a token away but one that says forward: true."""
    policies = Policies(
        "",
        {
            "a": "from_headers: [{name: Authorization, forward: true}]",
            "b": "from_headers: [{name: X-Second, scheme: ''}]",
        },
        "forward_token: false",
    )
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    assert bearer(token("a")) in passes(stage, client, request(auth=bearer(token("a"))))
    assert b"X-Second" not in passes(stage, client, request("GET", "/", second(token("b")), auth=b""))


def test_what_is_only_reported_is_stripped_too(pieces: int | None) -> None:
    """A bad token goes on no further than a good one: query, cookie and doubtful spellings of them."""
    policies = Policies(
        "  - {name: try, prefix: /, report_only: true}",
        {"a": "from_params: [{name: t}], from_cookies: [{name: s}]"},
        "claim_to_headers: []",
    )
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    for query, cookie in (("t=x.y.z", "s=x.y.z"), ("t=1&t=2", "s=1; s=2"), ("t=a&%74=b", 's="q"')):
        seen = passes(stage, client, request("GET", f"/?{query}&k=1", f"Cookie: {cookie}; k=1", auth=b""), private=True)
        assert seen.startswith(b"GET /?k=1 ") and b"\r\nCookie: k=1\r\n" in seen


@pytest.mark.parametrize("other", ["X-Second: x.y.z", "X-Second: a\r\nX-Second: b", "X-None: x"])
def test_p8_what_is_only_reported_is_private_wherever_the_search_ended(pieces: int | None, other: str) -> None:
    """The first of two tokens is no good, so nobody looked for the second: it is taken out, and the response is private (THREATS P8)."""
    policies = Policies(
        "  - {name: try, prefix: /, require: {all_of: [b, a]}, report_only: true}",
        {"a": "from_params: [{name: t}]", "b": SPLIT["b"]},
    )
    stage = Stage(pieces, **policies.options())
    seen = passes(stage, stage.client(), request("GET", f"/?t={token('a')}", other, auth=b""), private=True)
    assert seen.startswith(b"GET / HTTP/1.1\r\n")


# --- WebSocket --------------------------------------------------------------------------------------------------------

SUBPROTOCOL = {"a": "from_subprotocol: true", "b": "from_params: [{name: t}]"}


def encoded(text: str) -> str:
    return "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("offered", "forwarded", "chosen", "answered"),
    [
        ("bearer, T", "", "", "bearer"),
        ("bearer, T, chat", "chat", "", "bearer"),
        ("bearer, T, chat", "chat", "chat", "chat"),
        ("v1, bearer, T, v2", "v1, v2", "v2", "v2"),
        ("B, chat", "chat", "chat", "chat"),
        ("B, chat", "chat", "", ""),
    ],
)
@pytest.mark.parametrize("others", [False, True], ids=["one group of places", "two"])
def test_a_subprotocol_that_is_a_token_is_taken_out_and_answered(
    pieces: int | None,
    offered: str,
    forwarded: str,
    chosen: str,
    answered: str,
    others: bool,
) -> None:
    """The endpoint sees the other protocols only; the handshake is answered with its choice, or with `bearer`, which a browser needs."""
    policies = Policies(
        "", SUBPROTOCOL if others else {"a": SUBPROTOCOL["a"]}, "" if others else "claim_to_headers: []"
    )
    stage = Stage(pieces, **policies.options())
    client, text = stage.client(), token("a")
    words = {"T": text, "B": encoded(text)}
    value = ", ".join(words.get(word, word) for word in offered.split(", "))
    client.sends(request("GET", "/ws", *UPGRADE, f"Sec-WebSocket-Protocol: {value}", auth=b""))
    seen = stage.server().take()
    assert field_of(seen, "Sec-WebSocket-Protocol").replace(" ", "") == forwarded.replace(" ", "")
    assert text.encode() not in seen
    stage.server().sends(
        SWITCH.replace(b"\r\n\r\n", f"\r\nSec-WebSocket-Protocol: {chosen}\r\n\r\n".encode()) if chosen else SWITCH
    )
    answer = client.take()
    assert status_of(answer) == 101 and field_of(answer, "Sec-WebSocket-Protocol") == answered
    client.lose()
    stage.server().lose()


@pytest.mark.parametrize(
    ("line", "answered"),
    [
        ("Connection: sec-websocket-protocol\r\nSec-WebSocket-Protocol: chat\r\n", "bearer"),
        ("Sec-WebSocket-Protocol:\r\n", ""),
    ],
)
def test_a_handshake_names_one_subprotocol(pieces: int | None, line: str, answered: str) -> None:
    """A choice that ends with the hop is none, so `bearer` is answered; an empty one is left as it is (RFC 6455 section 4.1)."""
    stage = Stage(pieces, **Policies("", {"a": SUBPROTOCOL["a"]}, "claim_to_headers: []").options())
    client = stage.client()
    client.sends(request("GET", "/ws", *UPGRADE, f"Sec-WebSocket-Protocol: bearer, {token('a')}", auth=b""))
    stage.server().sends(SWITCH.replace(b"\r\n\r\n", f"\r\n{line}\r\n".encode()))
    answer = client.take()
    assert answer.lower().count(b"sec-websocket-protocol:") == 1
    assert field_of(answer, "Sec-WebSocket-Protocol") == answered
    client.lose()
    stage.server().lose()


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_p8_every_final_response_to_a_query_token_is_private(pieces: int | None, status: str) -> None:
    """Whatever its status; an interim response, which no cache keeps, is passed on as it came."""
    stage = Stage(pieces, **Policies("", {"a": "from_params: [{name: t}]"}, "claim_to_headers: []").options())
    client = stage.client()
    client.sends(request("GET", f"/?t={token('a')}", auth=b""))
    stage.server().sends(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(status, "Content-Length: 0"))
    interim, _, final = client.take().partition(b"\r\n\r\n")
    assert b"Cache-Control" not in interim and field_of(final, "Cache-Control") == "private"


def test_a_subprotocol_is_answered_in_its_own_handshake_only(pieces: int | None) -> None:
    """The next request of the connection, which has no such token, gets no such field; nor does one whose upgrade is declined."""
    policies = Policies(
        "", {"a": "from_subprotocol: true, from_headers: [{name: Authorization}]"}, "claim_to_headers: []"
    )
    stage = Stage(pieces, **policies.options())
    client, text = stage.client(), token("a")
    client.sends(request("GET", "/ws", *UPGRADE, f"Sec-WebSocket-Protocol: bearer, {text}", auth=b""))
    stage.server().sends(response("426 Upgrade Required", "Content-Length: 0"))
    assert client.take() == response("426 Upgrade Required", "Content-Length: 0")
    client.sends(request("GET", "/ws", *UPGRADE, auth=bearer(text)))
    stage.server().sends(SWITCH)
    answer = client.take()
    assert status_of(answer) == 101 and b"Sec-WebSocket-Protocol" not in answer
    client.lose()
    stage.server().lose()


def test_equal_key_ids_of_two_issuers_are_two_keys(pieces: int | None) -> None:
    """A token that names one issuer and is signed by the key of the same id of another is refused, also when both are hot (THREATS B17)."""
    stage = Stage(pieces, **Policies().options())
    client, now = stage.client(), int(time.time())
    claims = {"aud": "api", "sub": "x", "iat": now, "exp": now + 60}
    for _ in range(2):
        for label, other in (("a", "b"), ("b", "a")):
            passes(stage, client, request(auth=bearer(token(label))))
            forged = KEYS[other]["k1"].token({**claims, "iss": Policies.issuer(label)})
            assert status_of(is_refused(stage, client, request(auth=bearer(forged)))) == 401
    assert counts(stage, 0)["refusals"] == counts(stage, 1)["refusals"] == {"BAD_SIGNATURE": 2}
