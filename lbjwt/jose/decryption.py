"""
Keys that decrypt tokens, and the decryption of one JWE with one of them. The ciphers are those of joserfc.

A failure must not show which step failed. So a content key that cannot be recovered is replaced by a random one, and the content is decrypted with
that: it fails at its tag, like any content that was changed (RFC 7516 section 11.5).

Source: RFC 7516 section 5.2, RFC 7518 sections 4 and 5, RFC 8037 section 3.2.
"""

import secrets
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from joserfc.errors import SecurityWarning
from joserfc.jwe import CompactEncryption, JWERegistry, Recipient
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey, import_key

from lbjwt._compact import parse_object
from lbjwt.errors import KeyFormatError
from lbjwt.jose.encryption import AGREED, CURVES, ENCRYPTED, ENCRYPTIONS, KEY_ALGORITHMS, WRAPPED
from lbjwt.jose.imports import MAX_KEY_ID, is_usable_key_id
from lbjwt.jose.weak import rsa_weakness

MAX_KEYS: Final = 20  # in one file
MAX_BYTES: Final = 64 * 1024  # of one file

_OPERATIONS: Final = frozenset({"decrypt", "unwrapKey", "deriveKey", "deriveBits"})  # RFC 7517 section 4.3
_BITS: Final = {"X25519": 256, "X448": 448}
_MEMBERS: Final = {
    "RSA": ("n", "e", "d", "p", "q", "dp", "dq", "qi"),
    "EC": ("crv", "x", "y", "d"),
    "OKP": ("crv", "x", "d"),
    "oct": ("k",),
}


_REGISTRY: Final = JWERegistry(algorithms=[*KEY_ALGORITHMS, *ENCRYPTIONS])


@dataclass(frozen=True, slots=True)
class EncryptedContent:
    """What a compact JWE consists of, beside its header."""

    protected: bytes
    """The header as it stands in the token."""
    encrypted_key: bytes
    iv: bytes
    ciphertext: bytes
    tag: bytes


class DecryptionKey:
    """
    A private key or shared secret that decrypts tokens, immutable. Equal to another one with the same material, id and algorithms.

    Attributes:
        kid: The key id; "" when it has none.
        kty: "RSA", "EC", "OKP" or "oct".
        crv: The curve; "" where the type has none.
        bits: Size of modulus, field or secret.
        algorithms: Values of `alg` that it may be used with.
        encryption: The one value of `enc` that it may be used with; "" for any.
        digest: SHA-256 of the material, to compare keys; never logged.
    """

    __slots__ = ("_key", "algorithms", "bits", "crv", "digest", "encryption", "kid", "kty")

    def __init__(
        self, key: RSAKey | ECKey | OKPKey | OctKey, *, kid: str, algorithms: frozenset[str], encryption: str = ""
    ) -> None:
        self._key = key
        self.kid = kid
        self.kty = str(key.key_type)
        self.crv = key.curve_name if isinstance(key, ECKey | OKPKey) else ""
        self.bits = len(key.raw_value) * 8 if isinstance(key, OctKey) else _bits_of(key)
        self.algorithms = algorithms
        self.encryption = encryption
        self.digest = sha256(key.thumbprint().encode()).digest()

    def fits(self, header: Mapping[str, Any]) -> bool:
        """Whether a token with this header, which has been checked, may be meant for the key."""
        algorithm, encryption = header["alg"], header["enc"]
        if algorithm not in self.algorithms or (self.encryption and encryption != self.encryption):
            return False
        if algorithm in AGREED:
            return bool(header["epk"].get("crv") == self.crv)
        return algorithm != "dir" or self.bits == ENCRYPTIONS[encryption].key_size * 8

    def decrypt(self, header: Mapping[str, Any], content: EncryptedContent) -> bytes | None:
        """The content; None, in the same time, whatever is wrong."""
        encryption = ENCRYPTIONS[header["enc"]]
        key = None
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            key = self._content_key(header, content.encrypted_key)
        if key is None or len(key) != encryption.key_size:
            key = secrets.token_bytes(encryption.key_size)
        with suppress(Exception):
            cipher = _REGISTRY.get_enc(encryption.name)
            return cipher.decrypt(content.ciphertext, content.tag, key, content.iv, content.protected)
        return None

    def _content_key(self, header: Mapping[str, Any], encrypted_key: bytes) -> bytes:
        names = ("alg", "enc", "epk", "apu", "apv")
        message = CompactEncryption({name: header[name] for name in names if name in header})
        recipient: Recipient[Any] = Recipient(message, None, self._key)
        recipient.encrypted_key = encrypted_key
        algorithm: Any = _REGISTRY.get_alg(header["alg"])
        cipher = _REGISTRY.get_enc(header["enc"])
        found: bytes
        if header["alg"] == "dir":
            found = algorithm.compute_cek(cipher.cek_size, recipient)
        elif header["alg"] in AGREED:
            found = algorithm.decrypt_agreed_upon_key(cipher, recipient)  # refuses a point that is not on the curve
            if header["alg"] != "ECDH-ES":
                found = algorithm.unwrap_cek_with_auk(encrypted_key, found)
        else:
            found = algorithm.decrypt_cek(recipient)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DecryptionKey) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def _compared(self) -> tuple[object, ...]:
        return self.kid, self.algorithms, self.encryption, self.digest

    def __repr__(self) -> str:
        return f"<DecryptionKey {self.kid!r} {self.kty}{f' {self.crv}' if self.crv else ''} {self.bits} bits>"


