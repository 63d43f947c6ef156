"""Durations and sizes: what is read, what is refused with which advice, and the exact way back."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.units import UnitError, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("250ms", 0.25),
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("24h", 86400.0),
        ("1d", 86400.0),
        ("007s", 7.0),
    ],
)
def test_durations_are_read(text: str, seconds: float):
    """A whole number with a unit becomes seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "10", "10 s", " 10s", "10s\n", "10S", "1.5s", "10sec", "1h30m", "-1s", "+1s", "1e3s", "١٠s", "1w", "9" * 13 + "s", "11575d"],
)  # fmt: skip
def test_bad_durations_are_refused(text: str):
    """What is no duration is refused, with what one is like."""
    with pytest.raises(UnitError, match="a duration is"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.001, "1ms"), (0.25, "250ms"), (1, "1s"), (90, "90s"), (60, "1m"), (3600, "1h"), (172800, "2d")],
)
def test_durations_are_written_in_the_largest_whole_unit(seconds: float, text: str):
    """The largest unit that needs no fraction is used."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [-1, -0.001, 0.0001, 1 / 3, float("nan"), float("inf"), 1e12])
def test_durations_that_cannot_be_written_are_refused(seconds: float):
    """Negative, endless and too fine durations have no spelling."""
    with pytest.raises(UnitError):
        format_duration(seconds)


@given(st.integers(0, 10**12 - 1))
def test_durations_survive_the_way_to_text_and_back(milliseconds: int):
    """Every whole number of milliseconds reads back exactly."""
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("1KiB", 1024), ("64KiB", 65536), ("1MiB", 1 << 20), ("2GiB", 2 << 30), ("1TiB", 1 << 40)],
)
def test_sizes_are_read(text: str, size: int):
    """A whole number, alone or with a binary multiple, becomes bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "KiB", "64KB", "64 KiB", "64kib", "1M", "10b", "1.5MiB", "-1", "0x10", "1_000", "1PiB", "9" * 20],
)
def test_bad_sizes_are_refused(text: str):
    """What is no size is refused, with what one is like."""
    with pytest.raises(UnitError, match="a size is"):
        parse_size(text)


@given(st.integers(0, 1 << 49))
def test_sizes_survive_the_way_to_text_and_back(size: int):
    """Every size reads back exactly."""
    assert parse_size(format_size(size)) == size


def test_negative_sizes_have_no_spelling():
    """A negative size is refused."""
    with pytest.raises(UnitError):
        format_size(-1)


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_unit_error(text: str):
    """No text makes the readers fail in another way."""
    for parse in (parse_duration, parse_size):
        with contextlib.suppress(UnitError):
            assert parse(text) >= 0
