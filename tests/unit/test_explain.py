"""What an explanation tells beside the verdict: route, place, key, backend, answer, notes."""

import json
from pathlib import Path
from typing import Any

import pytest

from lbjwt.auth.revocation import Revocation
from lbjwt.cli.explain_lines import as_lines
from lbjwt.cli.report import print_lines
from lbjwt.config.load import load_text
from lbjwt.config.model import Listener
from lbjwt.explain.scene import Asked
from lbjwt.revocation.store import RevocationStore
from tests.unit.auth_tokens import ISSUER, NOW, claims, private_key, token
from tests.unit.explain_cases import CONFIGURATIONS, OTHER, Case, answer, jwks, told

T = int(NOW)


def minted(kid: str = "k1", **changes: Any) -> str:
    """A good ES256 token with these claims changed."""
    return token(claims(**changes), algorithm="ES256", kid=kid).decode()


def routed(path: str, text: str | None = None, **asked: Any) -> dict[str, Any]:
    """One request to the configuration with routes."""
    return told(Case("routes", Asked(minted() if text is None else text, path=path, **asked)))


def text_of(story: dict[str, Any]) -> str:
    """As people read it."""
    return "\n".join(line for _, line in as_lines(story))


def detail(story: dict[str, Any], stage: str, rule: str = "") -> str:
    """Of the first step of a stage whose rule begins like this."""
    return next(step["detail"] for step in story["steps"] if step["stage"] == stage and step["rule"].startswith(rule))


# --- route -------------------------------------------------------------------------------------------------------------------


def test_c16_the_route_is_named_with_its_reasons_and_rivals():
    """Host, path and method that made it this one; a less specific one that would have done is named."""
    story = routed("/mine/x", host="x.api.example")
    assert (story["route"]["name"], story["route"]["why"]) == (
        "mine",
        "any host; the path begins with /mine; any method",
    )
    story = routed("/only", host="X.api.example.:8080")
    assert story["route"]["why"] == "the host is below api.example; the path is /only; GET is among GET"
    story = routed("/only", host="x.api.example", method="HEAD")
    assert story["route"]["why"].endswith("GET also matches HEAD")
    seen = nested("/a/b")["route"]
    assert (seen["name"], seen["over"]) == ("ab", ["all", "a"])


def test_r2_a_path_that_backends_read_in_two_ways():
    """Why it is refused although a route would be for it."""
    story = nested("/A/b")
    assert story["answer"] == {"status": 400, "fields": []}
    assert "some backends would read this path as one of another route" in detail(story, "route")


def nested(path: str) -> dict[str, Any]:
    """A request to three routes, one in the other."""
    text = CONFIGURATIONS["one"].replace("JWKS", json.dumps(jwks()))
    made = load_text(text + "routes: [{name: all}, {name: a, prefix: /a}, {name: ab, path: /a/b}]", Path("/"))
    return answer(made, Asked(minted(), path=path))


@pytest.mark.parametrize(
    ("path", "asked", "status", "words"),
    [
        ("/only", {"host": "x.api.example", "method": "POST"}, 404, "get matches this path with GET"),
        ("/only", {"host": "other.example"}, 404, "get matches this path for the host *.api.example"),
        ("/nowhere", {}, 404, "none"),
        ("/%2f", {}, 400, "lbjwt refuses the path (path-encoded-slash)"),
    ],
)
def test_no_route_and_why(path: str, asked: dict[str, Any], status: int, words: str):
    """What the request misses by method or host alone, and what is wrong with a path."""
    story = routed(path, **asked)
    assert (story["verdict"], story["route"], story["answer"]) == ("refused", None, {"status": status, "fields": []})
    assert words in detail(story, "route")


@pytest.mark.parametrize(
    ("path", "token", "verdict", "status", "field"),
    [
        ("/open/x", "", "allowed", 200, ("X-Sub", "")),
        ("/x", "good", "allowed", 200, ("X-Sub", "alice")),
        ("/x", "", "refused", 401, ("WWW-Authenticate", 'Bearer realm="lbjwt"')),
        ("/x", "two words", "refused", 401, ("X-Lbjwt-Status", "400")),
        ("/x/../open", "", "refused", 403, None),
    ],
)
def test_what_a_proxy_gets_that_asks(path: str, token: str, verdict: str, status: int, field: tuple[str, str] | None):
    """A path counts as it was sent, statuses are those that the proxy can take, and nothing is for a backend."""
    text = CONFIGURATIONS["one"].replace("JWKS", json.dumps(jwks()))
    made = load_text(text + "routes: [{name: all}, {name: open, prefix: /open, public: true}]", Path("/"))
    listener = Listener.model_validate({"address": ":8080", "mode": "authorize", "authorize": {"profile": "nginx"}})
    made = made.model_copy(update={"listeners": (listener,), "clusters": {}})
    fields = (("Authorization", "Bearer a b"),) if token == "two words" else ()
    story = answer(made, Asked(minted(sub="alice") if token == "good" else "", path=path, headers=fields))
    assert (story["verdict"], story["answer"]["status"], story["backend"]) == (verdict, status, None)
    assert field is None or field in map(tuple, story["answer"]["fields"])
    assert f"nginx gets {status}" in text_of(story) and "backend gets" not in text_of(story)


