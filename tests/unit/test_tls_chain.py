"""Certificate files of a listener that are expired or in the wrong order: told at the start, by `check` and by `doctor`."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lbjwt.checks.files import certificate_results
from lbjwt.cli.check import check
from lbjwt.net.tls import TLSError, server_context
from tests.unit.test_checks_machine import DAY, configured

NOW = datetime.datetime.now(datetime.UTC)
KEYS: dict[str, Any] = {
    "leaf": ec.generate_private_key(ec.SECP256R1()),
    "middle": rsa.generate_private_key(65537, 2048),
    "root": ec.generate_private_key(ec.SECP256R1()),
}


def signed(name: str, by: str, days: int = 90) -> str:
    """A certificate in PEM; one with negative days has expired."""
    subject, issuer = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, by))
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(KEYS[name].public_key())
    builder = builder.serial_number(1).not_valid_before(NOW - 100 * DAY).not_valid_after(NOW + days * DAY)
    return builder.sign(KEYS[by], hashes.SHA256()).public_bytes(Encoding.PEM).decode()


LEAF, MIDDLE, ROOT = signed("leaf", "middle"), signed("middle", "root"), signed("root", "root")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    key = KEYS["leaf"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    return tmp_path


@pytest.mark.parametrize("chain", [[MIDDLE, LEAF], [ROOT, MIDDLE, LEAF]], ids=["two", "three"])
def test_a_chain_that_begins_at_the_top_is_told_as_that(files: Path, chain: list[str]) -> None:
    """Not "does not belong to": the certificate of the key is there, only not first, whatever kind of key the first one has."""
    (files / "chain.pem").write_text("".join(chain))
    with pytest.raises(
        TLSError, match=rf"in the wrong order: the one for the private key is number {len(chain)}\. Put it first"
    ):
        server_context(files / "chain.pem", files / "key.pem", key="listeners[0].tls")


@pytest.mark.parametrize(
    ("chain", "bad"),
    [
        ([LEAF], False),
        ([LEAF, MIDDLE], False),
        ([LEAF, MIDDLE, ROOT], False),
        ([LEAF, ROOT, MIDDLE], True),
        ([LEAF, ROOT], True),
    ],
)
def test_a_chain_behind_the_first_certificate_has_an_order_too(files: Path, chain: list[str], bad: bool) -> None:
    """Such a file can be served, and is a warning with the numbers of the two that do not follow each other."""
    (files / "chain.pem").write_text("".join(chain))
    server_context(files / "chain.pem", files / "key.pem", key="k")
    results = certificate_results("listeners[0]", "certificate", files / "chain.pem")
    found = [result for result in results if result.outcome != "ok"]
    assert [result.outcome for result in found] == ["warning"] * bad
    if bad:
        assert "number 1 is signed by CN=middle, and number 2 is that of CN=root" in found[0].sentence


@pytest.mark.parametrize(
    ("chain", "part"),
    [
        ([signed("leaf", "middle", -1), MIDDLE], "CN=leaf expired on"),
        ([LEAF, signed("middle", "root", -1)], "CN=middle expired on"),
        ([LEAF, ROOT, MIDDLE], "in the wrong order, or one is missing"),
        ([signed("leaf", "middle", 3), MIDDLE], ""),
    ],
    ids=["expired", "signer expired", "order", "soon"],
)
def test_check_warns_of_a_certificate_that_clients_refuse(files: Path, chain: list[str], part: str) -> None:
    """At its place in the file; one that ends soon is the doctor's business, for short ones are renewed by machines."""
    (files / "chain.pem").write_text("".join(chain))
    (files / "jwks.json").write_text(json.dumps({"keys": [{"kty": "oct", "k": "A" * 43}]}))
    document = json.loads(configured().model_dump_json(exclude_defaults=True)) | {
        "listeners": [{"address": "127.0.0.1:0", "tls": {"certificate": "chain.pem", "private_key": "key.pem"}}]
    }
    (files / "lbjwt.json").write_text(json.dumps(document))
    told = [
        line
        for line in CliRunner().invoke(check, [str(files / "lbjwt.json")]).stderr.splitlines()
        if "chain.pem" in line
    ]
    assert len(told) == bool(part)
    assert not part or (
        part in told[0] and "warning: listeners[0].tls.certificate: " in told[0] and "[tls-certificate]" in told[0]
    )
