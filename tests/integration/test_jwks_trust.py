"""The TLS side of a fetch: a private authority, certificates that must not pass, and the one we show."""

import asyncio
import os
import ssl

import pytest
from aiohttp import web

from lbjwt.keys.egress import ClientTls
from lbjwt.keys.errors import JWKSFetchError, KeySourceError
from tests.integration.authority import Authority
from tests.integration.jwks_scene import fetch


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def asked(certificate, tls, *, client_authority=None):
    """Fetch once from https://localhost with this server certificate; returns the name on the client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_authority.ca_file)

    async def answer(request):
        shown = request.transport.get_extra_info("peercert")
        return web.json_response([shown["subject"][0][0][1] if shown else None])

    async def run():
        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        try:
            return await fetch(f"https://localhost:{port}/", ssl_context=tls.context() if tls is not None else None)
        finally:
            await runner.cleanup()

    return asyncio.run(run()).document.decode()


def test_a_private_authority_is_believed(authority):
    """Its certificates and no others: not those of another authority of the same kind."""
    certificate = authority.issue("server", names=["localhost"])
    assert asked(certificate, ClientTls(ca_file=authority.ca_file)) == "[null]"
    other = Authority(authority.folder, "other authority")
    with pytest.raises(JWKSFetchError, match="no valid certificate"):
        asked(certificate, ClientTls(ca_file=other.ca_file))


def test_b21_without_an_authority_of_its_own_nobody_vouches(authority):
    """The system's authorities do not know ours, with and without a context made for the source (THREATS B21)."""
    certificate = authority.issue("server", names=["localhost"])
    for tls in (None, ClientTls()):
        with pytest.raises(JWKSFetchError, match="no valid certificate"):
            asked(certificate, tls)


@pytest.mark.parametrize(
    "names",
    [["issuer.example"], ["localhost.evil.example"], ["*.localhost"], ["localhost\0.evil.example"], []],
    ids=["another", "longer", "wildcard below", "NUL", "common name only"],
)
def test_b21_a_certificate_for_another_name_is_refused(authority, names):
    """Signed by the right authority, for the wrong host; a NUL does not end a name, and the common name is none (THREATS B21)."""
    certificate = authority.issue("localhost", names=names)
    with pytest.raises(JWKSFetchError, match="no valid certificate: hostname mismatch"):
        asked(certificate, ClientTls(ca_file=authority.ca_file))


@pytest.mark.parametrize("days", [(-3, -1), (1, 3)], ids=["expired", "not yet"])
def test_b21_a_certificate_of_another_time_is_refused(authority, days):
    """Before and after its dates (THREATS B21)."""
    certificate = authority.issue("server", names=["localhost"], days=days)
    with pytest.raises(JWKSFetchError, match="no valid certificate"):
        asked(certificate, ClientTls(ca_file=authority.ca_file))


def test_a_client_certificate_is_shown(authority):
    """A server that asks for one gets it, from two files or from one; without it there is no document."""
    server = authority.issue("server", names=["localhost"])
    certificate, key = authority.issue("balancer")
    tls = ClientTls(ca_file=authority.ca_file, certificate=certificate, private_key=key)
    assert asked(server, tls, client_authority=authority) == '["balancer"]'
    both = authority.folder / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    tls = ClientTls(ca_file=authority.ca_file, certificate=both)
    assert asked(server, tls, client_authority=authority) == '["balancer"]'
    with pytest.raises(JWKSFetchError):
        asked(server, ClientTls(ca_file=authority.ca_file), client_authority=authority)


def test_a_renewed_certificate_is_used_without_a_restart(authority):
    """The context is made once, and again when a file changed."""
    certificate, key = authority.issue("first")
    tls = ClientTls(ca_file=authority.ca_file, certificate=certificate, private_key=key)
    assert tls.context() is tls.context()
    for new, old in zip(authority.issue("second"), (certificate, key), strict=True):
        os.replace(new, old)
    server = authority.issue("server", names=["localhost"])
    assert asked(server, tls, client_authority=authority) == '["second"]'


def test_old_versions_of_tls_are_not_spoken(authority):
    """1.2 and 1.3, with names and chains checked."""
    context = ClientTls(ca_file=authority.ca_file).context()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_files_that_cannot_be_used(authority):
    """Missing, no PEM, encrypted, of another key: a sentence with the file and the cause, and the next call tries again."""
    certificate, key = authority.issue("good")
    locked = authority.issue("locked", encrypted=True)
    noise = authority.folder / "noise.pem"
    noise.write_text("hush")
    for options, sentence in [
        ({"ca_file": authority.folder / "none.pem"}, r"cannot read .*none\.pem: No such file"),
        ({"ca_file": noise}, r"noise\.pem contains no readable certificate authority"),
        ({"certificate": authority.folder / "none.pem", "private_key": key}, r"none\.pem: No such file"),
        ({"certificate": certificate, "private_key": authority.folder / "none.key"}, r"none\.key: No such file"),
        ({"certificate": noise, "private_key": key}, r"noise\.pem cannot be used"),
        ({"certificate": certificate, "private_key": noise}, r"good\.pem cannot be used"),
        ({"certificate": certificate, "private_key": locked[1]}, r"locked\.key is encrypted"),
        ({"certificate": certificate, "private_key": authority.issue("else")[1]}, "does not belong to the certificate"),
        ({"certificate": certificate}, r"good\.pem cannot be used"),
        ({"ca_file": authority.folder}, "not a regular file"),
    ]:
        tls = ClientTls(**options)
        for _ in range(2):
            with pytest.raises(KeySourceError, match=sentence) as caught:
                tls.context()
            assert "hush" not in str(caught.value)
