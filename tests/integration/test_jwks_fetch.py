"""Fetching a key set from servers that are honest, broken or hostile."""

import asyncio
import contextlib
import gzip
import ipaddress
import socket
import ssl
import time

import pytest
from aiohttp import web

from lbjwt.keys import fetcher as module
from lbjwt.keys.errors import JWKSFetchError
from tests.integration.jwks_scene import fetch

DOCUMENT = b'{"keys": []}'


def fetched(handler, *, path="/jwks", tls=None, **options):
    """Fetch from a local server with one handler; returns what `fetch` returned, and the requests that came (also on its error)."""
    seen = []

    async def remember(request):
        seen.append(request)
        return await handler(request)

    async def run():
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", remember)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        host = "localhost" if tls else "127.0.0.1"
        try:
            return await fetch(f"{'https' if tls else 'http'}://{host}:{port}{path}", **options)
        finally:
            await runner.cleanup()

    try:
        return asyncio.run(run()), seen
    except JWKSFetchError as error:
        error.seen = seen
        raise


def raw(answer, *, timeout=30.0, **options):
    """Fetch from a server that writes `answer` (bytes, or pieces with pauses between them) and keeps the connection open."""

    async def serve(reader, writer):
        served.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            for piece in [answer] if isinstance(answer, bytes) else answer:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)
            await reader.read()
        writer.transport.abort()

    served = []

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await fetch(f"http://127.0.0.1:{port}/jwks", timeout=timeout, **options)
        finally:
            server.close()
            for task in served:
                task.cancel()
            await asyncio.wait(served)
            await asyncio.sleep(0)

    return asyncio.run(run())


async def honest(request):
    return web.Response(body=DOCUMENT, content_type="application/jwk-set+json")


def test_a_document_comes_out_as_it_is():
    """A 200 gives its body; the request asks for no coding, carries no cookie and names no versions."""
    answer, (request,) = fetched(honest)
    assert answer.document == DOCUMENT
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["User-Agent"] == "lbjwt"
    assert "Cookie" not in request.headers
    assert request.method == "GET"


def test_the_content_type_does_not_matter():
    """Many issuers serve their keys as text/plain: what the bytes are is for the reader of key sets to say."""

    async def plain(request):
        return web.Response(body=b"<html>", content_type="text/html")

    assert fetched(plain)[0].document == b"<html>"


def chain(*locations, status=302):
    """A handler: `/jwks` leads to the first location, that one to the second and so on; the last place answers."""
    left = list(locations)

    async def answer(request):
        if left:
            return web.Response(status=status, headers={"Location": left.pop(0)})
        return web.Response(body=DOCUMENT)

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_origin_is_followed(status):
    """To another path, with the same request, over a connection of its own."""
    answer, requests = fetched(chain("/other?v=1", status=status), etag='"a"')
    assert answer.document == DOCUMENT
    assert [str(request.rel_url) for request in requests] == ["/jwks", "/other?v=1"]
    assert {request.headers["Connection"] for request in requests} == {"close"}
    assert {request.method for request in requests} == {"GET"}
    assert {request.headers["If-None-Match"] for request in requests} == {'"a"'}


