"""
Errors of key sources.

Every message is one sentence with the source and the cause. It contains no query of a URL, which may be secret, and no piece of a document.
"""

from lbjwt.errors import LbjwtError


class JWKSFetchError(LbjwtError):
    """A document could not be fetched."""


class KeyMissing(JWKSFetchError):
    """
    The server says that there is no such document.

    Attributes:
        gone: It says so without doubt (404, 410). With 403, as S3 answers for missing objects, it may only be forbidden.
    """

    def __init__(self, message: str, *, gone: bool) -> None:
        super().__init__(message)
        self.gone = gone


class KeySourceError(LbjwtError):
    """A key source that cannot work until somebody corrects it."""


class StoreError(LbjwtError):
    """A stored key set that must not be used, or cannot be written; the message names the file."""


def sentence_of(error: BaseException) -> str:
    """The message of an error of ours; of any other only its class, because its text may contain a piece of the document."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, LbjwtError) and str(error):
        return str(error)
    return f"the document cannot be used ({type(error).__name__})"
