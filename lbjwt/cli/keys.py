"""``lbjwt keys``: generate key pairs and secrets. Private parts go to files that only their owner may read."""

import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lbjwt.config.fields import ALGORITHMS, is_hmac

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

SIGNING_ALGORITHMS: Final = tuple(name for name in ALGORITHMS if not name.startswith("ML-DSA"))

_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "ES256K": "secp256k1"}
_RSA_BITS: Final = 3072  # NIST SP 800-57 part 1, table 2: 128 bits of security, as the curves have at least
_SECRET_BYTES: Final = 64  # at least the length of every hash (RFC 7518 section 3.2)


@click.group()
def keys() -> None:
    """Generate keys."""


@keys.command()
@click.option(
    "--algorithm",
    type=click.Choice(SIGNING_ALGORITHMS),
    default="ES256",
    show_default=True,
    help="Algorithm of the key.",
)
@click.option("--kid", help="Key id.  [default: the key's RFC 7638 thumbprint]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jwk", "pem"]),
    default="jwk",
    show_default=True,
    help="Format of the private key; a PEM file has no key id.",
)
@click.option(
    "--out-dir",
    default=".",
    show_default=True,
    metavar="DIR|-",
    help="Directory for the files; - prints the private key instead.",
)
def generate(algorithm: str, kid: str | None, form: str, out_dir: str) -> None:
    """Generate a signing key and a JWK Set with its public key.

    Writes private.jwk (or private.pem) with mode 0600, and jwks.json with the public key. For HS256, HS384 and HS512 it writes secret.bin,
    which signs and verifies. Existing files are never overwritten; a missing directory is made.
    """
    if is_hmac(algorithm):
        if kid is not None or form != "jwk":
            raise click.UsageError("a secret cannot have a key id or be written as PEM; leave out these options.")
        secret = secrets.token_bytes(_SECRET_BYTES)
        if out_dir == "-":
            sys.stdout.buffer.write(secret)
            return
        _write(Path(out_dir), {"secret.bin": (secret, 0o600)})
        return
    key = _generate(algorithm)
    labels = {"kid": kid if kid is not None else key.thumbprint(), "alg": algorithm, "use": "sig"}
    private = key.as_pem(private=True) if form == "pem" else _json({**key.as_dict(private=True), **labels})
    if out_dir == "-":
        sys.stdout.buffer.write(private)
        return
    public = _json({"keys": [{**key.as_dict(private=False), **labels}]})
    _write(Path(out_dir), {f"private.{form}": (private, 0o600), "jwks.json": (public, 0o644)})


def _generate(algorithm: str) -> "ECKey | OKPKey | RSAKey":
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    if algorithm.startswith("ES"):
        return ECKey.generate_key(_CURVES[algorithm])
    if algorithm.startswith("Ed"):
        return OKPKey.generate_key("Ed448" if algorithm == "Ed448" else "Ed25519")
    return RSAKey.generate_key(_RSA_BITS)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _write(directory: Path, files: dict[str, tuple[bytes, int]]) -> None:
    """Write all files or, when one of them exists, none."""
    for name in files:
        if os.path.lexists(directory / name):
            raise click.ClickException(
                f"{directory / name} already exists and lbjwt does not overwrite it; choose another directory"
            )
    for name, (content, mode) in files.items():
        path = directory / name
        try:
            directory.mkdir(exist_ok=True)
            # created with its mode: others can never open it
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
        except OSError as error:
            raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
        click.echo(f"{path} ({'private' if mode == 0o600 else 'public'})", err=True)
