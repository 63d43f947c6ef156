"""Sign a token with a key from a file, for tests and demonstrations. No message contains a key."""

import json
import warnings
from pathlib import Path
from typing import Any, Final

import click
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey, import_key

from lbjwt.config.fields import is_hmac
from lbjwt.errors import KeyFormatError
from lbjwt.jose.keys import secret_key

_OF_CURVE: Final = {
    "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "secp256k1": "ES256K", "Ed25519": "EdDSA", "Ed448": "EdDSA",
}  # fmt: skip
_LONGEST: Final = 1 << 16  # bytes of a key file


def sign(path: Path, claims: dict[str, Any], *, algorithm: str | None, kid: str | None, typ: str) -> str:
    """
    Return a compact JWS.

    Args:
        path: A private JWK, a private key in PEM, or the bytes of an HMAC secret.
        algorithm: None for the ``alg`` of the key, else RS256 or the algorithm of its curve.
        kid: Key id for the header; None for the key's own, if it has one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from None
    if len(content) > _LONGEST:
        raise click.ClickException(f"{path} is too large for a key file")
    key = _secret(path, content, algorithm) if algorithm is not None and is_hmac(algorithm) else _private(path, content)
    chosen = algorithm or _algorithm(key)
    header = {"typ": typ, "alg": chosen}
    if kid is not None or key.kid:
        header["kid"] = kid if kid is not None else str(key.kid)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # EdDSA is an old name, not a weak algorithm (RFC 9864)
            return jwt.encode(header, claims, key, algorithms=[chosen])
    except (JoseError, ValueError, TypeError, KeyError):
        raise click.ClickException(
            f"the key in {path} cannot sign with {chosen}; choose another algorithm or key"
        ) from None


def _secret(path: Path, content: bytes, algorithm: str) -> OctKey:
    try:
        secret_key(content, allowed=[algorithm])  # no balancer would accept a weaker one
    except KeyFormatError as error:
        raise click.ClickException(f"{path}: {error}") from None
    return OctKey.import_key(content)


def _private(path: Path, content: bytes) -> RSAKey | ECKey | OKPKey:
    try:
        text = content if b"-----BEGIN" in content else json.loads(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            key = import_key(text)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        key = None
    if isinstance(key, RSAKey | ECKey | OKPKey) and key.is_private:
        return key
    raise click.ClickException(
        f"{path} contains neither a private JWK nor an unencrypted private key in PEM; if it is a secret, add --algorithm HS256"
    )


def _algorithm(key: RSAKey | ECKey | OKPKey | OctKey) -> str:
    if key.alg:
        return str(key.alg)
    return _OF_CURVE.get(key.curve_name, "ES256") if isinstance(key, ECKey | OKPKey) else "RS256"