def test_a_public_route_and_a_document_of_our_own():
    """No token is looked for; what must not be forwarded is taken out all the same."""
    story = routed("/public", "broken", headers=(("X-Token", "x"),))
    assert (story["verdict"], story["tokens"]) == ("allowed", []) and "public" in detail(story, "place")
    assert story["backend"]["tokens"] == [
        {"place": "Authorization: Bearer", "forwarded": False},
        {"place": "X-Token", "forwarded": False},
    ]
    story = routed("/.well-known/oauth-protected-resource/meta")
    assert story["verdict"] == "allowed" and story["answer"]["status"] == 200


def test_a_health_check_is_told_as_one():
    """The listener that answers it, in any spelling of its path; of another listener only a note, and other paths are as ever."""
    text = CONFIGURATIONS["one"].replace("JWKS", json.dumps(jwks()))
    first = load_text(text, Path("/"))
    up, down = first.listeners[0], Listener.model_validate({"address": "127.0.0.1:1", "health": {"path": "/up"}})

    def story(path: str, *listeners: Listener, **asked: Any) -> dict[str, Any]:
        made = first.model_copy(update={"listeners": listeners})
        return answer(made, Asked("", path=path, **asked))

    for path in ("/up", "/up?x=1", "//u%70"):
        told_of = story(path, down, up)
        assert (told_of["verdict"], told_of["backend"]) == ("allowed", None) and "listeners[0]" in detail(
            told_of, "request"
        )
        assert told_of["answer"]["status"] == 200
    told_of = story("/up", down, up, method="POST")
    assert told_of["verdict"] == "refused" and told_of["answer"]["status"] == 405
    assert story("/up", up, down)["reason"] == story("/up/", down, up)["reason"] == "missing"
    assert any("listeners[1]" in note for note in story("/up", up, down)["notes"]) and not story("/", up, down)["notes"]


def test_a_request_that_is_none():
    """What is wrong with the head itself comes before everything, with its status."""
    story = told(Case("one", Asked(minted(), headers=(("Host", "b"),))))
    assert (story["verdict"], story["problem"], story["answer"]) == (
        "refused",
        "two_hosts",
        {"status": 400, "fields": []},
    )
    assert text_of(story).startswith("refused: two_hosts")


# --- places ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "path", "place", "forwarded"),
    [
        ((("X-Token", "TOKEN"),), "/maybe", "X-Token", False),
        ((("X-Other", "token TOKEN"),), "/maybe", "X-Other: Token", False),
        ((("Cookie", "a=b; session=TOKEN"),), "/maybe", "the cookie session", False),
        ((), "/maybe?x=1&access_token=TOKEN", "the parameter access_token", False),
        ((("Sec-WebSocket-Protocol", "bearer, TOKEN, chat"),), "/maybe", "the subprotocol bearer", False),
    ],
)
def test_where_a_token_was_found_and_whether_the_backend_gets_it(
    headers: tuple[tuple[str, str], ...], path: str, place: str, forwarded: bool
):
    """Each place by its name; what is taken out is read from the very bytes for the backend."""
    text = minted(iss=OTHER)
    given = tuple((name, value.replace("TOKEN", text)) for name, value in headers)
    story = routed(path.replace("TOKEN", text), "", headers=given)
    assert story["verdict"] == "allowed"
    assert story["tokens"][0]["places"] == [place]
    assert story["backend"]["tokens"] == [{"place": place, "forwarded": forwarded}]
    assert text not in text_of(story) and text not in json.dumps(story)


def test_a_token_is_put_where_the_route_looks_first():
    """By the issuer it names; what stays in the request is told."""
    assert routed("/maybe", minted(iss=OTHER))["tokens"][0]["places"] == ["X-Token"]
    assert routed("/maybe", minted())["tokens"][0]["places"] == ["Authorization: Bearer"]
    assert routed("/both", minted(iss=OTHER))["reason"] == "missing"
    story = told(Case("one", Asked(minted())))
    assert story["backend"]["tokens"] == [{"place": "Authorization: Bearer", "forwarded": True}]
    assert "the token in Authorization: Bearer is passed on" in text_of(story)


