"""The WSGI middleware, called without a server."""

import io
import json
import sys
import threading
import time
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

from lbjwt import Verifier
from lbjwt.wsgi import JWTMiddleware, OpenBody
from tests.harness.tokens import TokenFactory
from tests.unit.web_calls import call_wsgi

FACTORY = TokenFactory()
VERIFIER = Verifier.from_jwks(json.dumps(FACTORY.jwks()), issuer=FACTORY.issuer, audiences=[FACTORY.audience])
GOOD = FACTORY.mint("ES256", scope="read")
OLD = FACTORY.mint("ES256", exp=1)


def telling(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(environ["lbjwt.claims"]).encode()]


def guarded(**requirements):
    return JWTMiddleware(telling, VERIFIER, **requirements)


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({}, 401),
        ({"HTTP_AUTHORIZATION": f"Bearer {GOOD}"}, 200),
        ({"HTTP_AUTHORIZATION": f"Bearer {OLD}"}, 401),
        ({"HTTP_AUTHORIZATION": f"Bearer {GOOD},Bearer {GOOD}"}, 400),
        ({"HTTP_AUTHORIZATION": f"Bearer {GOOD}\r\nX: y"}, 400),
        ({"HTTP_AUTHORIZATION": f"Bearer {FACTORY.mint('ES256')}"}, 403),
        ({"lbjwt.claims": {"sub": "root"}, "REMOTE_USER": "root"}, 401),
        ({"PATH_INFO": "/health"}, 200),
        ({"SCRIPT_NAME": "/app", "PATH_INFO": "/health"}, 200),
        ({"SCRIPT_NAME": "/health", "PATH_INFO": "/admin", "HTTP_SCRIPT_NAME": "/health"}, 401),
        ({"SCRIPT_NAME": "/health", "PATH_INFO": ""}, 401),
        ({"PATH_INFO": "/caf\xc3\xa9"}, 401),
        ({"PATH_INFO": "/caf\xe9"}, 400),
        ({"QUERY_STRING": f"access_token={GOOD}"}, 401),
    ],
)
def test_who_gets_through(environ, status):
    """The same answers as behind ASGI; fields of one name come joined."""
    answered = call_wsgi(guarded(scopes=["read"], public=["/health"]), **environ)
    assert answered.status == status
    if status != 200:
        assert answered.header("content-length") == [str(len(answered.body))]
    if status in (401, 403):
        assert answered.header("www-authenticate")[0].startswith('Bearer realm="lbjwt"')


def test_claims_of_others_are_replaced():
    """On a public path, too."""
    answered = call_wsgi(guarded(public=["/health"]), "/health", **{"lbjwt.claims": {"sub": "root"}})
    assert answered.body == b"null"
    answered = call_wsgi(guarded(), HTTP_AUTHORIZATION=f"Bearer {GOOD}")
    assert json.loads(answered.body)["sub"] == "alice"


def test_a_token_in_the_query_keeps_the_response_out_of_shared_caches():
    answered = call_wsgi(guarded(from_params=["access_token"]), QUERY_STRING=f"access_token={GOOD}")
    assert (answered.status, answered.header("cache-control")) == (200, ["private"])


@pytest.mark.parametrize("kind", ["text/event-stream", "application/octet-stream"])
def test_a_response_in_parts_ends_with_its_token(kind, monkeypatch):
    """At the next part. Events end as a whole; of anything else nobody should take the half for the whole."""
    ahead, closed = [0.0], []
    monkeypatch.setattr("lbjwt.wsgi.OpenBody", lambda *given: OpenBody(*given, 0.0, lambda: time.time() + ahead[0]))

    def parts(environ, start_response):
        start_response("200 OK", [("Content-Type", kind)])
        try:
            for number in range(1000):
                yield b"%d" % number
                ahead[0] = 7200.0 if number == 1 else ahead[0]
        finally:
            closed.append(environ["PATH_INFO"])

    def received(**requirements):
        ahead[0] = 0.0
        app = JWTMiddleware(parts, VERIFIER, **requirements)
        got = []
        environ = {"HTTP_AUTHORIZATION": f"Bearer {GOOD}"}
        setup_testing_defaults(environ)
        body = app(environ, lambda status, headers: None)
        try:
            for part in body:
                got.append(part)
        finally:
            body.close()
        return got

    if kind == "text/event-stream":
        assert received() == [b"0", b"1"]
    else:
        with pytest.raises(OSError, match="no longer valid"):
            received()
    assert closed == ["/"]
    assert len(received(end_streams=False)) == 1000


def test_a_body_that_is_there_as_a_whole_stays_as_it_is():
    """A list, whose length the server looks at, and a file that the server sends by itself."""
    whole = [b"all"]
    wrapped = FileWrapper(io.BytesIO(b"all"))
    for body in (whole, wrapped):
        app = JWTMiddleware(lambda environ, start_response, body=body: body, VERIFIER)
        environ = {"HTTP_AUTHORIZATION": f"Bearer {GOOD}", "wsgi.file_wrapper": FileWrapper}
        setup_testing_defaults(environ)
        assert app(environ, lambda status, headers: None) is body


def test_head_gets_no_body():
    assert call_wsgi(guarded(), REQUEST_METHOD="HEAD").body == b""


def test_threads_do_not_share_what_they_found():
    """Each request of several threads gets the claims of its own token, also while others are refused."""
    tokens = {name: FACTORY.mint("ES256", sub=name) for name in ("ada", "bob", "eve")}
    app = guarded(from_cookies=["session"], from_headers=[{"name": "Authorization"}])
    wrong = []

    def work(name):
        for number in range(200):
            place = (
                {"HTTP_COOKIE": f"session={tokens[name]}"}
                if number % 2
                else {"HTTP_AUTHORIZATION": f"Bearer {tokens[name]}"}
            )
            answered = call_wsgi(app, **place)
            if answered.status != 200 or json.loads(answered.body)["sub"] != name:
                wrong.append((name, answered))
            if call_wsgi(app, HTTP_AUTHORIZATION="Bearer nonsense").status != 401:
                wrong.append((name, "passed"))

    threads = [threading.Thread(target=work, args=[name]) for name in tokens]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
