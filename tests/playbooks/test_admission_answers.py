"""What refused clients get, and what is answered without a token: in every form, the connection usable afterwards. Whole and byte by byte."""

import json
import re
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from lbjwt._fastverify import DenyReason
from tests.playbooks.messages import OK
from tests.playbooks.policies import Policies, bearer, field_of, status_of, token
from tests.playbooks.stage import Client, Stage, request
from tests.playbooks.steps import is_refused, passes
from tests.playbooks.strict_route import bad_requests, strict_stage

GRPC = "Content-Type: application/grpc+proto"
PAGE = "Accept: text/html,*/*;q=0.8"


# --- gRPC ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason",
    [reason for reason in DenyReason if reason is not DenyReason.NONE],
    ids=lambda reason: reason.name,
)
def test_a_grpc_caller_is_told_in_its_own_words(pieces: int | None, reason: DenyReason) -> None:
    """200 with the status in the head and no body, for every reason: 16, 7, 3, 8 or 14; the connection goes on."""
    stage = strict_stage(pieces, "prefix: /", reason)
    client = stage.client()
    data = request("POST", "/pkg.Service/Method", GRPC, "Content-Length: 5", body=b"hello", auth=bad_requests()[reason])
    answer = is_refused(stage, client, data)
    assert status_of(answer) == 200 and answer.endswith(b"\r\n\r\n") and field_of(answer, "Content-Length") == "0"
    assert field_of(answer, "Content-Type") == "application/grpc"
    expected = {
        DenyReason.MULTIPLE_TOKENS: 3, DenyReason.MALFORMED_CREDENTIALS: 3, DenyReason.RATE_LIMITED: 8, DenyReason.KEYS_UNAVAILABLE: 14,
        **dict.fromkeys(
            (DenyReason.INSUFFICIENT_SCOPE, DenyReason.CLAIM_REFUSED, DenyReason.SUBJECT_REFUSED, DenyReason.CLIENT_REFUSED, DenyReason.NO_CLUSTER), 7
        ),
    }  # fmt: skip
    assert int(field_of(answer, "grpc-status")) == expected.get(reason, 16)
    assert stage.totals["refusals"][reason] == 1
    assert not client.is_gone() and status_of(is_refused(stage, client, request(auth=b""))) == 401


# --- browsers -----------------------------------------------------------------------------------------------------------

LOGIN = (
    '  - {name: page, prefix: /page, scopes: {all: [s]}, refusals: {redirect: "https://login.test/?back={url}"}}\n'
    "  - {name: rest, prefix: /}"
)
PLACES = {"a": "from_params: [{name: access_token}], from_headers: [{name: X-Token, scheme: ''}]", "b": ""}


def way_back(answer: bytes) -> str:
    """The URL that a login page would send the browser back to."""
    assert status_of(answer) == 302
    location = field_of(answer, "Location")
    assert location.startswith("https://login.test/?back=")
    return unquote(location.removeprefix("https://login.test/?back="))


def test_p8_a_browser_is_sent_to_log_in_without_its_bad_token(pieces: int | None) -> None:
    """GET and HEAD of a page come back to where they were, and no token is in the address, good or bad, one or several (THREATS P8)."""
    stage = Stage(pieces, **Policies(LOGIN, PLACES).options())
    client = stage.client()
    expired = token("a", exp=1)
    for method in ("GET", "HEAD"):
        for query, left in (
            ("", ""),
            ("?q=1", "?q=1"),
            (f"?access_token={expired}", ""),
            (f"?q=%C3%A9&access_token={expired}&z=", "?q=%C3%A9&z="),
            ("?access_token=x.y.z&q", "?q"),
        ):
            answer = is_refused(stage, client, request(method, f"/page/a%20b{query}", PAGE, auth=b""))
            assert way_back(answer) == f"http://api.test/page/a%20b{left}"
            assert expired.encode() not in answer and field_of(answer, "Cache-Control") == "no-store"
    assert stage.totals["refusals"][DenyReason.MISSING] == 4