def test_two_tokens_of_one_request():
    """Each is told with its own issuer and key, and both give headers."""
    story = routed(
        "/both", minted(deep={"er": 5}, level=1), headers=(("X-Token", minted(iss=OTHER, sub="bob", level=2)),)
    )
    assert story["verdict"] == "allowed"
    assert [seen["issuer"] for seen in story["tokens"]] == ["main", "other"]
    assert story["backend"]["identity"] == [["X-Deep", "5"], ["X-Sub", "bob"]]


@pytest.mark.parametrize(
    ("headers", "reason", "words"),
    [
        ((("Authorization", "Bearer other"),), "multiple_tokens", "more than one token in Authorization: Bearer"),
        ((("X-Token", "other"),), "multiple_tokens", "different tokens in Authorization: Bearer and X-Token"),
        ((("Cookie", "session=a; session=b"),), "multiple_tokens", "more than one token in the cookie session"),
        (
            (("Sec-WebSocket-Protocol", "bearer"),),
            "malformed_credentials",
            "the subprotocol bearer does not hold a token",
        ),
    ],
)
def test_what_is_wrong_with_the_places(headers: tuple[tuple[str, str], ...], reason: str, words: str):
    """The place is named, what stands there is not."""
    story = routed("/maybe", headers=headers)
    assert story["reason"] == reason and words in detail(story, "place")


# --- key and claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "reason", "words"),
    [
        ({"kid": "gone"}, "unknown_key", 'no key has the id "gone"; the keys are "k1" (EC P-256, 256 bits), "r1" (RSA, 2048 bits)'),
        ({"kid": "r1"}, "algorithm_refused", '"r1" (RSA, 2048 bits) is for RS256, not for "ES256"'),
        ({}, None, '"k1" (EC P-256, 256 bits) with ES256'),
        ({"alg": "EdDSA"}, "algorithm_refused", '"k1" (EC P-256, 256 bits) is for ES256, not for "EdDSA"'),
        ({"kid": None, "alg": "HS256"}, "algorithm_refused", 'the token names no key, and no key is for "HS256"'),
    ],
)  # fmt: skip
def test_which_key_or_why_none(header: dict[str, Any], reason: str | None, words: str):
    """The keys there are, by id, type and size, and nothing of them."""
    members = {"alg": "ES256", "kid": "k1"} | header
    text = token(
        algorithm="ES256", header={name: value for name, value in members.items() if value is not None}
    ).decode()
    story = told(Case("one", Asked(text)))
    assert story["reason"] == reason and detail(story, "header", "the issuer has a key").startswith(words)
    seen = story["tokens"][0]
    assert (seen["key"] is not None) is (seen["signature"] == "good") is (reason is None)
    assert seen["keys_from"] == "issuers.main.jwks"
    for key in jwks()["keys"]:
        assert key.get("x", key.get("n")) not in text_of(story)


def test_several_keys_are_told_and_the_one_that_signed_is_named():
    """Which were tried and which it was, also when it was not the first; when none of them signed, none is named."""
    story = told(Case("several", Asked(minted())))
    assert story["reason"] is None
    assert detail(story, "header", "the issuer has a key").startswith("2 keys, tried one after the other with ES256: ")
    by = next(
        step["rule"] for step in story["steps"] if step["stage"] == "signature" and step["rule"].startswith("by ")
    )
    assert by == 'by "k1" (EC P-256, 256 bits)' and story["tokens"][0]["key"] is not None
    forged = told(Case("several", Asked(token(algorithm="ES256", key=private_key("ES256K"), kid="k1").decode())))
    assert (forged["reason"], forged["tokens"][0]["key"], forged["tokens"][0]["signature"]) == (
        "bad_signature",
        None,
        "wrong",
    )
    assert "by one of 2 keys" in text_of(forged)
    named = token(algorithm="EdDSA", header={"alg": "EdDSA", "x5t": "named"}).decode()
    story = told(Case("several", Asked(named)))
    assert story["reason"] is None and story["tokens"][0]["header"] == {"alg": "EdDSA", "x5t": "named"}
    assert detail(story, "header", "the issuer has a key") == "a key without id (OKP Ed25519, 256 bits) with EdDSA"