def test_three_redirects_and_no_more():
    """A chain of three arrives; one of four, and a loop, end as one sentence."""
    assert fetched(chain("/1", "/2", "/3"))[0].document == DOCUMENT
    for locations in (["/1", "/2", "/3", "/4"], ["/jwks"] * 100):
        with pytest.raises(JWKSFetchError, match="more than 3 redirects") as caught:
            fetched(chain(*locations))
        assert len(caught.value.seen) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{other}/keys",
        "//127.0.0.1:{other}/keys",
        "http://localhost:{port}/keys",
        "http://127.0.0.1.evil.example/keys",
        "https://127.0.0.1:{port}/keys",
        "http://user@127.0.0.1:{port}/keys",
        "http://127.0.0.1:{port}@127.0.0.1:{other}/keys",
        "\\\\127.0.0.1:{other}\\keys",
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "",
    ],
)
def test_b7_a_redirect_elsewhere_is_not_followed(location):
    """Another host, port, name or scheme: nobody moves the keys there, and nothing connects to it (THREATS B7)."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.0)

        async def elsewhere(request):
            port = request.transport.get_extra_info("sockname")[1]
            place = location.format(other=other.getsockname()[1], port=port)
            return web.Response(status=302, headers={"Location": place})

        with pytest.raises(JWKSFetchError, match="redirect") as caught:
            fetched(elsewhere)
        assert len(caught.value.seen) == 1
        with pytest.raises(BlockingIOError):
            other.accept()


def test_b7_a_step_down_from_https_is_not_followed(files):
    """The same host and port, but http (THREATS B7)."""

    async def down(request):
        return web.Response(status=301, headers={"Location": f"http://{request.host}/keys"})

    server, trusting = tls_pair(files)
    with pytest.raises(JWKSFetchError, match="another origin"):
        fetched(down, tls=server, ssl_context=trusting)


def test_a_redirect_to_nowhere():
    """A 302 without Location is an error that says so."""

    async def nowhere(request):
        return web.Response(status=302)

    with pytest.raises(JWKSFetchError, match="redirect without a Location"):
        fetched(nowhere)


def test_the_deadline_is_for_all_redirects_together():
    """Three slow hops do not have three times the time."""

    async def slow(request):
        await asyncio.sleep(0.2)
        return web.Response(status=302, headers={"Location": "/next"})

    with pytest.raises(JWKSFetchError, match=r"within 0\.3 s"):
        fetched(slow, timeout=0.3)


def test_an_unchanged_document_is_not_sent_again():
    """The entity tag goes back as it came; a 304 is word without a body, and tells its freshness too."""

    async def known(request):
        assert request.headers["If-None-Match"] == 'W/"a-1"'
        assert "Cache-Control" not in request.headers
        return web.Response(status=304, headers={"Cache-Control": "max-age=77", "ETag": 'W/"a-2"'})

    answer, _ = fetched(known, etag='W/"a-1"')
    assert answer.document is None
    assert answer.etag == 'W/"a-2"'
    assert answer.max_age == 77


def test_a_304_that_nobody_asked_for_is_an_error():
    """Without a document of our own there is nothing it could be about; and a question without a tag goes past caches."""

    async def rude(request):
        assert "If-None-Match" not in request.headers
        assert request.headers["Cache-Control"] == "no-cache"
        return web.Response(status=304)

    with pytest.raises(JWKSFetchError, match="status 304"):
        fetched(rude)


@pytest.mark.parametrize(
    ("etag", "kept"),
    [
        ('"abc"', '"abc"'),
        ('W/"abc"', 'W/"abc"'),
        ('""', '""'),
        ("abc", None),
        ('"abc', None),
        ('"', None),
        ('w/"abc"', None),
        ('"a b"', None),
        ('"a"b"', None),
        ('"\xe4"', None),
        ('"' + "a" * 300 + '"', None),
        ("", None),
        ("*", None),
    ],
)
def test_only_a_proper_entity_tag_is_kept(etag, kept):
    """It goes into our next request; what is no entity tag is forgotten (RFC 9110 section 8.8.3)."""

    async def tagged(request):
        return web.Response(body=DOCUMENT, headers={"ETag": etag})

    assert fetched(tagged)[0].etag == kept


def test_two_entity_tags_are_none():
    """Which one would it be?"""
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "a"\r\nETag: "b"\r\n\r\n{}'
    assert raw(head).etag is None


@pytest.mark.parametrize(
    ("fields", "max_age"),
    [
        ({}, None),
        ({"Cache-Control": "public, max-age=600"}, 600),
        ({"Cache-Control": "max-age=600", "Age": "100"}, 500),
        ({"Cache-Control": "max-age=99999999999999999999"}, 2**31),
        ({"Cache-Control": "max-age=-5"}, 0),
        ({"Cache-Control": "no-store"}, 0),
        ({"Expires": "Sun, 06 Nov 1994 08:59:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 600),
        ({"Expires": "0"}, 0),
    ],
)
def test_freshness_comes_from_the_response(fields, max_age):
    """Cache-Control, Expires and Age, honest and hostile."""

    async def fresh(request):
        return web.Response(body=DOCUMENT, headers=fields)

    assert fetched(fresh)[0].max_age == max_age


def test_the_clock_of_the_server_is_told():
    """The Date field, for whoever compares clocks; nonsense is nothing."""

    async def dated(request):
        return web.Response(body=DOCUMENT, headers={"Date": "Sun, 06 Nov 1994 08:49:37 GMT"})

    async def timeless(request):
        return web.Response(body=DOCUMENT, headers={"Date": "yesterday"})

    assert fetched(dated)[0].date == 784_111_777
    assert fetched(timeless)[0].date is None
    assert abs(fetched(honest)[0].date - time.time()) < 60


@pytest.mark.parametrize("status", [204, 206, 401, 404, 500, 503])
def test_only_200_has_keys(status):
    """Every other status is an error that names it, even with a body that would do."""

    async def other(request):
        return web.Response(status=status, body=DOCUMENT if status != 204 else b"")

    with pytest.raises(JWKSFetchError, match=f"status {status}"):
        fetched(other)


def test_b9_a_compressed_body_is_refused_unread():
    """A gzip body was not asked for and is not unpacked: no bomb goes off (THREATS B9)."""

    async def bomb(request):
        return web.Response(body=gzip.compress(bytes(10_000_000)), headers={"Content-Encoding": "gzip"})

    with pytest.raises(JWKSFetchError, match="compressed"):
        fetched(bomb)


@pytest.mark.parametrize("chunked", [False, True])
def test_b9_ten_mebibytes_are_too_much(chunked):
    """The limit holds whether the length is told or not, and reading stops soon after it."""
    sent = 0

    async def huge(request):
        nonlocal sent
        response = web.StreamResponse()
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = 10 << 20
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            for _ in range(160):
                await response.write(bytes(65536))
                sent += 65536
        return response

    with pytest.raises(JWKSFetchError, match="more than 262144 bytes"):
        fetched(huge)
    assert sent < 9 << 20


def test_the_limit_is_exact():
    """A body of just the limit is fine, one byte more is not."""

    async def sized(request):
        return web.Response(body=bytes(int(request.query["n"])))

    assert len(fetched(sized, path="/?n=2000", max_bytes=2000)[0].document) == 2000
    with pytest.raises(JWKSFetchError, match="more than 2000 bytes"):
        fetched(sized, path="/?n=2001", max_bytes=2000)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        [b"H", b"T", b"T", b"P"] * 500,
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"] + [b"x"] * 900,
    ],
    ids=["silence", "half a head", "half a body", "dripped head", "dripped body"],
)
def test_b9_the_whole_fetch_has_one_deadline(answer):
    """Silence and one byte now and then end at the deadline, not later for every byte that comes."""
    start = time.monotonic()
    with pytest.raises(JWKSFetchError, match=r"(?s)did not answer completely|did not speak HTTP"):
        raw(answer, timeout=0.3)
    assert time.monotonic() - start < 15.0  # all the pieces take longer


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\0: 1\r\n\r\n",
    ],
    ids=["another protocol", "bad length", "bad chunk", "endless field", "NUL name"],
)
def test_what_is_no_http_is_one_sentence(answer):
    """Whatever aiohttp's parser says of garbage comes out as a fetch error."""
    with pytest.raises(JWKSFetchError):
        raw(answer, timeout=1.0)


