"""TLS to endpoints: what is verified, shown and resumed, what goes wrong in words, and files that are replaced; with real servers."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lbjwt import LoadBalancer
from lbjwt.net.tls import TLSError
from tests.harness.ports import free_port
from tests.integration.authority import Authority
from tests.integration.backend_tls_scene import (
    ask,
    blocking_backend,
    cluster,
    configuration,
    secure_backend,
    server_side,
)
from tests.integration.serve_scene import get, token
from tests.integration.service_reload_scene import LOOP_NAMES, LOOPS, File, Scene, player

TLS12 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
TLS13 = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(params=LOOPS, ids=LOOP_NAMES)
def play(request: pytest.FixtureRequest) -> Scene:
    """Runs a coroutine in a loop of each kind."""
    return player(request.param)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private authority, with a server's and a client's certificate."""
    made = Authority(tmp_path_factory.mktemp("authority"))
    made.issue("server", names=["localhost", "backend.test"])
    made.issue("client")
    return made


def pair(authority: Authority, stem: str) -> tuple[Path, Path]:
    return authority.folder / f"{stem}.pem", authority.folder / f"{stem}.key"


def tls(authority: Authority, **more: Any) -> dict[str, Any]:
    """The `tls` section with the authority."""
    return {"ca": str(authority.ca_file), **more}


def with_client(authority: Authority, stem: str = "client") -> dict[str, str]:
    certificate, key = pair(authority, stem)
    return {"certificate": str(certificate), "private_key": str(key)}