def test_a_wrong_signature_is_told_and_the_rest_too():
    """The claims are shown as what anybody could have written, and judged further on."""
    story = told(Case("one", Asked(minted(aud="web")[:-4] + "AAAA")))
    assert (story["reason"], story["tokens"][0]["signature"]) == ("bad_signature", "wrong")
    assert "anybody could have written the header and the claims below" in text_of(story)
    later = [step for step in story["steps"] if step["later"] and step["reason"]]
    assert [step["reason"] for step in later] == ["wrong_audience"]


def test_what_a_header_holds_is_told_by_name_only():
    """A key that somebody put into the token is not repeated."""
    header = {"alg": "ES256", "kid": "k1", "jwk": {"kty": "EC", "x": "c2VjcmV0"}, "x5c": ["MII"]}
    story = told(Case("one", Asked(token(algorithm="ES256", header=header).decode())))
    assert story["tokens"][0]["header"] == {"alg": "ES256", "kid": "k1", "jwk": None, "x5c": None}
    assert "c2VjcmV0" not in text_of(story) + json.dumps(story)


def test_which_claim_cannot_be_a_header():
    """By the header it was for."""
    assert detail(told(Case("one", Asked(minted(sub="é")))), "identity") == "X-Sub cannot be written from sub"
    assert (
        detail(told(Case("one", Asked(minted(groups={"a": 1})))), "identity")
        == "X-Groups cannot be written from groups"
    )
    assert "X-Sub: user-1" in detail(told(Case("one", Asked(minted()))), "identity")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (Revocation("jti", "gone", 4e9), 'its jti "gone" is revoked, by an entry'),
        (Revocation("sub", "user-1", 4e9, ISSUER, NOW), 'its sub "user-1" is revoked, by an entry'),
        (Revocation("kid", "k1", 4e9), 'all tokens of the key "k1" are revoked, by an entry'),
        (Revocation("issuer", ISSUER, 4e9, None, NOW), "all older tokens of its issuer are revoked, by an entry"),
    ],
)
@pytest.mark.parametrize("place", ["in the file", "made at run time"])
def test_which_revocation_it_is(tmp_path: Path, entry: Revocation, words: str, place: str):
    """By what it names, and whether the file or the log has it."""
    from lbjwt.auth.revocation_format import line_of

    file, state = tmp_path / "revoked.jsonl", tmp_path / "state"
    state.mkdir(mode=0o700)
    file.write_bytes(line_of(entry) if place == "in the file" else b"")
    if place != "in the file":
        store = RevocationStore(state)
        store.open(NOW)
        store.append([entry], NOW)
        store.close()
    text = CONFIGURATIONS["one"].replace("JWKS", json.dumps(jwks()))
    made = load_text(f"{text}revocation: {{file: {file}}}\nstate_directory: {state}", tmp_path)
    story = answer(made, Asked(minted(jti="gone")))
    assert (story["reason"], detail(story, "revocation")) == ("revoked", f"{words} {place}")
    story = answer(made, Asked(minted("e1", sub="x", iat=T + 5)))
    assert detail(story, "revocation") == "1 revocations in force"


# --- what client and backend get ---------------------------------------------------------------------------------------------


def test_the_answer_is_the_one_of_the_route():
    """Challenge, custom status, the form for gRPC, and a redirect without the token that the target held."""
    story = routed("/ruled/x", minted(aud=["b", "api"]))
    assert story["answer"]["status"] == 403
    assert [
        "WWW-Authenticate",
        'Bearer realm="lbjwt", error="insufficient_scope", scope="read write admin"',
    ] in story["answer"]["fields"]
    story = routed("/meta", minted(exp=T - 500), host="api.example")
    assert "resource_metadata=" in dict(story["answer"]["fields"])["WWW-Authenticate"]
    story = routed("/ruled/x", minted(aud=["b", "api"]), headers=(("Content-Type", "application/grpc"),))
    assert ["grpc-status", "7"] in story["answer"]["fields"]
    text = minted(iss=OTHER, exp=T - 500)
    story = routed(f"/page?x=1&access_token={text}", "", headers=(("Accept", "text/html"),))
    assert story["answer"]["status"] == 302
    assert text not in text_of(story) and "https://login.example/?back=" in dict(story["answer"]["fields"])["Location"]