@pytest.mark.parametrize("forward", ["", ", forward: true"])
def test_p8_no_token_of_another_issuer_goes_along_either(pieces: int | None, forward: str) -> None:
    """The page takes tokens of one issuer, the browser brings one of another, in the place of that: to a login page both are secret (THREATS P8)."""
    policies = Policies(
        "  - {name: page, prefix: /, require: {issuer: a}, refusals: {redirect: 'https://login.test/?back={url}'}}",
        {"a": "", "b": f"from_params: [{{name: t{forward}}}]"},
    )
    stage = Stage(pieces, **policies.options())
    answer = is_refused(stage, stage.client(), request("GET", f"/x?t={token('b')}&q=1", PAGE, auth=b""))
    assert way_back(answer) == "http://api.test/x?q=1"


def test_p8_however_many_places_there_are(pieces: int | None) -> None:
    """Forty parameters of five issuers, more than one search takes: none of them is in the address (THREATS P8)."""
    issuers = {
        label: f"from_params: [{', '.join(f'{{name: {label}{number}}}' for number in range(8))}]" for label in "abcde"
    }
    policies = Policies("  - {name: page, refusals: {redirect: 'https://login.test/?back={url}'}}", issuers)
    stage = Stage(pieces, **policies.options())
    for name in ("a0", "d7", "e0", "e7"):
        answer = is_refused(stage, stage.client(), request("GET", f"/?{name}={token('a', exp=1)}&q", PAGE, auth=b""))
        assert way_back(answer) == "http://api.test/?q"


def test_who_is_no_browser_or_would_not_be_helped_is_not_sent_anywhere(pieces: int | None) -> None:
    """Programs, forms, gRPC callers, tokens that do not suffice and requests that make no sense get their plain answer; so do other routes."""
    stage = Stage(pieces, **Policies(LOGIN, PLACES).options())
    client = stage.client()
    poor = f"?access_token={token('a')}"
    for method, target, fields, auth, status in (
        ("GET", "/page", ("Accept: application/json",), b"", 401),
        ("POST", "/page", (PAGE,), b"", 401),
        ("GET", "/page", (PAGE,), bearer(token("b", exp=1)), 401),
        ("GET", f"/page{poor}", (PAGE,), b"", 403),
        ("GET", "/page?access_token=1&access_token=2", (PAGE,), b"", 400),
        ("GET", "/page", (PAGE, GRPC), b"", 200),
        ("GET", "/other", (PAGE,), b"", 401),
    ):
        answer = is_refused(stage, client, request(method, target, *fields, auth=auth))
        assert status_of(answer) == status and not field_of(answer, "Location"), target
    seen = passes(
        stage, client, request("GET", f"/page?access_token={token('a', scope='s')}", PAGE, auth=b""), private=True
    )
    assert seen.startswith(b"GET /page HTTP/1.1\r\n")


# --- what the router says -----------------------------------------------------------------------------------------------

SOME = "  - {name: api, hosts: [api.test], prefix: /api}\n  - {name: open, path: /open, methods: [GET], public: true}"


def test_r8_what_no_route_is_for_is_404_and_a_bad_path_400_and_the_connection_goes_on(
    pieces: int | None,
    tmp_path: Path,
) -> None:
    """No endpoint hears of either, whatever the token; bodies are skipped, pipelined requests served; only 400 is a bad request (THREATS R8)."""
    stage = Stage(pieces, **Policies(SOME).options(log=tmp_path / "log"))
    client, auth = stage.client(), bearer(token())
    for target, status in (
        ("/", 404),
        ("/apis", 404),
        ("/open/x", 404),
        ("/api%2fx", 400),
        ("/api/..%2f", 400),
        ("/api/%2e%2e/x", 404),
        ("/api/%00", 400),
    ):
        for credentials in (auth, b""):
            data = request("POST", target, "Content-Length: 5", body=b"hello", auth=credentials)
            assert status_of(is_refused(stage, client, data)) == status, target
            assert not client.is_gone()
    assert stage.totals["bad_requests"] == 6 and sum(stage.totals["refusals"]) == 0
    client.sends(request("GET", "/nowhere") + request("GET", "/api/x", auth=auth) + request("GET", "/api/%5c"))
    assert stage.server().take().startswith(b"GET /api/x ")
    stage.server().sends(OK)
    assert re.findall(rb"HTTP/1.1 (\d+)", client.take()) == [b"404", b"200", b"400"]
    lines = stage.records()
    assert {(line["status"], line.get("reason"), line.get("route")) for line in lines} == {
        (404, "no_route", None),
        (400, "ambiguous_path", None),
        (200, None, "api"),
    }


