"""
The names of JWE that lbjwt supports, with the sizes that belong to them.

Not supported, because the sender of a token could misuse it: RSA1_5 (an oracle for Bleichenbacher's attack, RFC 8725 section 3.2), PBES2 (the sender
chooses how many rounds we compute), and `zip` (a small token becomes a large one). Nor A128GCMKW and its siblings, which hardly any issuer
offers.

Source: RFC 7518 sections 4.1 and 5.1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lbjwt.errors import ConfigurationError

ENCRYPTED: Final = ("RSA-OAEP-256", "RSA-OAEP")
"""The content key is encrypted with RSA. RSA-OAEP, with SHA-1, is among them: its security does not rest on collisions of the hash (RFC 8017 section
7.1), and Microsoft Entra and the defaults of several libraries use it."""
AGREED: Final = ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW")
WRAPPED: Final[Mapping[int, str]] = MappingProxyType({16: "A128KW", 24: "A192KW", 32: "A256KW"})
"""By bytes of the secret that wraps the content key."""
DIRECT: Final = frozenset({"dir", "ECDH-ES"})
"""Algorithms without an encrypted content key in the token."""

KEY_ALGORITHMS: Final = (*ENCRYPTED, *AGREED, *WRAPPED.values(), "dir")
"""Values of `alg`: how the content key is protected."""
CURVES: Final = ("P-256", "P-384", "P-521", "X25519", "X448")


@dataclass(frozen=True, slots=True)
class ContentEncryption:
    """One value of `enc`; sizes in bytes."""

    name: str
    key_size: int
    iv_size: int
    tag_size: int


ENCRYPTIONS: Final[Mapping[str, ContentEncryption]] = MappingProxyType({
    row[0]: ContentEncryption(*row)
    for row in (
        ("A128GCM", 16, 12, 16), ("A192GCM", 24, 12, 16), ("A256GCM", 32, 12, 16),
        ("A128CBC-HS256", 32, 16, 16), ("A192CBC-HS384", 48, 16, 24), ("A256CBC-HS512", 64, 16, 32),
    )
})  # fmt: skip
"""Values of `enc`: how the content is encrypted (RFC 7518 section 5.1)."""


def check_encryption(algorithms: Iterable[str] | None, encryptions: Iterable[str] | None) -> None:
    """ConfigurationError for a name that is not supported, and for an empty list; None allows all."""
    for what, names, known in (("alg", algorithms, KEY_ALGORITHMS), ("enc", encryptions, tuple(ENCRYPTIONS))):
        if names is None:
            continue
        listed = list(names)
        if not listed:
            raise ConfigurationError(f"the list of values of {what} is empty")
        for name in listed:
            if name not in known:
                raise ConfigurationError(f"lbjwt does not support {name!r} for {what}; it supports {', '.join(known)}")
