"""PEM files as operators have them: every form of a key, rotations, chains, and what does not belong there."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from lbjwt.errors import KeyFormatError
from lbjwt.jose.keyring import KeyRing
from lbjwt.jose.keys import VerificationKey
from lbjwt.jose.pem import import_pem
from tests.unit.auth_tokens import certificate, private_key, public_pem, rsa_key

LEAF, AUTHORITY, ROOT = range(3)


def pem(key: Any) -> bytes:
    """A certificate, or the public half of a key."""
    if hasattr(key, "public_key") and not hasattr(key, "sign"):
        made: bytes = key.public_bytes(Encoding.PEM)
        return made
    public: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public


def chain() -> list[bytes]:
    """Leaf, authority and root, the leaf first."""
    return [
        pem(certificate(rsa_key(LEAF), name="leaf", issuer="authority", by=rsa_key(AUTHORITY))),
        pem(certificate(rsa_key(AUTHORITY), name="authority", issuer="root", by=rsa_key(ROOT))),
        pem(certificate(rsa_key(ROOT), name="root")),
    ]


def materials(keys: tuple[VerificationKey, ...]) -> list[bytes]:
    return [key.digest for key in keys]


def material(number: int) -> bytes:
    (key,) = import_pem(pem(rsa_key(number)))
    return key.digest


def test_pem_forms_of_one_key_are_one_key() -> None:
    """SubjectPublicKeyInfo, PKCS#1 and a certificate, as bytes or text, with or without text around."""
    public = rsa_key().public_key()
    texts = [
        public.public_bytes(Encoding.PEM, form) for form in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1)
    ]
    texts += [
        pem(certificate()),
        b"subject=CN = issuer\n\n" + texts[0] + b"\n-- end --\n",
        texts[0].replace(b"\n", b"\r\n"),
    ]
    keys = [import_pem(text)[0] for text in texts] + [import_pem(text.decode())[0] for text in texts]
    assert len({key.digest for key in keys}) == 1


def test_a_pem_file_with_several_keys_is_a_rotation() -> None:
    """Each public key and each self-signed certificate is a key, in the order of the file, whatever their types and names."""
    keys = import_pem(
        pem(rsa_key(0)) + pem(certificate(rsa_key(1))) + public_pem("ES256") + pem(certificate(rsa_key(2)))
    )
    assert materials(keys)[:2] == [material(0), material(1)] and [key.kty for key in keys] == [
        "RSA",
        "RSA",
        "EC",
        "RSA",
    ]
    assert len(KeyRing.from_pem(pem(rsa_key(0)) + pem(rsa_key(0)) + pem(rsa_key(1)))) == 2, "one key twice is one key"


@pytest.mark.parametrize("order", [(0, 1), (0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_chain_of_certificates_in_a_pem_file_is_the_key_of_its_leaf(order: tuple[int, ...]) -> None:
    """No authority may sign tokens because it stands behind (or, by mistake, before) the certificate of the signer."""
    assert materials(import_pem(b"".join(chain()[at] for at in order))) == [material(LEAF)]


def test_two_chains_in_a_pem_file_are_two_keys() -> None:
    """A rotation of certificates that one authority issued: both leaves, not the authority."""
    leaf, authority, root = chain()
    new = pem(certificate(rsa_key(3), name="leaf", issuer="authority", by=rsa_key(AUTHORITY), serial=9))
    assert materials(import_pem(leaf + authority + new + authority + root)) == [material(LEAF), material(3)]


def test_a_certificate_renewed_with_its_key_is_one_key_with_two_names() -> None:
    """Each seems to have issued the other, and both count."""
    renewed = certificate(rsa_key(0), serial=1), certificate(rsa_key(0), serial=2)
    keys = import_pem(b"".join(map(pem, renewed)))
    assert len(keys) == 2 and len({key.digest for key in keys}) == 1 and not keys[0].same_as(keys[1])
    found = KeyRing(keys).find(None, "RS256")
    assert not isinstance(found, tuple), "one material is tried once"


@pytest.mark.parametrize(
    ("form", "protection"),
    [
        (PrivateFormat.PKCS8, NoEncryption()),
        (PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        (PrivateFormat.OpenSSH, NoEncryption()),
        (PrivateFormat.PKCS8, BestAvailableEncryption(b"password")),
        (PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"password")),
    ],
)
@pytest.mark.parametrize(
    "around", [lambda text: text, lambda text: pem(rsa_key(1)) + text, lambda text: text + chain()[0]]
)
def test_a_private_key_in_a_pem_file_is_an_error_that_says_so(
    form: PrivateFormat, protection: Any, around: Callable[[bytes], bytes]
) -> None:
    """Alone or among good keys; nothing of it is in the message."""
    text = rsa_key().private_bytes(Encoding.PEM, form, protection)
    with pytest.raises(KeyFormatError, match="is a private key; lbjwt needs public keys only") as caught:
        import_pem(around(text))
    assert not any(line in str(caught.value) for line in text.decode().splitlines() if len(line) > 40)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "it is empty"),
        (b"x", "there is no complete PEM block"),
        (pem(rsa_key())[:100], "there is no complete PEM block"),
        (pem(certificate())[:-40], "there is no complete PEM block"),
        (pem(rsa_key()) + pem(rsa_key(1))[:-40], "incomplete"),
        (pem(rsa_key())[:-40] + pem(certificate()), "incomplete"),
        (pem(rsa_key()).replace(b"M", b"!", 3), "PEM block 1 is not a usable public key or certificate"),
        (pem(rsa_key()) + pem(certificate()).replace(b"MII", b"MIA"), "PEM block 2 is not a usable public key or certificate"),
        (pem(rsa_key()).replace(b"PUBLIC KEY", b"DH PARAMETERS"), "PEM block 1 is DH PARAMETERS"),
        (pem(rsa_key()).replace(b"PUBLIC KEY", b"CERTIFICATE REQUEST"), "PEM block 1 is CERTIFICATE REQUEST"),
        (pem(rsa_key()) * 101, "101 PEM blocks; at most 100"),
    ],
    ids=range(11),
)  # fmt: skip
def test_other_pem_texts_are_refused(text: bytes, words: str) -> None:
    """No block, half a block, a broken one, one of another kind, too many: each says which block it is."""
    with pytest.raises(KeyFormatError, match=words):
        import_pem(text)


def test_one_bad_key_of_a_pem_file_is_named_by_its_place() -> None:
    """A key that fits no configured algorithm, behind one that does."""
    with pytest.raises(KeyFormatError, match=r"^PEM block 2: a key of type EC P-256 .* fits no algorithm of RS256"):
        import_pem(pem(rsa_key()) + public_pem("ES256"), allowed=["RS256"])
    with pytest.raises(KeyFormatError, match=r"^a key of type RSA"):
        import_pem(pem(rsa_key()), allowed=["ES256"])
    assert len(import_pem(pem(private_key("EdDSA")), allowed=iter(["EdDSA"]))) == 1
