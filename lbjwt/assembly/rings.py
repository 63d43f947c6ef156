"""How what an issuer's key source holds becomes its keys: the one place that says which reader, with which limits."""

from collections.abc import Callable, Iterable

from lbjwt._compact import parse_base64url, parse_object
from lbjwt.config.issuer import Issuer
from lbjwt.jose.keyring import KeyRing


def key_ring_of(issuer: Issuer) -> Callable[..., KeyRing]:
    """
    The function that takes the bytes of the source (of each file, where there are several) and returns the key ring.

    It raises KeyFormatError for what is not usable.
    """
    algorithms = issuer.algorithms
    source = issuer.key_source
    if source in ("pem", "pem_file"):
        return lambda document: KeyRing.from_pem(document, algorithms=algorithms)
    if source.startswith("secret_"):
        return lambda *secrets: KeyRing.from_secret(*secrets, algorithms=algorithms or ())
    remote = issuer.fetch
    limits = {"max_keys": remote.max_keys, "max_bytes": remote.max_bytes} if remote is not None else {}
    return lambda document: KeyRing.from_jwks(
        document,
        algorithms=algorithms,
        allow_padding=issuer.allow_padding,
        symmetric=issuer.symmetric,
        **limits,
    )


def secrets_of(issuer: Issuer, documents: Iterable[bytes]) -> list[bytes]:
    """The secrets that its key source holds, of which a key ring was made, for a look at how hard they are to guess."""
    if issuer.jwks_file is None:
        return list(documents) if issuer.symmetric else []
    members = [member for document in documents for member in (parse_object(document) or {}).get("keys", [])]
    texts = [member.get("k") for member in members if issuer.symmetric and isinstance(member, dict)]
    return [parse_base64url(text.encode(), padding=True) or b"" for text in texts if isinstance(text, str)]
