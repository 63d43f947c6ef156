"""The ASGI middleware: who gets through, what the application sees, and the answers to everybody else. The application is called without a server."""

import asyncio
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from lbjwt import KeyRing, Verifier
from lbjwt.asgi import JWTMiddleware
from lbjwt.errors import ConfigurationError
from lbjwt.web.open_streams import OpenSocket, OpenStreams
from tests.harness.examples import examples
from tests.harness.tokens import TokenFactory
from tests.unit.web_calls import Answered, acall, asgi_scope, call, connect, telling

FACTORY = TokenFactory()
VERIFIER = Verifier.from_jwks(json.dumps(FACTORY.jwks()), issuer=FACTORY.issuer, audiences=[FACTORY.audience])
GOOD = FACTORY.mint("ES256", scope="read write", tier="gold")
BARE = FACTORY.mint("ES256")
OLD = FACTORY.mint("ES256", exp=1)
OTHER = FACTORY.mint("RS256", scope="read write", tier="gold")


def guarded(**requirements):
    return JWTMiddleware(telling, VERIFIER, **requirements)


def bearer(token, name="authorization"):
    return [(name, f"Bearer {token}")]


@pytest.mark.parametrize(
    ("headers", "status", "challenge"),
    [
        ([], 401, 'Bearer realm="lbjwt"'),
        ([("authorization", "Basic dTpw")], 401, 'Bearer realm="lbjwt"'),
        (bearer(OLD), 401, 'Bearer realm="lbjwt", error="invalid_token"'),
        (bearer(BARE), 403, 'Bearer realm="lbjwt", error="insufficient_scope", scope="read"'),
        ([*bearer(GOOD), *bearer(GOOD)], 400, 'Bearer realm="lbjwt", error="invalid_request"'),
        ([*bearer(GOOD), *bearer(OTHER)], 400, 'Bearer realm="lbjwt", error="invalid_request"'),
        ([*bearer(GOOD), *bearer(GOOD, "Authorization")], 400, 'Bearer realm="lbjwt", error="invalid_request"'),
        ([*bearer(GOOD), ("authorization", "")], 400, 'Bearer realm="lbjwt", error="invalid_request"'),
        (bearer(f"{GOOD}, Bearer {GOOD}"), 400, 'Bearer realm="lbjwt", error="invalid_request"'),
        (bearer(""), 400, 'Bearer realm="lbjwt", error="invalid_request"'),
        (bearer("a.b"), 401, 'Bearer realm="lbjwt", error="invalid_token"'),
    ],
)
def test_a_refused_request_is_answered_as_by_the_balancer(headers, status, challenge):
    """Status and challenge of RFC 6750 section 3, and the application is not called."""
    answered = call(guarded(scopes=["read"]), headers=headers)
    assert (answered.status, answered.header("www-authenticate")) == (status, [challenge])
    assert answered.header("cache-control") == ["no-store"]
    assert answered.header("content-length") == [str(len(answered.body))]


@pytest.mark.parametrize(
    "headers",
    [
        bearer(GOOD),
        bearer(GOOD, "Authorization"),
        [("authorization", f"bearer {GOOD}")],
        [("authorization", f"BEARER  {GOOD}")],
        [*bearer(GOOD), ("content-type", "application/grpc"), ("connection", "authorization")],
        [*bearer(GOOD), ("x-odd\x01name", "caf\xe9\x7f"), ("host", "a b")],
    ],
)
def test_a_good_token_passes(headers):
    """The application gets the claims; fields that hold no token are nobody's business here."""
    answered = call(guarded(scopes=["read"]), headers=headers)
    assert answered.status == 200
    assert (answered.seen["claims"]["scope"], answered.seen["issuer"]) == ("read write", FACTORY.issuer)


def test_a_grpc_client_gets_no_200():
    """A refusal is a refusal by its HTTP status, whatever the request says it is."""
    assert call(guarded(), headers=[("content-type", "application/grpc")]).status == 401


@pytest.mark.parametrize("value", ["x\r\nauthorization: Bearer " + GOOD, "x\nauthorization: Bearer " + GOOD, "x\ry"])
def test_a_value_cannot_become_a_line_of_its_own(value):
    """What no server delivers is refused, and is not read as another field."""
    assert call(guarded(), headers=[("authorization", value)]).status == 400