def test_r9_what_was_judged_is_what_is_forwarded(pieces: int | None) -> None:
    """One spelling of the path decides and goes on, the query as it was (THREATS R9)."""
    stage = Stage(pieces, **Policies(SOME).options())
    seen = passes(stage, stage.client(), request("GET", "/x/%2e./%61pi//./y?%61=/../", auth=bearer(token())))
    assert seen.startswith(b"GET /api/y?%61=/../ HTTP/1.1\r\n")


def test_a_head_of_a_public_get_is_public_and_a_post_is_not(pieces: int | None) -> None:
    """A route for GET covers HEAD; another method is no request of it (THREATS R5)."""
    stage = Stage(pieces, **Policies(SOME).options())
    client = stage.client()
    client.sends(request("HEAD", "/open", auth=b""))
    assert stage.server().take().startswith(b"HEAD /open ")
    stage.server().sends(OK.partition(b"ok")[0])
    assert status_of(client.take()) == 200
    assert status_of(is_refused(stage, client, request("POST", "/open", "Content-Length: 0", auth=b""))) == 404


# --- the metadata document ----------------------------------------------------------------------------------------------

MCP = (
    "  - {name: mcp, prefix: /mcp, scopes: {all: [tools]}, resource: {identifier: https://api.test/mcp, name: Tools}}\n"
    "  - {name: rest, prefix: /}"
)
METADATA = "/.well-known/oauth-protected-resource/mcp"


def test_a_preflight_passes_without_a_token_and_the_request_does_not(pieces: int | None) -> None:
    """CORS: a browser asks without a token; a public route for OPTIONS lets this pass, and no other request to the same path."""
    policies = Policies(
        "  - {name: preflight, prefix: /api, methods: [OPTIONS], public: true}\n  - {name: api, prefix: /api}"
    )
    stage = Stage(pieces, **policies.options())
    client = stage.client()
    asked = (
        "Origin: https://app.test",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: authorization",
    )
    assert b"\r\nAccess-Control-Request-Method: PUT\r\n" in passes(
        stage, client, request("OPTIONS", "/api/x", *asked, auth=b"")
    )
    assert status_of(is_refused(stage, client, request("PUT", "/api/x", asked[0], auth=b""))) == 401
    assert status_of(is_refused(stage, client, request("GET", "/api/x", *asked, auth=b""))) == 401
    passes(stage, client, request("PUT", "/api/x", asked[0], auth=bearer(token())))