def test_a_body_cut_short_is_no_document():
    """A connection closed before the announced length gives an error, not the half."""

    async def cut(request):
        response = web.StreamResponse()
        response.content_length = 100
        await response.prepare(request)
        await response.write(b"{}")
        request.transport.abort()
        return response

    with pytest.raises(JWKSFetchError, match="closed the connection"):
        fetched(cut)


def test_nobody_there():
    """A refused connection is told as such."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(JWKSFetchError, match=f"cannot connect to http://127.0.0.1:{port}/k"):
            asyncio.run(fetch(f"http://127.0.0.1:{port}/k?token=hush"))


def test_no_query_in_messages():
    """The URL's query may hold a secret and stands in no message."""

    async def broken(request):
        return web.Response(status=500)

    with pytest.raises(JWKSFetchError) as caught:
        fetched(broken, path="/jwks?apikey=hush")
    assert "hush" not in str(caught.value)
    assert caught.value.seen[0].query["apikey"] == "hush"


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "data:,x",
        "jwks.json",
        "http://192.0.2.1/jwks",
        "https://169.254.169.254/latest",
        "https://[fe80::1]/jwks",
        "https://[::ffff:169.254.169.254]/jwks",
        "http://169.254.169.254/latest",
    ],
)
def test_b8_schemes_and_addresses_that_are_never_fetched(uri):
    """Only https, http to loopback, and never link-local addresses; nothing is connected to (CVE-2026-48522, GHSA-fgw5-hp8f-xfhc)."""
    with pytest.raises(JWKSFetchError, match=r"https URL|link-local|plain http"):
        asyncio.run(fetch(uri, timeout=0.5))


