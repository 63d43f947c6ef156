"""Contracts of `_path.pyx`. What per-request code uses stands in `_path.pxd`."""

def canonical_path(path: bytes) -> bytes:
    """
    The one spelling of a path, as it is matched and forwarded.

    Args:
        path: The target up to its query: from its first "/" to before the first "?".

    Raises:
        ValueError: A path that is refused (400); the message is a stable short code, such as ``path-encoded-slash``.

    Source: RFC 3986 section 6.2.2.
    """

def loose_path(path: bytes) -> tuple[bytes, bytes | None]:
    """
    The path as the most forgiving back end reads it, and the same up to an encoded "?" or "#" (None when it has neither).

    Decoded; letters lower; path parameters, dots and spaces at the end of a segment, segments of which nothing is left, and the slash at the
    end left out. Meant for comparisons: two paths that some back end may take for one another are equal here.

    Raises:
        ValueError: As for `canonical_path`.
    """