def test_state_of_others_is_replaced():
    """Claims that somebody put into the scope count for nothing, with and without a token."""
    forged = {"claims": {"sub": "root"}, "verified_token": "forged"}
    without = call(guarded(optional=True), state={**forged, "kept": 1})
    assert without.seen["claims"] is None and without.seen["issuer"] is None
    with_one = call(guarded(optional=True), headers=bearer(BARE), state=dict(forged))
    assert with_one.seen["claims"]["sub"] == "alice"


def test_optional_still_refuses_a_bad_token():
    assert [call(guarded(optional=True), headers=headers).status for headers in ([], bearer(BARE), bearer(OLD))] == [
        200,
        200,
        401,
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/static/a.css", 200),
        ("/static", 200),
        ("/orders", 401),
        ("/health/x", 401),
        ("/statics", 401),
        ("/static/../orders", 400),
        ("/orders/../health", 400),
        ("//health", 400),
        ("/Health", 400),
        ("/health\\..\\orders", 400),
        ("/static/..;/orders", 400),
        ("/static/%2e%2e/orders", 400),
        ("/caf\xe9 \u20ac", 401),
        ("", 401),
    ],
)
def test_a_public_path_is_one_that_every_reader_takes_for_it(path, status):
    """Paths are those that the application routes by. One that is read in two ways is refused, and never public."""
    assert call(guarded(public=["/health"], public_prefixes=["/static"]), path).status == status


@pytest.mark.parametrize(
    ("root", "path", "status"),
    [
        *(("/app", "/app/health", 200), ("/app", "/health", 200), ("/app", "/apphealth", 401), ("/app", "/app", 401)),
        *(("/health", "/health/orders", 401), ("/health", "/health", 401), ("/app", "/app/app/health", 401)),
    ],
)
def test_a_public_path_is_that_of_the_application_and_not_of_its_mount(root, path, status):
    assert call(guarded(public=["/health"]), path, root_path=root).status == status


GUARDED = guarded(public=["/a"], public_prefixes=["/b"])
PATHS = st.text(st.sampled_from("/.%;:abAB2eEfF\\?#*~ \x00\ud800é\u2215"), max_size=12).map(lambda text: f"/{text}")


@settings(max_examples=examples(600), deadline=None)
@given(PATHS | st.sampled_from(["/a", "/b", "/b/"]).flatmap(lambda start: PATHS.map(lambda path: start + path[1:])))
def test_no_spelling_of_another_path_is_public(path):
    """Without a token only what is literally a public path passes: whatever the application decodes, resolves or cuts off."""
    if call(GUARDED, path).status == 200:
        assert path in ("/a", "/b") or path.startswith("/b/")
        assert not {".", "..", ""} & set(path.split("/")[1:-1])
        assert "\\" not in path and path.rsplit("/", 1)[1] not in (".", "..")


@pytest.mark.parametrize("token", ["rubbish", OLD])
def test_a_public_path_reads_no_token(token):
    answered = call(guarded(public=["/health"]), "/health", bearer(token))
    assert (answered.status, answered.seen["claims"]) == (200, None)


@pytest.mark.parametrize(
    ("requirements", "status"),
    [
        ({"any_scope": ["admin", "write"]}, 200),
        ({"any_scope": ["admin"]}, 403),
        ({"audiences": ["other"]}, 401),
        ({"rules": [{"claim": "tier", "equals": "gold"}]}, 200),
        ({"rules": [{"claim": "tier", "equals": "tin"}]}, 403),
        ({"rules": [{"claim": "tier", "equals": "tin", "report_only": True}]}, 200),
    ],
)
def test_requirements_are_those_of_a_route(requirements, status):
    assert call(guarded(**requirements), headers=bearer(GOOD)).status == status


def test_other_locations_hold_the_token_only_if_asked_for():
    """A token in the query, a cookie or another header is none unless its place is named; then the usual one is none."""
    query = {"query_string": f"access_token={GOOD}".encode()}
    cookie = [("cookie", f"a=b; session={GOOD}")]
    other = [("x-token", GOOD)]
    assert call(guarded(), **query).status == 401
    assert call(guarded(), headers=[*cookie, *other]).status == 401
    answered = call(guarded(from_params=["access_token"]), **query)
    assert (answered.status, answered.header("cache-control")) == (200, ["private"])
    assert call(guarded(from_cookies=["session"]), headers=cookie).status == 200
    assert call(guarded(from_cookies=["session"]), headers=bearer(GOOD)).status == 401
    named = guarded(from_headers=[{"name": "X-Token", "scheme": ""}], from_cookies=["session"])
    assert call(named, headers=other).status == 200
    assert call(named, headers=[*other, ("cookie", f"session={BARE}")]).status == 400


