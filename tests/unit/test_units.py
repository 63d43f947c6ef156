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
    ("text", "advice"),
    [
        ("", None),
        ("s", None),
        ("10", "10s"),
        ("10 s", "10s"),
        (" 10s", "10s"),
        ("10s\n", "10s"),
        ("10S", "10s"),
        ("1.5s", "1500ms"),
        ("0.25s", "250ms"),
        ("10sec", "10s"),
        ("5 minutes", "5m"),
        ("1hr", "1h"),
        ("0.0001s", None),
        ("1h30m", None),
        ("-1s", None),
        ("+1s", None),
        ("1e3s", None),
        ("١٠s", None),
        ("1w", None),
        ("9" * 13 + "s", None),
        ("11575d", None),
    ],
)
def test_bad_durations_are_refused_with_advice(text: str, advice: str | None):
    """What is no duration is refused, and what was likely meant is offered when that is a duration."""
    with pytest.raises(UnitError) as caught:
        parse_duration(text)
    assert ("did you mean" in str(caught.value)) == (advice is not None)
    if advice is not None:
        assert f'did you mean "{advice}"?' in str(caught.value)
        parse_duration(advice)


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
    ("text", "advice"),
    [
        ("", None),
        ("KiB", None),
        ("64KB", "64KiB"),
        ("64 KiB", "64KiB"),
        ("64kib", "64KiB"),
        ("1M", "1MiB"),
        ("10b", "10"),
        ("1.5MiB", None),
        ("-1", None),
        ("0x10", None),
        ("1_000", None),
        ("1PiB", None),
        ("9" * 20, None),
    ],
)
def test_bad_sizes_are_refused_with_advice(text: str, advice: str | None):
    """What is no size is refused, and what was likely meant is offered when that is a size."""
    with pytest.raises(UnitError) as caught:
        parse_size(text)
    assert ("did you mean" in str(caught.value)) == (advice is not None)
    if advice is not None:
        assert f'did you mean "{advice}"?' in str(caught.value)
        parse_size(advice)


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
