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

from lbjwt.jwks import fetch as module
from lbjwt.jwks.fetch import JWKSFetchError, fetch
from tests.unit.test_net_tls import files  # noqa: F401 - a fixture

DOCUMENT = b'{"keys": []}'


def fetched(handler, *, path="/jwks", tls=None, **options):
    """Fetch from a local server with one handler; returns the body or raises what `fetch` raised. Also: the requests that came."""
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


def raw(answer, *, timeout=1.0, **options):
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
    body, (request,) = fetched(honest)
    assert body == DOCUMENT
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["User-Agent"] == "lbjwt"
    assert "Cookie" not in request.headers
    assert request.method == "GET"


def test_the_content_type_does_not_matter():
    """Many issuers serve their keys as text/plain: what the bytes are is for the reader of key sets to say."""

    async def plain(request):
        return web.Response(body=b"<html>", content_type="text/html")

    assert fetched(plain)[0] == b"<html>"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status):
    """A redirect ends the fetch: nobody moves the keys to another place (CVE-2026-102267)."""

    async def elsewhere(request):
        return web.Response(status=status, headers={"Location": "/other"})

    with pytest.raises(JWKSFetchError, match="redirect") as caught:
        fetched(elsewhere)
    assert [request.path for request in caught.value.seen] == ["/jwks"]


@pytest.mark.parametrize("status", [204, 206, 401, 404, 500, 503])
def test_only_200_has_keys(status):
    """Every other status is an error that names it, even with a body that would do."""

    async def other(request):
        return web.Response(status=status, body=DOCUMENT if status != 204 else b"")

    with pytest.raises(JWKSFetchError, match=f"status {status}"):
        fetched(other)


def test_a_compressed_body_is_refused_unread():
    """A gzip body was not asked for and is not unpacked: no bomb goes off."""

    async def bomb(request):
        return web.Response(body=gzip.compress(bytes(10_000_000)), headers={"Content-Encoding": "gzip"})

    with pytest.raises(JWKSFetchError, match="compressed"):
        fetched(bomb)


@pytest.mark.parametrize("chunked", [False, True])
def test_ten_mebibytes_are_too_much(chunked):
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

    assert len(fetched(sized, path="/?n=2000", max_bytes=2000)[0]) == 2000
    with pytest.raises(JWKSFetchError, match="more than 2000 bytes"):
        fetched(sized, path="/?n=2001", max_bytes=2000)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        [b"H", b"T", b"T", b"P"] * 50,
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"] + [b"x"] * 200,
    ],
    ids=["silence", "half a head", "half a body", "dripped head", "dripped body"],
)
def test_the_whole_fetch_has_one_deadline(answer):
    """Silence and one byte now and then end at the deadline, not later for every byte that comes (K7)."""
    start = time.monotonic()
    with pytest.raises(JWKSFetchError, match=r"(?s)did not answer completely|did not speak HTTP"):
        raw(answer, timeout=0.3)
    assert time.monotonic() - start < 2.0


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

    with pytest.raises(JWKSFetchError, match="broke off"):
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
def test_schemes_and_addresses_that_are_never_fetched(uri):
    """Only https, http to loopback, and never link-local addresses; nothing is connected to (CVE-2026-48522, GHSA-fgw5-hp8f-xfhc)."""
    with pytest.raises(JWKSFetchError, match=r"https URL|link-local|plain http"):
        asyncio.run(fetch(uri, timeout=0.5))


@pytest.mark.parametrize(("address", "sentence"), [("169.254.169.254", "link-local"), ("192.0.2.1", "plain http")])
def test_a_name_is_judged_by_the_address_it_stands_for(address, sentence, monkeypatch):
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


def test_certificates_are_verified(files):  # noqa: F811
    """A certificate that nobody vouches for is refused; with its anchor, it is accepted."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files / "cert.pem", files / "key.pem")
    with pytest.raises(JWKSFetchError, match=r"TLS handshake|certificate"):
        fetched(honest, tls=server)
    trusting = ssl.create_default_context(cafile=str(files / "cert.pem"))
    assert fetched(honest, tls=server, ssl_context=trusting)[0] == DOCUMENT


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    """http_proxy does not reroute the fetch."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert fetched(honest)[0] == DOCUMENT


def test_each_fetch_has_its_own_connection():
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