def test_reasons_are_exposed_only_if_asked_for():
    told = call(guarded(expose_reason=True, json=True), headers=bearer(OLD))
    assert told.header("content-type") == ["application/problem+json"]
    assert json.loads(told.body)["reason"] == "expired"
    assert b"expired" not in call(guarded(), headers=bearer(OLD)).body


def test_head_gets_no_body():
    answered = call(guarded(), method="HEAD")
    assert (answered.status, answered.body) == (401, b"")


async def echo(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps([scope["state"]["claims"]["sub"], scope["subprotocols"]])})


def test_a_refused_websocket():
    """With the extension it gets the whole answer, without it the close that a server turns into 403."""
    app = JWTMiddleware(echo, VERIFIER)
    answered = connect(app, bearer(OLD), extensions={"websocket.http.response": {}})
    assert (answered.status, answered.header("www-authenticate")) == (
        401,
        ['Bearer realm="lbjwt", error="invalid_token"'],
    )
    assert connect(app, bearer(OLD)).sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]


def test_a_websocket_with_its_token_as_a_subprotocol():
    """The application does not see the token among the subprotocols, and the handshake picks one."""
    app = JWTMiddleware(echo, VERIFIER, from_subprotocol=True)
    offered = ["chat", "bearer", GOOD]
    answered = connect(app, [("sec-websocket-protocol", ", ".join(offered))], subprotocols=offered)
    assert answered.sent[0] == {"type": "websocket.accept", "subprotocol": "bearer"}
    assert json.loads(answered.sent[1]["text"]) == ["alice", ["chat"]]


class Ahead:
    """A clock that the tests turn on, for middleware that looks often."""

    seconds = 0.0

    def __call__(self):
        return time.time() + self.seconds

    def streams(self, verifier):
        return OpenStreams(verifier, 0.01, self)


@pytest.fixture
def ahead(monkeypatch):
    made = Ahead()
    monkeypatch.setattr("lbjwt.asgi.OpenStreams", made.streams)
    return made


@pytest.mark.parametrize("end", ["expired", "withdrawn"])
def test_a_websocket_ends_with_its_token(end, ahead):
    """When it expires or its key goes, the client gets a close and the application an error; another one stays open."""
    verifier = Verifier.from_jwks(json.dumps(FACTORY.jwks()), issuer=FACTORY.issuer, audiences=[FACTORY.audience])

    def happen():
        if end == "expired":
            ahead.seconds = 7200.0
        else:
            left = [key for key in FACTORY.jwks()["keys"] if key["kid"] != "ES256"]
            verifier.publish(KeyRing.from_jwks(json.dumps({"keys": left})))

    async def endless(scope, receive, send):
        """Sends until it is told that the client has left."""
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        if scope["state"]["verified_token"].key_id == "ES256":
            happen()
        while True:
            await send({"type": "websocket.send", "text": "news"})
            await asyncio.sleep(0.01)

    async def scenario():
        app = JWTMiddleware(endless, verifier)
        longer = FACTORY.mint("RS256", exp=time.time() + 86_400)
        other = asyncio.create_task(acall(app, asgi_scope("websocket", headers=bearer(longer))))
        answered = Answered()
        with pytest.raises(OSError, match="no longer valid"):
            await acall(app, asgi_scope("websocket", headers=bearer(FACTORY.mint("ES256"))), answered)
        await asyncio.sleep(0.05)
        assert not other.done()
        other.cancel()
        return answered

    answered = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert answered.sent[0]["type"] == "websocket.accept"
    assert answered.sent[-1] == {"type": "websocket.close", "code": 1008, "reason": ""}


