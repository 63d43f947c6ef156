"""The deadline of a gRPC call, as its client wrote it."""

import pytest

from lbjwt.proxy._grpc_call import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"1S", 1.0),
        (b"2M", 120.0),
        (b"3H", 10_800.0),
        (b"250m", 0.25),
        (b"1500u", 0.0015),
        (b"99999999n", 0.099999999),
        (b"99999999H", 99_999_999 * 3600.0),
        (b"007S", 7.0),
        (b"0n", 0.0),
    ],
)
def test_a_timeout_has_up_to_eight_digits_and_a_unit(text: bytes, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", [b"", b"1", b"S", b"100000000S", b"1s", b"-1S", b"+1S", b"1.5S", b"1 S", b" 1S", b"1S ", b"1SS", b"0x1S"]
)
def test_anything_else_is_no_deadline(text: bytes) -> None:
    """As for Envoy: it is passed on, and the service decides."""
    assert seconds_of(text) < 0.0
