"""
Encrypted tokens: the rules on the header of a JWE, which key may decrypt it, and the signed token inside.

Only a signed token is accepted inside, so encryption replaces no check: the token that comes out is verified like one that came without encryption.
Which issuer it is of is known only then, so the keys of all issuers are candidates; the issuer of the token must be one that has the key.

Everything that is decided before a key is used depends on the header, which anybody can read. From then on there is one reason for failures,
DECRYPTION_FAILED, and each takes the same time (see `jose.decryption`).

Source: RFC 7516 sections 5.2 and 9, RFC 7519 sections 5.2 and 7.2, RFC 8725 sections 3.1 to 3.6.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from lbjwt._compact import parse_base64url, parse_object
from lbjwt._fastverify import DenyReason
from lbjwt.auth.policy import media_type
from lbjwt.errors import ConfigurationError
from lbjwt.jose.decryption import DecryptionKey, EncryptedContent, import_decryption_keys
from lbjwt.jose.encryption import DIRECT, ENCRYPTIONS, KEY_ALGORITHMS, check_encryption
from lbjwt.jose.imports import is_usable_key_id

MAX_TRIED: Final = 4  # keys for one token: a private key is dear
MAX_ENCRYPTED_KEY: Final = 1024  # bytes: that of an RSA key of 8,192 bits

_SIGNED: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_PARTY: Final = re.compile(r"[A-Za-z0-9_-]{0,512}")  # apu and apv

Trace = list[tuple[str, int, Any]]


@dataclass(frozen=True, slots=True)
class Decryption:
    """
    How the tokens of one issuer are decrypted.

    Attributes:
        keys: Private keys and shared secrets.
        algorithms: Accepted values of `alg`; None for those of the keys.
        encryptions: Accepted values of `enc`; None for all that lbjwt supports.
        required: Refuse tokens of the issuer that are not encrypted.

    Raises:
        ConfigurationError: No key, or an unknown name.
    """

    keys: tuple[DecryptionKey, ...]
    algorithms: tuple[str, ...] | None = None
    encryptions: tuple[str, ...] | None = None
    required: bool = False

    def __post_init__(self) -> None:
        if not self.keys:
            raise ConfigurationError("there is no key for decryption")
        check_encryption(self.algorithms, self.encryptions)
        if self.algorithms is not None and not any(key.algorithms & set(self.algorithms) for key in self.keys):
            raise ConfigurationError("no key for decryption can be used with any of the algorithms")

    @classmethod
    def from_keys(
        cls,
        *texts: bytes,
        algorithms: Iterable[str] | None = None,
        encryptions: Iterable[str] | None = None,
        required: bool = False,
    ) -> Self:
        """
        Args:
            texts: Each a private key in PEM, a JWK or a JWK Set.

        Raises:
            KeyFormatError: Not usable private keys or secrets.
            ConfigurationError: No key, or an unknown name.
        """
        keys = [key for text in texts for key in import_decryption_keys(text)]
        return cls(
            tuple(dict.fromkeys(keys)),
            None if algorithms is None else tuple(algorithms),
            None if encryptions is None else tuple(encryptions),
            required,
        )

    def allows(self, key: DecryptionKey, header: Mapping[str, Any]) -> bool:
        """Whether a token with this header may be decrypted with one of the keys."""
        return (
            (self.algorithms is None or header["alg"] in self.algorithms)
            and (self.encryptions is None or header["enc"] in self.encryptions)
            and key.fits(header)
        )


class EncryptedTokens:
    """
    Decrypts the tokens of all issuers that have keys for it. Called with a compact JWE.

    Args:
        decryptions: By row of the issuer.
        max_header: Characters of the encoded header.
    """

    __slots__ = ("_decryptions", "_max_header")

    def __init__(self, decryptions: Mapping[int, Decryption], max_header: int) -> None:
        self._decryptions = dict(decryptions)
        self._max_header = max_header

    def __call__(self, token: bytes, trace: Trace | None = None) -> tuple[bytes, frozenset[int]] | DenyReason:
        """
        The signed token inside, and the rows of the issuers that have the key; or the reason for none.

        Args:
            trace: Gets each step, up to the first that refuses.
        """
        steps: Trace = [] if trace is None else trace
        read = self._read(token)
        steps.append(("encryption.parts", DenyReason.MALFORMED if read is None else DenyReason.NONE, None))
        if read is None:
            return DenyReason.MALFORMED
        header, content = read
        reason = check_header(header)
        if reason is DenyReason.NONE and not _has_sizes(header, content):
            reason = DenyReason.MALFORMED
        steps.append(("encryption.header", reason, header))
        if reason is not DenyReason.NONE:
            return reason
        found = self._candidates(header)
        steps.append(("encryption.key", DenyReason.NONE if found else DenyReason.DECRYPTION_FAILED, tuple(found)))
        for key, rows in found.items():
            text = key.decrypt(header, content)
            if text is not None:
                steps.append(("encryption.tag", DenyReason.NONE, key))
                return self._inside(text, frozenset(rows), steps)
        if found:
            steps.append(("encryption.tag", DenyReason.DECRYPTION_FAILED, None))
        return DenyReason.DECRYPTION_FAILED

    def _read(self, token: bytes) -> tuple[dict[str, Any], EncryptedContent] | None:
        parts = token.split(b".")
        if len(parts) != 5 or not 0 < len(parts[0]) <= self._max_header:
            return None
        texts = [parse_base64url(part) for part in parts]
        if None in texts:
            return None
        encoded, encrypted_key, iv, ciphertext, tag = (text or b"" for text in texts)
        header = parse_object(encoded)
        if header is None:
            return None
        return header, EncryptedContent(parts[0], encrypted_key, iv, ciphertext, tag)

    def _candidates(self, header: Mapping[str, Any]) -> dict[DecryptionKey, list[int]]:
        """
        The keys to try, each with the rows of the issuers that have it: those with the key id of the token, or else those without an id. Without
        a key id in the token, all that fit.
        """
        kid = header.get("kid") or None
        fitting = [
            (key, row)
            for row, decryption in self._decryptions.items()
            for key in decryption.keys
            if decryption.allows(key, header)
        ]
        if kid is not None:
            fitting = [one for one in fitting if one[0].kid == kid] or [one for one in fitting if not one[0].kid]
        found: dict[DecryptionKey, list[int]] = {}
        for key, row in fitting:
            if key in found or len(found) < MAX_TRIED:
                found.setdefault(key, []).append(row)
        return found

    def _inside(self, text: bytes, rows: frozenset[int], steps: Trace) -> tuple[bytes, frozenset[int]] | DenyReason:
        """A signed token only: nothing that is encrypted once more, and no claims that nobody signed."""
        signed = _SIGNED.fullmatch(text) is not None
        steps.append(
            ("encryption.content", DenyReason.NONE if signed else DenyReason.MALFORMED, text if signed else None)
        )
        return (text, rows) if signed else DenyReason.MALFORMED


def check_header(header: Mapping[str, Any]) -> DenyReason:
    """Why a token with this header is not decrypted; NONE if it may be."""
    if "crit" in header or "b64" in header:
        return DenyReason.MALFORMED  # lbjwt implements no extension (RFC 7516 section 4.1.13)
    for name in ("typ", "cty", "kid"):
        if header.get(name) is not None and not isinstance(header[name], str):
            return DenyReason.MALFORMED
    algorithm, encryption, kid = header.get("alg"), header.get("enc"), header.get("kid")
    if "zip" in header or algorithm not in KEY_ALGORITHMS or not isinstance(encryption, str):
        return DenyReason.ENCRYPTION_REFUSED
    if encryption not in ENCRYPTIONS or (kid and not is_usable_key_id(kid)):
        return DenyReason.ENCRYPTION_REFUSED
    if media_type(header.get("cty") or "JWT") != "jwt":
        return DenyReason.ENCRYPTION_REFUSED  # RFC 7519 section 5.2; some issuers leave it out
    if algorithm.startswith("ECDH-ES"):
        epk = header.get("epk")
        parties = (header.get(name, "") for name in ("apu", "apv"))
        if not isinstance(epk, dict) or "d" in epk or not all(isinstance(one, str) for one in epk.values()):
            return DenyReason.ENCRYPTION_REFUSED
        if not all(isinstance(party, str) and _PARTY.fullmatch(party) for party in parties):
            return DenyReason.ENCRYPTION_REFUSED
    return DenyReason.NONE


def _has_sizes(header: Mapping[str, Any], content: EncryptedContent) -> bool:
    encryption = ENCRYPTIONS[header["enc"]]
    return (
        len(content.iv) == encryption.iv_size
        and len(content.tag) == encryption.tag_size
        and len(content.ciphertext) > 0
        and (
            not content.encrypted_key
            if header["alg"] in DIRECT
            else 0 < len(content.encrypted_key) <= MAX_ENCRYPTED_KEY
        )
    )