@pytest.mark.parametrize(("address", "sentence"), [("169.254.169.254", "link-local"), ("192.0.2.1", "plain http")])
def test_b8_a_name_is_judged_by_the_address_it_stands_for(address, sentence, monkeypatch):
    """A harmless name that resolves to a forbidden address is refused before anything is connected."""

    class Resolver:
        async def resolve(self, host, port, family):
            return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}]

    monkeypatch.setattr(module, "ThreadedResolver", Resolver)
    with pytest.raises(JWKSFetchError, match=sentence):
        asyncio.run(fetch("http://keys.example/jwks", timeout=2.0))


def test_http_elsewhere_when_said_out_loud():
    """`allow_http` lifts the loopback rule and leaves the link-local one."""
    guard = module._Guard(loopback_only=False)
    guard.check(ipaddress.ip_address("192.0.2.1"), "h")
    with pytest.raises(JWKSFetchError, match="link-local"):
        guard.check(ipaddress.ip_address("169.254.1.1"), "h")


def tls_pair(files):
    """A server's context for localhost, and a client's that believes its certificate."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files / "cert.pem", files / "key.pem")
    return server, ssl.create_default_context(cafile=str(files / "cert.pem"))


def test_b21_certificates_are_verified(files):
    """A certificate that nobody vouches for is refused; with its anchor, it is accepted (THREATS B21)."""
    server, trusting = tls_pair(files)
    with pytest.raises(JWKSFetchError, match=r"TLS handshake|certificate"):
        fetched(honest, tls=server)
    assert fetched(honest, tls=server, ssl_context=trusting)[0].document == DOCUMENT


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    """http_proxy does not reroute the fetch."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert fetched(honest)[0].document == DOCUMENT


def test_b5_each_fetch_has_its_own_connection():
    """Two fetches come from two connections: none fails for a server that closed an idle one (kgateway issue 4838)."""
    ports = []

    async def note(request):
        ports.append(request.transport.get_extra_info("peername"))
        return web.Response(body=DOCUMENT)

    async def run():
        app = web.Application()
        app.router.add_get("/", note)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        for _ in range(2):
            await fetch(f"http://127.0.0.1:{port}/")
        await runner.cleanup()

    asyncio.run(run())
    assert len(set(ports)) == 2
