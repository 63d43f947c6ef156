"""
What a text is that was given in place of a JWK Set or of PEM, and where it belongs. The sentences quote nothing of the text.
"""

import json
from typing import Any

from lbjwt._compact import parse_object

# RFC 7518 section 6, RFC 8037 section 2, RFC 9964 section 3
SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})


def instead_of_jwks(text: bytes) -> str:
    """A sentence about a text that is no JWK Set; "" for an unknown kind."""
    if not text.strip():
        return "it is empty"
    if b"-----BEGIN" in text:
        if b"PRIVATE KEY-----" in text:
            return "it is a private key in PEM; give the public key or certificate under pem_file, and leave the private key with the issuer"
        return "it is a public key or certificate in PEM; give it under pem_file (--pem)"
    members = parse_object(text)
    if members is None:
        if text.lstrip()[:1] == b"<":
            return "it is a web page or XML; check the URL"
        if _has_name_twice(text):
            return (
                "an object in it has the same member name twice, and programs do not agree which of the values counts"
            )
        return "it is a token; give the keys of the issuer instead" if text.startswith(b"eyJ") else ""
    if "kty" in members:
        if SECRET_MEMBERS & members.keys():
            return 'it is one private or secret key (JWK); give a set of public keys instead: {"keys": [ … ]} without its private members'
        return 'it is one key (JWK); put it in the list of a set: {"keys": [ … ]}'
    return "it is a discovery document; use discovery instead of a key file" if "jwks_uri" in members else ""


def instead_of_pem(text: bytes) -> str:
    """A sentence about a text that is no PEM; "" for an unknown kind."""
    if not text.strip():
        return "it is empty"
    members = parse_object(text)
    if members is not None and ("keys" in members or "kty" in members):
        return "it is a JWK or a JWK Set; give a set under jwks_file (--jwks)"
    if text.startswith(b"\x30"):
        return "it is DER; convert it to PEM (openssl x509 -inform der, openssl pkey -pubin -inform der)"
    return (
        "it is an SSH key; convert it to PEM with ssh-keygen -e -m PKCS8"
        if text.startswith((b"ssh-", b"ecdsa-sha2-"))
        else ""
    )


def _has_name_twice(text: bytes) -> bool:
    """True for JSON in which an object has two members of one name; RFC 8259 section 4 leaves open what that means."""
    twice = False

    def look(members: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in members}) < len(members)

    try:
        json.loads(text, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return False
    return twice
