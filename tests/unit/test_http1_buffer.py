"""The growable buffer that heads are written into."""

from lbjwt.http1._buffer import Buffer


def test_a_buffer_holds_what_was_put_in():
    """Pieces of any size come out joined, past any growth, and a reset buffer starts empty."""
    buffer = Buffer()
    assert buffer.getvalue() == b""
    pieces = [bytes([size % 256]) * size for size in (0, 1, 4095, 4096, 4097, 100_000, 3)]
    for piece in pieces:
        buffer.append(piece)
    assert buffer.getvalue() == b"".join(pieces)
    buffer.reset()
    assert buffer.getvalue() == b""
    buffer.append(b"again")
    assert buffer.getvalue() == b"again"