def test_a_client_finds_its_way_from_the_challenge_to_the_issuer(pieces: int | None) -> None:
    """The challenge names the document, and that is served without a token to GET and HEAD, on one connection (RFC 9728)."""
    stage = Stage(pieces, **Policies(MCP, {"a": "required_scopes: [x]", "b": ""}).options())
    client = stage.client()
    challenge = field_of(is_refused(stage, client, request("GET", "/mcp/sse", auth=b"")), "WWW-Authenticate")
    assert f'resource_metadata="https://api.test{METADATA}"' in challenge
    client.sends(request("GET", METADATA, auth=b""))
    answer = client.take()
    assert status_of(answer) == 200 and field_of(answer, "Content-Type") == "application/json"
    head, _, body = answer.partition(b"\r\n\r\n")
    assert json.loads(body) == {
        "resource": "https://api.test/mcp",
        "authorization_servers": ["https://a.test", "https://b.test"],
        "scopes_supported": ["tools", "x"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Tools",
    }
    client.sends(request("HEAD", METADATA, auth=b"Authorization: Bearer rubbish\r\n"))
    bare = client.take()
    assert bare.endswith(b"\r\n\r\n") and field_of(bare, "Content-Length") == str(len(body))
    client.sends(request("GET", METADATA + "?x=1", auth=b""))
    assert status_of(client.take()) == 200
    assert stage.opened == [] and not client.is_gone()
    assert stage.totals["requests"][2] == 3 and sum(stage.totals["refusals"]) == 1 and stage.totals["accepted"] == 0
    assert b"Location" not in head


def test_the_document_is_not_a_hole(pieces: int | None) -> None:
    """Another method, and any other path below it, are requests like all others; so is the path of a resource that there is not."""
    stage = Stage(pieces, **Policies(MCP).options())
    client = stage.client()
    for method, target in (
        ("POST", METADATA),
        ("GET", METADATA + "/x"),
        ("GET", METADATA + "x"),
        ("GET", "/.well-known/oauth-protected-resource"),
    ):
        assert status_of(is_refused(stage, client, request(method, target, auth=b""))) == 401
    client.sends(request("GET", "/./mcp/.." + METADATA, auth=b""))
    assert status_of(client.take()) == 200


def test_each_route_refuses_in_its_own_style(pieces: int | None) -> None:
    """Text, a problem document with the reason, and other statuses, side by side on one connection."""
    policies = Policies(
        "  - {name: plain, prefix: /plain, scopes: {all: [s, t]}}\n"
        "  - {name: json, prefix: /json, scopes: {any: [s]}, refusals: {format: json, expose_reason: true}}\n"
        "  - {name: hidden, prefix: /hidden, scopes: {all: [s]}, refusals: {statuses: {403: 404, 401: 404}}}\n"
    )
    stage = Stage(pieces, **policies.options())
    client, auth = stage.client(), bearer(token())
    plain = is_refused(stage, client, request("GET", "/plain", auth=auth))
    assert status_of(plain) == 403 and 'scope="s t"' in field_of(plain, "WWW-Authenticate") and b"reason" not in plain
    exposed = is_refused(stage, client, request("GET", "/json", auth=auth))
    assert json.loads(exposed.partition(b"\r\n\r\n")[2])["reason"] == "insufficient_scope"
    for credentials in (auth, b""):
        hidden = is_refused(stage, client, request("GET", "/hidden", auth=credentials))
        assert status_of(hidden) == 404 and not field_of(hidden, "WWW-Authenticate")
    assert stage.totals["requests"][4] == 4 and stage.totals["refusals"][DenyReason.INSUFFICIENT_SCOPE] == 3


# --- the log ------------------------------------------------------------------------------------------------------------


def test_the_log_names_route_issuer_and_reason_and_never_a_token_or_query(
    pieces: int | None,
    tmp_path: Path,
) -> None:
    """Each record says what was decided and why; of a token nothing is in it, wherever it stood, good or bad (THREATS P8)."""
    policies = Policies(
        "  - {name: try, prefix: /try, report_only: true}\n  - {name: rest, prefix: /}",
        {"a": "from_params: [{name: t}], from_cookies: [{name: s}], from_headers: [{name: Authorization}]", "b": ""},
    )
    stage = Stage(pieces, **policies.options(log=tmp_path / "log"))
    client, good, bad = stage.client(), token("a"), token("a", exp=int(time.time()) - 3600)

    def asks(target: str, *fields: str, auth: bytes = b"") -> None:
        client.sends(request("GET", target, *fields, auth=auth))
        if stage.opened:
            stage.server().take()
            stage.server().sends(OK)
        client.take()

    asks(f"/x?t={good}&canary=1")
    asks("/x", f"Cookie: s={bad}")
    asks(f"/try/1?t={bad}")
    asks("/x", auth=bearer(good))
    asks("/x?canary=2", auth=b"Authorization: Bearer canary canary\r\n")
    lines = stage.records()
    text = (tmp_path / "log").read_bytes()
    assert b"canary" not in text and not any(part.encode() in text for word in (good, bad) for part in word.split("."))
    assert [tuple(line.get(key) for key in ("path", "status", "route", "issuer", "reason", "would_refuse")) for line in lines] == [
        ("/x", 200, "rest", "a", None, None),
        ("/x", 401, "rest", "a", "expired", None),
        ("/try/1", 200, "try", "a", None, "expired"),
        ("/x", 200, "rest", "a", None, None),
        ("/x", 400, "rest", None, "malformed_credentials", None),
    ]  # fmt: skip


def test_a_refused_client_is_a_client_like_all_others(pieces: int | None) -> None:
    """After refusals in every form on one connection its good request is served, and counted as the only one that was accepted."""
    stage = Stage(pieces, **Policies(MCP).options())
    client: Client = stage.client()
    for fields in ((), (GRPC,), (PAGE,)):
        is_refused(stage, client, request("GET", "/mcp", *fields, auth=b""))
    passes(stage, client, request("GET", "/mcp", auth=bearer(token(scope="tools"))))
    assert (stage.totals["accepted"], sum(stage.totals["refusals"]), stage.totals["in_flight"]) == (1, 3, 0)