def parts_of(kind, ahead, ended):
    """An application that sends parts until it is cancelled, in a task of its own as Starlette does."""

    async def parts(send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", kind)]})
        while True:
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            ahead.seconds = 7200.0
            await asyncio.sleep(0.01)

    async def app(scope, receive, send):
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(parts(send))
        finally:
            ended.append(scope["path"])

    return app


@pytest.mark.parametrize(
    ("kind", "whole"), [(b"text/event-stream; charset=utf-8", True), (b"application/octet-stream", False)]
)
def test_a_response_in_parts_ends_with_its_token(kind, whole, ahead):
    """The application is cancelled. Events end as a whole; of anything else nobody should take the half for the whole."""
    ended, answered = [], Answered()

    async def scenario():
        app = JWTMiddleware(parts_of(kind, ahead, ended), VERIFIER)
        await acall(app, asgi_scope(headers=bearer(FACTORY.mint("ES256", jti="parts"))), answered)
        assert asyncio.current_task().cancelling() == 0

    if whole:
        asyncio.run(asyncio.wait_for(scenario(), 60))
        assert answered.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    else:
        with pytest.raises(OSError, match="no longer valid"):
            asyncio.run(asyncio.wait_for(scenario(), 60))
        assert answered.sent[-1]["more_body"]
    assert ended == ["/"]


def test_a_response_in_parts_outlives_its_token_where_nobody_ends_it(ahead):
    """With `end_streams=False`, without a token, and when the response was complete before the token ended."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        if scope["path"] == "/background":
            await send({"type": "http.response.body", "body": b"2", "more_body": False})
        ahead.seconds = 7200.0
        await asyncio.sleep(0.05)
        if scope["path"] != "/background":
            await send({"type": "http.response.body", "body": b"2", "more_body": False})

    for path, requirements, headers in (
        ("/", {"end_streams": False}, bearer(GOOD)),
        ("/", {"optional": True}, []),
        ("/background", {}, bearer(GOOD)),
    ):
        ahead.seconds = 0.0
        assert call(JWTMiddleware(app, VERIFIER, **requirements), path, headers).body == b"12"


def test_starlette_streams_end_with_their_token(ahead):
    """Its response runs in a task group of anyio, and its background task is not for ended ones."""
    ended = []

    async def events():
        try:
            while True:
                yield "data: 1\n\n"
                ahead.seconds = 7200.0
                await asyncio.sleep(0.01)
        finally:
            ended.append("events")

    async def endpoint(request):
        return StreamingResponse(events(), media_type="text/event-stream")

    app = JWTMiddleware(Starlette(routes=[Route("/", endpoint)]), VERIFIER)
    for version in (
        "2.3",
        "2.4",
    ):  # of the ASGI specification: Starlette listens for the end of the client by itself up to 2.3
        ahead.seconds = 0.0
        answered = call(app, headers=bearer(GOOD), asgi={"version": "3.0", "spec_version": version})
        assert answered.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert ended == ["events"] * 2


def test_after_the_end_nothing_of_a_websocket_reaches_the_application():
    """Servers pass on what the client sends until it has answered the close, which it may never do."""

    async def receive():
        return {"type": "websocket.receive", "text": "delete everything"}

    async def send(message):
        pass

    async def scenario():
        socket = OpenSocket(receive, send, VERIFIER.verify(GOOD).grant, 0.0)
        before = (await socket.receive())["type"]
        await socket.end()
        return before, await socket.receive()

    assert asyncio.run(scenario()) == (
        "websocket.receive",
        {"type": "websocket.disconnect", "code": 1008, "reason": ""},
    )


def test_an_unknown_kind_of_connection_is_refused():
    """Nothing passes unseen because the middleware does not know it."""
    with pytest.raises(ValueError, match="webtransport"):
        asyncio.run(acall(JWTMiddleware(telling, VERIFIER), asgi_scope("webtransport")))


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        ({"scopes": "read"}, "scopes must be a list"),
        ({"scopes": ["a b"]}, "scope"),
        ({"public": ["/a/../b"]}, "path"),
        ({"rules": [{"claim": "a"}]}, "operator"),
        ({"from_params": ["a b"]}, "parameter"),
        ({"realm": "a\nb"}, "realm"),
    ],
)
def test_a_wrong_requirement_is_named(requirements, message):
    """A mistake shows when the program starts, in the words of the configuration."""
    with pytest.raises(ConfigurationError, match=message):
        guarded(**requirements)


def test_withdrawn_keys_end_known_tokens():
    """The cache of verified tokens is the verifier's: a key that is replaced takes its tokens along."""
    verifier = Verifier.from_jwks(json.dumps(FACTORY.jwks()), issuer=FACTORY.issuer, audiences=[FACTORY.audience])
    app = JWTMiddleware(telling, verifier)
    assert call(app, headers=bearer(GOOD)).status == 200
    verifier.publish(KeyRing.from_jwks(json.dumps(TokenFactory().jwks())))
    assert call(app, headers=bearer(GOOD)).status == 401
    verifier.publish(None)
    answered = call(app, headers=bearer(GOOD))
    assert (answered.status, answered.header("retry-after")) == (503, ["5"])