@pytest.mark.parametrize("versions", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_an_endpoint_is_verified_and_gets_our_certificate(
    play: Scene, tmp_path: Path, authority: Authority, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> None:
    """The name goes out as SNI, HTTP/1.1 by ALPN, the client certificate when it is asked for; the connection is kept."""
    context = server_side(pair(authority, "server"), clients=authority.ca_file, versions=versions)

    async def scene() -> None:
        async with secure_backend(context) as backend:
            made = configuration(
                tmp_path, f"https://localhost:{backend.port}", tls=tls(authority, **with_client(authority))
            )
            async with LoadBalancer(made) as balancer:
                for _ in range(3):
                    assert await ask(balancer.addresses[0]) == (200, b"ok")
            (seen,) = backend.connections
            assert (seen.alpn, seen.client) == ("http/1.1", "client")
            assert seen.version == versions[0].name.replace("_", ".")
            assert backend.names == ["localhost"]

    play(scene())


@pytest.mark.parametrize("versions", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_sessions_are_resumed(
    play: Scene, tmp_path: Path, authority: Authority, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> None:
    """Each connection after the first saves both sides the certificates: tickets of TLS 1.2, and those of TLS 1.3 that come after the handshake."""
    context = server_side(pair(authority, "server"), versions=versions)

    async def scene() -> None:
        async with secure_backend(context, close_each=True) as backend:
            made = configuration(tmp_path, f"https://localhost:{backend.port}", tls=tls(authority))
            async with LoadBalancer(made) as balancer:
                for _ in range(4):
                    assert (await ask(balancer.addresses[0]))[0] == 200
            assert [seen.resumed for seen in backend.connections] == [False, True, True, True]

    play(scene())


def test_a_session_belongs_to_one_endpoint(play: Scene, tmp_path: Path, authority: Authority) -> None:
    """What one endpoint proved is no proof of another, even if they share ticket keys."""
    context = server_side(pair(authority, "server"))

    async def scene() -> None:
        async with secure_backend(context, close_each=True) as one, secure_backend(context, close_each=True) as other:
            made = configuration(
                tmp_path, f"https://localhost:{one.port}", f"https://localhost:{other.port}", tls=tls(authority)
            )
            async with LoadBalancer(made) as balancer:
                for _ in range(4):
                    assert (await ask(balancer.addresses[0]))[0] == 200
            assert [[seen.resumed for seen in each.connections] for each in (one, other)] == [[False, True]] * 2

    play(scene())


def test_a_server_name_that_is_configured_is_the_one_verified(
    play: Scene, tmp_path: Path, authority: Authority
) -> None:
    """The address to connect to and the name to verify are two things."""

    async def scene() -> None:
        async with secure_backend(server_side(pair(authority, "server"))) as backend:
            address = f"https://127.0.0.1:{backend.port}"
            for name, status in (("backend.test", 200), ("other.test", 503), (None, 503)):
                section = tls(authority) if name is None else tls(authority, server_name=name)
                async with LoadBalancer(configuration(tmp_path, address, tls=section)) as balancer:
                    assert (await ask(balancer.addresses[0]))[0] == status
            assert backend.names == ["backend.test", "other.test", None]  # no SNI for an IP address

    play(scene())


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that speaks no TLS."""
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    writer.close()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that ends each connection."""
    await reader.read(100)
    writer.close()


@pytest.mark.parametrize(
    ("fault", "section", "words"),
    [
        ("none", {"ca": "other"}, "signed by an authority that is not trusted"),
        ("none", {"server_name": "else.test"}, "its certificate is not for else.test"),
        ("none", {"server_name": "10.0.0.1"}, "its certificate is not for 10.0.0.1"),
        ("expired", {}, "its certificate has expired"),
        ("early", {}, "its certificate is not valid yet"),
        ("old", {}, "it speaks neither TLS 1.2 nor TLS 1.3"),
        ("client", {}, "it requires a client certificate"),
        ("client12", {}, "client certificate"),
        ("client", {"stranger": True}, "it does not trust the authority of our client certificate"),
        ("plain", {}, "it does not speak TLS on this port"),
        ("hangs-up", {}, "the connection ended during the TLS handshake"),
    ],
)
def test_a_handshake_that_fails_is_told_and_costs_no_request(
    play: Scene,
    tmp_path: Path,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    section: dict[str, Any],
    words: str,
) -> None:
    """The log names the endpoint and the reason once; the requests go to the next endpoint, and without one the client gets 503 or 502."""
    other = Authority(tmp_path, "other")
    stranger = other.issue("stranger")
    section = tls(authority, **section)
    if section["ca"] == "other":
        section["ca"] = str(other.ca_file)
    if section.pop("stranger", False):
        section |= {"certificate": str(stranger[0]), "private_key": str(stranger[1])}
    authority.issue("expired", names=["localhost"], days=(-3, -1))
    authority.issue("early", names=["localhost"], days=(1, 3))
    stem = fault if fault in ("expired", "early") else "server"
    context = server_side(
        pair(authority, stem),
        clients=authority.ca_file if fault.startswith("client") else None,
        versions={"old": (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1), "client12": TLS12}.get(fault),
    )
    if fault == "old":
        context.set_ciphers("ALL:@SECLEVEL=0")

    async def scene(port: int) -> None:
        good = await asyncio.start_server(answers, "127.0.0.1", 0)
        address = f"https://localhost:{port}"
        async with good:
            async with LoadBalancer(configuration(tmp_path, address, tls=section)) as balancer:
                assert (await ask(balancer.addresses[0]))[0] in (502, 503)
                told = [line for line in caplog.messages if f"{address} of cluster main fails: " in line]
                # With TLS 1.3 the reset may overtake the alert.
                assert len(told) == 1, caplog.messages
                assert words in told[0] or (fault == "client" and "a new connection was reset" in told[0])
            both = [address, f"127.0.0.1:{good.sockets[0].getsockname()[1]}"]
            async with LoadBalancer(configuration(tmp_path, *both, tls=section)) as balancer:
                assert [(await ask(balancer.addresses[0]))[0] for _ in range(4)] == [200] * 4

    async def plain_scene() -> None:
        async with await asyncio.start_server({"plain": plain, "hangs-up": hangs_up}[fault], "127.0.0.1", 0) as server:
            await scene(server.sockets[0].getsockname()[1])

    if fault in ("plain", "hangs-up"):
        play(plain_scene())
    else:
        with blocking_backend(context) as port:
            play(scene(port))


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A plain server that answers each request."""
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("protocol", ["http1", "http2", "auto"])
def test_a_handshake_that_the_balancer_gives_up_is_no_failure_of_the_endpoint(
    play: Scene, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    """The client has gone, and then the balancer ends, while the endpoint has yet to answer: the log does not say that it fails."""
    accepted = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        try:
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def scene() -> None:
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            address = f"https://localhost:{server.sockets[0].getsockname()[1]}"
            made = configuration(tmp_path, address, tls=tls(authority), protocol=protocol)
            async with LoadBalancer(made) as balancer:
                asking = asyncio.ensure_future(ask(balancer.addresses[0]))
                await accepted.wait()
                asking.cancel()
                await asyncio.wait({asking})

    play(scene())
    assert [line for line in caplog.messages if "fails" in line] == []


def test_without_verification_any_certificate_will_do(play: Scene, tmp_path: Path, authority: Authority) -> None:
    """`verify: false` says so; without it the authorities of the system decide, and do not know this one."""

    async def scene() -> None:
        async with secure_backend(server_side(pair(authority, "server"))) as backend:
            address = f"https://127.0.0.1:{backend.port}"
            for more, status in (({"tls": {"verify": False}}, 200), ({}, 503)):
                async with LoadBalancer(configuration(tmp_path, address, **more)) as balancer:
                    assert (await ask(balancer.addresses[0]))[0] == status

    play(scene())


def test_an_endpoint_that_asks_for_another_handshake_is_told_in_words(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Renegotiation of TLS 1.2, as servers do that ask for a client certificate on some paths only: refused (RFC 9325 section 3.5), and the log says how
    to set it up.
    """
    certificate, key = pair(authority, "server")
    port = free_port()
    command = [
        "openssl",
        "s_server",
        "-tls1_2",
        "-accept",
        f"127.0.0.1:{port}",
        "-cert",
        str(certificate),
        "-key",
        str(key),
    ]

    async def scene() -> None:
        made = configuration(tmp_path, f"https://localhost:{port}", tls=tls(authority))
        server = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert server.stdin is not None and server.stdout is not None
        try:
            await server.stdout.readuntil(b"ACCEPT")
            async with LoadBalancer(made) as balancer:
                answer = asyncio.ensure_future(ask(balancer.addresses[0]))
                await server.stdout.readuntil(b"GET / HTTP/1.1")
                server.stdin.write(b"r\n")
                async with asyncio.timeout(30):
                    while not caplog.messages:
                        await asyncio.sleep(0.02)
                server.kill()
                assert (await answer)[0] in (502, 503)
        finally:
            if server.returncode is None:
                server.kill()
            await server.wait()

    with caplog.at_level("WARNING", "lbjwt.endpoints"):
        player(LOOPS[1])(scene())
    assert "it asks for another handshake" in caplog.messages[0] and "set tls.certificate" in caplog.messages[0]


def put(path: Path, content: bytes) -> None:
    """Replace a file as tools for certificates do."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def test_files_that_are_replaced_are_used_for_new_connections(
    play: Scene, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """A client certificate, without a reload: half of a pair changes nothing, then new connections show the new one; the open one is kept."""
    authority.issue("renewed")
    files = tmp_path / "client.pem", tmp_path / "client.key"
    old, new = ([path.read_bytes() for path in pair(authority, stem)] for stem in ("client", "renewed"))
    for path, content in zip(files, old, strict=True):
        path.write_bytes(content)
    context = server_side(pair(authority, "server"), clients=authority.ca_file)
    section = tls(authority, certificate="client.pem", private_key="client.key")

    async def scene() -> None:
        async with secure_backend(context) as backend:
            made = configuration(tmp_path, f"https://localhost:{backend.port}", tls=section)
            async with LoadBalancer(made) as balancer:
                (address,) = balancer.addresses
                assert (await ask(address))[0] == 200
                put(files[0], new[0])
                async with asyncio.timeout(20):
                    while not caplog.messages:
                        await asyncio.sleep(0.02)
                assert (await ask(address))[0] == 200 and len(backend.connections) == 1
                put(files[1], new[1])
                async with asyncio.timeout(20):
                    while len(caplog.messages) < 2:
                        await asyncio.sleep(0.02)
                assert (await ask(address))[0] == 200 and len(backend.connections) == 1
                async with asyncio.timeout(60):
                    while len(backend.connections) == 1:  # it may serve each request before the next one has come
                        assert {status for status, _ in await asyncio.gather(*(ask(address) for _ in range(20)))} == {
                            200
                        }
                assert {seen.client for seen in backend.connections[1:]} == {"renewed"}

    with caplog.at_level("INFO", "lbjwt.service"):
        play(scene())
    refused, used = caplog.messages
    assert "does not belong to" in refused and used.startswith(
        "clusters.main.tls: new certificate or authorities in use"
    )


def test_a_reload_reads_the_files_again_and_keeps_connections(
    play: Scene, tmp_path: Path, authority: Authority
) -> None:
    """At once. Where nothing changed, session and connection stay; when another server is asked for, no old connection serves."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.ca_file.read_bytes())
    stranger = Authority(tmp_path, "stranger").ca_file.read_bytes()

    async def scene() -> None:
        async with secure_backend(server_side(pair(authority, "server"))) as backend:
            file = File(tmp_path, 1)
            address = f"https://localhost:{backend.port}"
            made = file.read(clusters=cluster(address, tls={"ca": "ca.pem"}))
            async with LoadBalancer(made) as balancer:
                (ours,) = balancer.addresses
                assert (await ask(ours))[0] == 200
                await balancer.reload(file.read(realm="other"))
                assert (await ask(ours))[0] == 200 and len(backend.connections) == 1
                put(ca, stranger + authority.ca_file.read_bytes())
                await balancer.reload(file.read())
                assert (await ask(ours))[0] == 200 and len(backend.connections) == 1
                ca.write_bytes(b"nothing")
                with pytest.raises(TLSError, match=r"clusters\.main\.tls\.ca: .* is not a PEM file"):
                    await balancer.reload(file.read(realm="third"))
                assert (await ask(ours))[0] == 200 and len(backend.connections) == 1
                put(ca, authority.ca_file.read_bytes())
                await balancer.reload(
                    file.read(clusters=cluster(address, tls={"ca": "ca.pem", "server_name": "backend.test"}))
                )
                assert (await ask(ours))[0] == 200 and backend.names == ["localhost", "backend.test"]
                await balancer.reload(
                    file.read(clusters=cluster(address, tls={"ca": "ca.pem", "server_name": "no.test"}))
                )
                assert (await ask(ours))[0] == 503

    play(scene())


def test_health_checks_use_the_same_settings(play: Scene, tmp_path: Path, authority: Authority) -> None:
    """An endpoint that requires the client certificate passes its check, and is checked under its own host name."""
    context = server_side(pair(authority, "server"), clients=authority.ca_file)

    async def scene() -> None:
        async with secure_backend(context) as backend:
            made = configuration(
                tmp_path,
                f"https://localhost:{backend.port}",
                tls=tls(authority, **with_client(authority)),
                health_check={"path": "/", "interval": "200ms", "fall": 1},
            )
            async with LoadBalancer(made) as balancer:
                async with asyncio.timeout(20):
                    while backend.requests < 2:
                        await asyncio.sleep(0.02)
                assert (await ask(balancer.addresses[0]))[0] == 200
            assert {seen.client for seen in backend.connections} == {"client"}

    play(scene())


def test_plain_and_secure_endpoints_share_a_cluster(play: Scene, tmp_path: Path, authority: Authority) -> None:
    """`tls` is for those with https; `http://` is a plain one."""

    async def scene() -> None:
        plain_one = await asyncio.start_server(answers, "127.0.0.1", 0)
        port = plain_one.sockets[0].getsockname()[1]
        async with plain_one, secure_backend(server_side(pair(authority, "server"))) as backend:
            made = configuration(
                tmp_path, f"http://127.0.0.1:{port}", f"https://localhost:{backend.port}", tls=tls(authority)
            )
            assert [str(one.address) for one in made.clusters["main"].endpoints] == [
                f"127.0.0.1:{port}",
                f"https://localhost:{backend.port}",
            ]
            async with LoadBalancer(made) as balancer:
                assert [(await ask(balancer.addresses[0]))[0] for _ in range(4)] == [200] * 4
            assert backend.requests == 2

    play(scene())


def test_large_bodies_go_both_ways(play: Scene, tmp_path: Path, authority: Authority) -> None:
    """8 MiB up and down, so that both directions are held back now and then."""
    body = bytes(range(256)) * (8 << 12)

    async def scene() -> None:
        async with secure_backend(server_side(pair(authority, "server"))) as backend:
            made = configuration(tmp_path, f"https://localhost:{backend.port}", tls=tls(authority))
            async with LoadBalancer(made) as balancer:
                for _ in range(2):
                    assert await ask(balancer.addresses[0], "/echo", "POST", body) == (200, body)

    play(scene())


def test_workers_speak_tls_to_endpoints(serve: Any, tmp_path: Path, authority: Authority) -> None:
    """`lbjwt serve` with two workers: requests reach the endpoint, `check` at the start warns of a certificate that is not verified."""
    port = free_port()

    async def scene() -> None:
        async with secure_backend(server_side(pair(authority, "server")), port=port):
            process = serve(clusters=cluster(f"https://127.0.0.1:{port}", tls={"verify": False}), workers=2)
            await asyncio.to_thread(process.wait_for, "ready: 2 workers")
            process.wait_for("lbjwt does not verify the certificates")
            url = process.url()
            for _ in range(8):
                assert (await asyncio.to_thread(get, f"{url}/", bearer=token()))[0] == 200

    player(LOOPS[0])(scene())


def test_the_example_works(serve: Any, tmp_path: Path, authority: Authority) -> None:
    """`examples/private-ca.yaml` with two real backends that require a client certificate."""
    text = Path("examples/private-ca.yaml").read_text()
    ports = free_port(), free_port()
    for before, after in zip(("9443", "9444"), map(str, ports), strict=True):
        text = text.replace(before, after)
    (tmp_path / "backends-ca.pem").write_bytes(authority.ca_file.read_bytes())
    for name, path in zip(("balancer.pem", "balancer.key"), pair(authority, "client"), strict=True):
        (tmp_path / name).write_bytes(path.read_bytes())
        (tmp_path / name).chmod(0o600)
    context = server_side(pair(authority, "server"), clients=authority.ca_file)

    async def scene() -> None:
        async with secure_backend(context, port=ports[0]) as one, secure_backend(context, port=ports[1]) as other:
            process = serve(clusters=YAML(typ="safe").load(text)["clusters"])
            await asyncio.to_thread(process.wait_for, "ready: ")
            url = process.url()
            for _ in range(4):
                assert (await asyncio.to_thread(get, f"{url}/", bearer=token()))[0] == 200
            assert (one.requests, other.requests) == (2, 2)
            assert {seen.client for seen in one.connections + other.connections} == {"client"}
            assert "clusters.main" not in process.log, "a warning, or a failure"

    player(LOOPS[0])(scene())
