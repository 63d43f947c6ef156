"""The ``jwe`` section of an issuer."""

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, StrictBool, field_validator

from lbjwt.config.fields import File, distinct
from lbjwt.config.section import Section
from lbjwt.jose.encryption import ENCRYPTIONS, KEY_ALGORITHMS

_ENCRYPTIONS: Final = tuple(ENCRYPTIONS)

if TYPE_CHECKING:
    KeyAlgorithm = str
    Encryption = str
else:
    KeyAlgorithm = Literal[KEY_ALGORITHMS]
    Encryption = Literal[_ENCRYPTIONS]


class Jwe(Section):
    """How the encrypted tokens of an issuer are decrypted."""

    key_files: Annotated[tuple[File, ...], Field(min_length=1, max_length=8)] = Field(
        description="Files with the private keys or secrets, each a private key in PEM, a JWK or a JWK Set. lbjwt reads them again when they "
        "change. Give the new key beside the old one for a rotation."
    )
    algorithms: Annotated[tuple[KeyAlgorithm, ...], Field(min_length=1)] | None = Field(
        default=None, description="Accepted values of `alg`, the key management algorithm. Default: those of the keys."
    )
    encryptions: Annotated[tuple[Encryption, ...], Field(min_length=1)] | None = Field(
        default=None, description="Accepted values of `enc`, the content encryption algorithm. Default: all supported."
    )
    required: StrictBool = Field(
        default=False, description="Refuse tokens of this issuer that are signed but not encrypted."
    )

    _no_repeats = field_validator("key_files", "algorithms", "encryptions")(distinct)
