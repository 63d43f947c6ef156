"""
What goes wrong with key sources.

Every message is one sentence with the place and the cause, without the query of a URL (which may hold a secret) and without a piece of a document.
"""

from lbjwt.errors import LbjwtError


class JWKSFetchError(LbjwtError):
    """No document came over the network."""


class KeySourceError(LbjwtError):
    """A key source that cannot work: a mistake to mend."""


class StoreError(LbjwtError):
    """A stored key set that must not be used, or cannot be written; the message names the file."""


def sentence_of(error: BaseException) -> str:
    """Quote only errors made for people: the text of another might hold a piece of the document."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, LbjwtError) and str(error):
        return str(error)
    return f"the document cannot be used ({type(error).__name__})"