def import_decryption_keys(text: bytes) -> tuple[DecryptionKey, ...]:
    """
    Import what a file holds: a private key in PEM, a JWK with a private key or secret, or a JWK Set of such.

    Raises:
        KeyFormatError: Something else, a public key, a weak key, or a key for signatures. One bad key refuses the whole file; no message quotes it.
    """
    if len(text) > MAX_BYTES:
        raise KeyFormatError(f"the file is larger than {MAX_BYTES} bytes")
    if b"-----BEGIN" in text:
        if text.count(b"-----BEGIN") != 1:
            raise KeyFormatError("there is more than one PEM block; put each private key into a file of its own")
        return (_from_pem(text),)
    parsed = parse_object(text)
    if parsed is None:
        raise KeyFormatError("it is neither a private key in PEM nor a JWK or JWK Set")
    if "keys" not in parsed:
        return (_from_jwk(parsed),)
    members = parsed["keys"]
    if not isinstance(members, list) or not members or not all(isinstance(one, dict) for one in members):
        raise KeyFormatError("a JWK Set must have a list of keys")
    if len(members) > MAX_KEYS:
        raise KeyFormatError(f"there are {len(members)} keys; at most {MAX_KEYS} are accepted")
    found = []
    for index, member in enumerate(members):
        try:
            found.append(_from_jwk(member))
        except KeyFormatError as problem:
            raise KeyFormatError(f"key {index}: {problem}") from None
    return tuple(found)


def _from_pem(text: bytes) -> DecryptionKey:
    if b"ENCRYPTED" in text:
        raise KeyFormatError("the private key is encrypted, and nobody can enter a password")
    key = _imported(text)
    return DecryptionKey(key, kid="", algorithms=_algorithms_of(key))


def _from_jwk(jwk: Mapping[str, Any]) -> DecryptionKey:
    jwk = {name: value for name, value in jwk.items() if value is not None}
    kty, kid = jwk.get("kty"), jwk.get("kid", "")
    names = _MEMBERS.get(kty) if isinstance(kty, str) else None
    if names is None:
        raise KeyFormatError("the key type is unknown")
    if kid != "" and not is_usable_key_id(kid):
        raise KeyFormatError(f"the key id is not 1 to {MAX_KEY_ID} printable characters")
    if jwk.get("use", "enc") != "enc":
        raise KeyFormatError("its use is not enc")
    operations = jwk.get("key_ops", [*_OPERATIONS])
    if not isinstance(operations, list) or not any(one in _OPERATIONS for one in operations if isinstance(one, str)):
        raise KeyFormatError("its key_ops do not include decrypt, unwrapKey, deriveKey or deriveBits")
    key = _imported({"kty": kty, **{name: jwk[name] for name in names if isinstance(jwk.get(name), str)}})
    fitting, named = _algorithms_of(key), jwk.get("alg")
    if named is None:
        return DecryptionKey(key, kid=kid, algorithms=fitting)
    if (
        named in ENCRYPTIONS and kty == "oct"
    ):  # RFC 7517 section 4.4 leaves open which; RFC 7520 section 5.6.1 names the cipher
        if len(key.raw_value) != ENCRYPTIONS[named].key_size:
            raise KeyFormatError(f"{named} needs a key of {ENCRYPTIONS[named].key_size} bytes")
        return DecryptionKey(key, kid=kid, algorithms=frozenset({"dir"}), encryption=named)
    if named not in fitting:
        raise KeyFormatError("lbjwt does not support its algorithm for a key of this type and size")
    return DecryptionKey(key, kid=kid, algorithms=frozenset({named}))


def _imported(source: bytes | Mapping[str, Any]) -> Any:
    key: Any = None
    with suppress(Exception), warnings.catch_warnings():  # joserfc lets several kinds of errors through
        warnings.simplefilter("ignore", SecurityWarning)
        key = import_key(source if isinstance(source, bytes) else dict(source))
    if not isinstance(key, RSAKey | ECKey | OKPKey | OctKey):
        raise KeyFormatError("the key material is not valid")
    if not isinstance(key, OctKey) and not key.is_private:
        raise KeyFormatError("it is a public key; tokens are decrypted with the private key")
    return key


def _bits_of(key: Any) -> int:
    """Of a modulus or a field."""
    return _BITS[key.curve_name] if isinstance(key, OKPKey) else int(key.raw_value.key_size)


def _algorithms_of(key: Any) -> frozenset[str]:
    if isinstance(key, RSAKey):
        numbers = key.public_key.public_numbers()
        if weakness := rsa_weakness(numbers.n, numbers.e):
            raise KeyFormatError(weakness)
        return frozenset(ENCRYPTED)
    if isinstance(key, OctKey):
        size = len(key.raw_value)
        direct = {"dir"} if any(size == one.key_size for one in ENCRYPTIONS.values()) else set()
        found = direct | ({WRAPPED[size]} if size in WRAPPED else set())
        if not found:
            raise KeyFormatError(f"the secret has {size} bytes; 16, 24, 32, 48 and 64 are accepted")
        return frozenset(found)
    if key.curve_name not in CURVES:
        raise KeyFormatError(f"the curve is not {', '.join(CURVES[:-1])} or {CURVES[-1]}")
    return frozenset(AGREED)
