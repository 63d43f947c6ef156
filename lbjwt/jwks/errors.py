"""
What goes wrong with key sources.

    LbjwtError
    ├── JWKSFetchError    no document came over the network
    ├── KeySourceError    a source that cannot work: a mistake to mend
    └── StoreError        a stored document that must not or cannot be used, or cannot be written

Every message is one sentence with the place and the cause, without the query of a URL (which may hold a secret) and without a piece of a document.
"""

from lbjwt.errors import LbjwtError

__all__ = ["JWKSFetchError", "KeySourceError", "StoreError", "sentence_of"]


class JWKSFetchError(LbjwtError):
    """No document: the message is one sentence without the URL's query, which may hold a secret."""


class KeySourceError(LbjwtError):
    """A key source that cannot work; the message is a sentence with the place and the cause, and holds no key."""


class StoreError(LbjwtError):
    """A stored document that must not be used, or cannot be written; the message names the file and the cause."""


def sentence_of(error: BaseException) -> str:
    """Only errors made for people are quoted: the text of another might hold a piece of the document."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, LbjwtError) and str(error):
        return str(error)
    return f"the document cannot be used ({type(error).__name__})"