def test_p8_a_token_in_the_target_goes_along_to_no_login_page():
    """A redirect brings back the target without the token, also where endpoints get the parameter."""
    text = (
        CONFIGURATIONS["one"]
        .replace("JWKS}}", "JWKS, from_params: [{name: t, forward: true}]}}")
        .replace("JWKS", json.dumps(jwks()))
    )
    made = load_text(
        text + 'routes: [{name: all, refusals: {redirect: "https://login.example/?back={url}"}}]', Path("/")
    )
    old = minted(exp=T - 500)
    asked = Asked(old, path="/x", headers=(("Accept", "text/html"),))
    story = answer(made, asked)
    assert story["answer"]["status"] == 302
    assert dict(story["answer"]["fields"])["Location"] == "https://login.example/?back=http%3A%2F%2Flocalhost%2Fx"
    assert old not in json.dumps(story) + text_of(story)


def test_report_only_lets_through_and_says_so():
    """The backend gets the request without identity, and the reason is told, to the backend too."""
    story = routed("/trial", minted(exp=T - 500))
    assert (story["verdict"], story["reason"], story["would_refuse"]) == ("allowed", None, "expired")
    assert story["backend"]["identity"] == [["X-Jwt-Would-Refuse", "expired;status=401"]]
    assert text_of(story).startswith("allowed, but only because it is report-only: expired\n")
    assert story["would_refuse"] == "expired"
    rule = routed("/ruled/x", minted(aud=["b", "api"], scope="read write", level=5, team="z", blocked=False))
    assert (rule["verdict"], rule["would_refuse"]) == ("allowed", "claim_refused")


def test_the_path_that_the_backend_gets():
    """What the route makes of the path, with the claims in it; a claim that cannot be a segment refuses, and is shown."""
    text = CONFIGURATIONS["one"].replace("JWKS", json.dumps(jwks()))
    rewrite = '{path: "/t/{org}/orders", claims: {org: [org, id]}}'
    routes = f"routes: [{{name: all, prefix: /orders, rewrite: {rewrite}}}, {{name: me, path: /me, rewrite: /you}}]"
    made = load_text(text + routes, Path("/"))
    story = answer(made, Asked(minted(org={"id": "a b"}), path="/orders/1?x"))
    assert (story["verdict"], story["backend"]["path"], story["request"]["path"]) == (
        "allowed",
        "/t/a%20b/orders/1",
        "/orders/1",
    )
    assert (
        detail(story, "path", "the backend gets /t/{org}/orders in place of the prefix")
        == '/t/a%20b/orders: org.id is "a b"'
    )
    assert (
        detail(answer(made, Asked(minted(), path="/me")), "path", "the backend gets /you in place of the path")
        == "/you"
    )
    story = answer(made, Asked(minted(org={"id": ".."}), path="/orders/1"))
    assert (story["verdict"], story["reason"], story["answer"]["status"]) == ("refused", "claim_refused", 403)
    assert detail(story, "path") == 'org.id is ".."' and "[claim_refused]" in text_of(story)


def test_a_limit_that_only_the_running_one_knows_is_a_note():
    """fail_limit, the tenants seen so far, and revocations made at run time without a directory."""
    tenant = told(Case("tenants", Asked(minted(iss="https://hex.example/af"))))
    assert tenant["verdict"] == "allowed" and [note for note in tenant["notes"] if "max_tenants" in note]
    assert [note for note in told(Case("anybody", Asked(minted())))["notes"] if "fail_limit" in note]
    made = load_text(CONFIGURATIONS["one"].replace("JWKS", json.dumps(jwks())) + "revocation: {}", Path("/"))
    story = answer(made, Asked(minted()))
    assert [note for note in story["notes"] if "state_directory" in note]


def test_keys_that_cannot_be_had_make_the_verdict_unknown():
    """A running lbjwt may have them; what can be told without is told."""
    story = told(Case("far", Asked(minted(aud="web"))))
    assert (story["verdict"], story["reason"]) == ("unknown", "keys_unavailable")
    assert "lbjwt fetches no keys when offline; no state_directory is configured" in detail(
        story, "issuer", "keys of main"
    )
    assert [step["reason"] for step in story["steps"] if step["later"] and step["reason"]] == ["wrong_audience"]
    assert told(Case("far", Asked("a.b")))["verdict"] == "unknown"  # lbjwt without keys does not look further either
    assert told(Case("far", Asked("é")))["verdict"] == "refused"


def test_nothing_drives_the_terminal(capsys: pytest.CaptureFixture[str]):
    """Control characters of a request, a key id and a claim come out escaped."""
    header = {"alg": "ES256", "kid": "\u009b31mred"}
    story = told(
        Case("one", Asked(token(claims(sub="\x1b[31m", jti="\u202e"), algorithm="ES256", header=header).decode()))
    )
    story["request"]["host"], story["notes"] = "a\x1b[2J", ["a\rb"]
    print_lines(as_lines(story))
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())
