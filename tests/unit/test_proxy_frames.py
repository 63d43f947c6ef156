"""Where the frames of a WebSocket begin: whole, byte by byte, and in any pieces."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.proxy._frames import FrameTracker


def frame(size: int, opcode: int = 2, length: int | None = None) -> bytes:
    """An unmasked frame; `length`: bytes of the extended length, 0, 2 or 8."""
    form = length if length is not None else 0 if size < 126 else 2 if size < 65536 else 8
    head = bytes([0x80 | opcode, size if form == 0 else 126 if form == 2 else 127])
    return (
        head
        + (struct.pack(">H", size) if form == 2 else struct.pack(">Q", size) if form == 8 else b"")
        + b"\xff" * size
    )


def is_between(tracker: FrameTracker, data: bytes) -> bool:
    """Whether the stream, with these bytes, ended with a whole frame."""
    tracker.feed(data, len(data))
    return bool(tracker.between())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536, 70000])
def test_a_frame_ends_with_its_last_byte(size: int) -> None:
    """In none of the three forms of a length is any byte before the last one an end."""
    data = frame(size)
    tracker = FrameTracker()
    assert is_between(tracker, b"")
    assert not any(is_between(tracker, data[at : at + 1]) for at in range(len(data) - 1))
    assert is_between(tracker, data[-1:])


@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from([2, 8, None])), max_size=6), st.lists(st.integers(1, 90))
)
def test_pieces_do_not_matter(frames: list[tuple[int, int | None]], cuts: list[int]) -> None:
    """However the stream is cut, the places between frames are the same."""
    ends, data = {0}, b""
    for size, length in frames:
        data += frame(size, length=length)
        ends.add(len(data))
    tracker, at = FrameTracker(), 0
    for cut in [*cuts, len(data)]:
        piece = data[at : at + cut]
        at += len(piece)
        assert is_between(tracker, piece) == (at in ends)


@pytest.mark.parametrize("head", [b"\x82\x80", b"\x82\xff", b"\x82\x7f\x80" + bytes(7)])
def test_what_is_no_stream_of_frames_never_ends_one(head: bytes) -> None:
    """A masked frame or a length of 2^63: from there on no place is safe for a frame of ours."""
    tracker = FrameTracker()
    assert not is_between(tracker, head)
    assert not is_between(tracker, b"\x00" * 100)
    assert not is_between(tracker, frame(0))


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from([2, 8, None])), max_size=4), st.integers(0, 400))
def test_up_to_the_end_of_one_frame(frames: list[tuple[int, int | None]], passed: int) -> None:
    """Wherever the stream stands, the next frame's end is found, and not one byte more is counted."""
    data, ends = b"", []
    for size, length in frames:
        data += frame(size, length=length)
        ends.append(len(data))
    passed = min(passed, len(data))
    tracker = FrameTracker()
    tracker.feed(data[:passed], passed)
    rest = data[passed:]
    used = tracker.feed_frame(rest, len(rest))
    assert passed + used == next((end for end in ends if end > passed), len(data))
    assert tracker.between()


def test_a_close_frame_is_known() -> None:
    """Its opcode counts, not the text of other frames."""
    tracker = FrameTracker()
    tracker.feed(frame(8) + frame(0, opcode=9), 12)
    assert not tracker.closed
    tracker.feed(b"\x88\x02", 2)
    assert tracker.closed
