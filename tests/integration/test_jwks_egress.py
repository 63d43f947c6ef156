"""Key sets behind a proxy and behind a bearer token: over real sockets, and what is never said."""

import asyncio
import base64
import contextlib
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from lbjwt.checks.fetched_keys import remedy
from lbjwt.config.load import load_text
from lbjwt.config.problems import ConfigurationError
from lbjwt.keys.egress import Egress
from lbjwt.keys.errors import JWKSFetchError, KeySourceError
from lbjwt.keys.remote import KeyOrigin
from tests.integration.jwks_scene import fetch

DOCUMENT = b'{"keys": []}'
TOKEN = "eyJhbGciOiJub25lIn0.very-secret-token_1~2+3/4="


class ConnectProxy:
    """An HTTP proxy. Every name leads to one port on loopback, as names do that only the proxy can resolve."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.heads: list[str] = []
        self.target = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        """One for each connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            if self.status != 200:
                writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.status)
            elif head.startswith("CONNECT "):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DOCUMENT) + DOCUMENT)
        writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """A loop of each kind: the process that fetches runs uvloop."""
    with asyncio.Runner(loop_factory=request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


def scene(runner: asyncio.Runner, folder: Path, proxy: ConnectProxy, *steps: Any) -> list[web.Request]:
    """Run steps, each given the ports of proxy and issuer, beside a TLS issuer; return the requests that reached the issuer."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(body=DOCUMENT)

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{tail:.*}", answer)
        issuer = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await issuer.setup()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        site = web.TCPSite(issuer, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        proxy.target = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        try:
            for step in steps:
                await step(server.sockets[0].getsockname()[1], proxy.target)
        finally:
            server.close()
            await issuer.cleanup()
            # each ends with its client; a loop that ends before would leave its sockets open
            await asyncio.gather(*proxy.tasks)
            await asyncio.sleep(0)

    runner.run(asyncio.wait_for(run(), 60))
    return seen


def trust(folder: Path) -> ssl.SSLContext:
    """Believes the issuer's certificate, for whatever name."""
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.check_hostname = False
    return context


def test_keys_come_through_a_tunnel_of_the_proxy(runner, files, tmp_path) -> None:
    """The proxy resolves the name and sees neither path nor token; the issuer gets both."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    proxy = ConnectProxy()

    async def step(port: int, _: int) -> None:
        egress = {"proxy": f"http://127.0.0.1:{port}", "bearer_token_file": tmp_path / "token"}
        found = await fetch("https://keys.internal.invalid/jwks?x=1", **egress, ssl_context=trust(files))
        assert found.document == DOCUMENT

    (request,) = scene(runner, files, proxy, step)
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.path_qs == "/jwks?x=1"
    (head,) = proxy.heads
    assert head.startswith("CONNECT keys.internal.invalid:443 HTTP/1.1\r\n")
    assert "Bearer" not in head and "jwks" not in head and "Proxy-Authorization" not in head


def test_the_certificate_is_checked_through_a_proxy(runner, files) -> None:
    """A proxy that leads somewhere else gives no keys: name and signer are checked as without it."""

    async def step(port: int, _: int) -> None:
        for context in (None, ssl.create_default_context(cafile=str(files / "cert.pem"))):
            with pytest.raises(JWKSFetchError, match=r"https://keys.internal.invalid/jwks has no valid certificate"):
                await fetch("https://keys.internal.invalid/jwks", proxy=f"http://127.0.0.1:{port}", ssl_context=context)

    assert scene(runner, files, ConnectProxy(), step) == []


def test_the_environment_counts_when_asked_for(runner, files, monkeypatch) -> None:
    """With its user and password, but for what NO_PROXY names and for loopback; without the opt-in it counts for nothing."""
    proxy = ConnectProxy()
    uri = "https://keys.internal.invalid/jwks"

    async def step(port: int, issuer: int) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://us:p%40ss@127.0.0.1:{port}")
        await fetch(uri, proxy_from_environment=True, ssl_context=trust(files))
        assert f"Proxy-Authorization: Basic {base64.b64encode(b'us:p@ss').decode()}\r\n" in proxy.heads[0]
        with pytest.raises(JWKSFetchError, match=r"cannot connect to https://keys.internal.invalid"):
            await fetch(uri)
        monkeypatch.setenv("NO_PROXY", ".internal.invalid")
        with pytest.raises(JWKSFetchError, match=r"cannot connect to https://keys.internal.invalid"):
            await fetch(uri, proxy_from_environment=True)
        monkeypatch.delenv("NO_PROXY")
        await fetch(f"https://localhost:{issuer}/jwks", proxy_from_environment=True, ssl_context=trust(files))
        assert len(proxy.heads) == 1

    assert len(scene(runner, files, proxy, step)) == 2


def test_plain_http_through_a_proxy_needs_to_be_allowed(runner, files, tmp_path, monkeypatch) -> None:
    """The name is resolved there, so it cannot be seen to be loopback; a token goes that way only when it is allowed."""
    (tmp_path / "token").write_text(TOKEN)
    proxy = ConnectProxy()

    async def step(port: int, _: int) -> None:
        egress = {"proxy": f"http://127.0.0.1:{port}", "bearer_token_file": tmp_path / "token"}
        with pytest.raises(JWKSFetchError, match="over plain http; use https, or set allow_http"):
            await fetch("http://keys.internal.invalid/jwks", **egress)
        assert proxy.heads == []
        assert (await fetch("http://keys.internal.invalid/jwks", **egress, allow_http=True)).document == DOCUMENT
        assert proxy.heads[0].startswith("GET http://keys.internal.invalid/jwks HTTP/1.1\r\n")
        monkeypatch.setenv("http_proxy", f"us:pass@127.0.0.1:{port}")
        await fetch("http://keys.internal.invalid/jwks", proxy_from_environment=True, allow_http=True)
        assert f"Proxy-Authorization: Basic {base64.b64encode(b'us:pass').decode()}\r\n" in proxy.heads[1]

    scene(runner, files, proxy, step)


def test_what_the_proxy_does_wrong_is_said_of_the_proxy(runner, files, monkeypatch) -> None:
    """It refuses, it is not there, or it is none; its password is in no message."""
    proxy = ConnectProxy(status=407)

    async def step(port: int, _: int) -> None:
        for text, sentence in (
            (
                f"http://us:s3cret@127.0.0.1:{port}",
                rf"the proxy http://127.0.0.1:{port} refused the connection to .* with status 407",
            ),
            (
                "us:s3cret@127.0.0.1:9",
                "cannot connect to the proxy http://127.0.0.1:9 on the way to .*: Connection refused",
            ),
            ("socks5://us:s3cret@127.0.0.1:9", "the proxy in the environment variable must have the form"),
        ):
            monkeypatch.setenv("HTTPS_PROXY", text)
            with pytest.raises(JWKSFetchError, match=sentence) as caught:
                await fetch("https://keys.internal.invalid/jwks", proxy_from_environment=True)
            assert "s3cret" not in str(caught.value)

    scene(runner, files, proxy, step)


def test_a_bearer_token_is_read_anew_for_each_fetch_and_never_logged(runner, files, tmp_path, caplog) -> None:
    """A file that others replace, as the kubelet does; one that is gone or holds no token is an error that names the file alone."""
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "token"

    async def step(_: int, issuer: int) -> None:
        uri = f"https://localhost:{issuer}/jwks"
        for text in (TOKEN, "another\n"):
            file.write_text(text)
            await fetch(uri, bearer_token_file=file, ssl_context=trust(files))
        for text in ("", "two words", "a\r\nX: y", "s3cret\x00"):
            file.write_text(text)
            with pytest.raises(KeySourceError, match="token contains no bearer token") as caught:
                await fetch(uri, bearer_token_file=file)
            assert "s3cret" not in str(caught.value)
        file.unlink()
        with pytest.raises(KeySourceError, match=r"cannot read the bearer token .*: No such file"):
            await fetch(uri, bearer_token_file=file)

    requests = scene(runner, files, ConnectProxy(), step)
    assert [request.headers["Authorization"] for request in requests] == [f"Bearer {TOKEN}", "Bearer another"]
    assert "secret" not in caplog.text and TOKEN not in caplog.text


def test_a_token_goes_to_the_configured_origin_only(tmp_path: Path) -> None:
    """An issuer's metadata may lead to keys on another server, which must not learn the token."""
    (tmp_path / "token").write_text(TOKEN)

    async def run() -> list[str | None]:
        seen: list[str | None] = []
        ports: list[int] = []

        async def serve(request: web.Request) -> web.Response:
            seen.append(request.headers.get("Authorization"))
            if "well-known" in request.path:
                return web.json_response(
                    {"issuer": f"http://127.0.0.1:{ports[0]}", "jwks_uri": f"http://127.0.0.1:{ports[where[0]]}/jwks"}
                )
            return web.Response(body=DOCUMENT)

        runners = []
        for _ in range(2):
            app = web.Application()
            app.router.add_get("/{tail:.*}", serve)
            runners.append(web.AppRunner(app, access_log=None, shutdown_timeout=0.1))
            await runners[-1].setup()
            site = web.TCPSite(runners[-1], "127.0.0.1", 0)
            await site.start()
            ports.append(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
        where = [1]
        for where[0] in (1, 0):
            egress = Egress(bearer_token_file=tmp_path / "token")
            await KeyOrigin(egress, issuer=f"http://127.0.0.1:{ports[0]}").ask()
        for one in runners:
            await one.cleanup()
        return seen

    assert asyncio.run(run()) == [f"Bearer {TOKEN}", None, f"Bearer {TOKEN}", f"Bearer {TOKEN}"]


def fetching(options: str) -> Any:
    """The fetch section with these options."""
    text = f"""
listeners: [{{address: "127.0.0.1:0"}}]
issuers: {{main: {{issuer: i, audiences: [a], remote_jwks: {{uri: "https://keys.test/jwks", {options}}}}}}}
clusters: {{main: {{endpoints: [{{address: "127.0.0.1:9"}}]}}}}
"""
    return load_text(text, Path("/etc")).issuers["main"].fetch


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("proxy: 'https://proxy.test:3128'", "a proxy must have the form http://HOST:PORT"),
        ("proxy: 'http://proxy.test:3128/path'", "a proxy must have the form http://HOST:PORT"),
        ("proxy: 'http://me:secret@proxy.test'", "must not contain a user name or a password"),
        ("proxy: 'http://proxy.test:3128', proxy_from_environment: true", "contradicts proxy; keep one"),
    ],
)
def test_a_proxy_that_cannot_be(options: str, sentence: str) -> None:
    """Only plain HTTP to a host and a port, without a password in a file that people copy; one of the two ways to name it."""
    with pytest.raises(ConfigurationError, match=sentence):
        fetching(options)


def test_the_doctor_hints_at_a_proxy_that_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed fetch where HTTPS_PROXY is set and nothing says to use it; no hint without the variable, or once it is used."""
    error = JWKSFetchError("cannot connect to https://keys.test/jwks: Network is unreachable")
    assert "proxy" not in remedy(error, fetching("timeout: 1s"))
    monkeypatch.setenv("HTTPS_PROXY", "http://us:s3cret@proxy.test:3128")
    hint = remedy(error, fetching("timeout: 1s"))
    assert (
        "HTTPS_PROXY is set here, but lbjwt does not use it; to use it, set proxy_from_environment: true" in hint
        and "s3cret" not in hint
    )
    assert "HTTPS_PROXY" not in remedy(error, fetching("proxy_from_environment: true"))
