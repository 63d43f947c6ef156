"""Success rates beside those of the other endpoints."""

import pytest

from lbjwt.upstream.outliers import outliers

GOOD = (1000, 1000)


@pytest.mark.parametrize(
    ("results", "floor", "expected"),
    [
        ([GOOD] * 4 + [(500, 1000)], 0.9, [4]),
        ([(500, 1000)] + [GOOD] * 9, 0.9, [0]),
        # below the mean, but above the floor
        ([GOOD] * 9 + [(950, 1000)], 0.9, []),
        ([GOOD] * 9 + [(950, 1000)], 0.96, [9]),
        # all fail alike
        ([(500, 1000)] * 5, 0.9, []),
        # too few endpoints to have one that stands out
        ([GOOD] * 3 + [(0, 1000)], 0.9, []),
        # too few requests: of the bad one, or of another one
        ([GOOD] * 5 + [(0, 99)], 0.9, []),
        ([GOOD] * 3 + [(99, 99), (0, 1000)], 0.9, []),
        ([GOOD] * 4 + [(0, 100)], 0.9, [4]),
        # the worst first
        ([GOOD] * 18 + [(400, 1000), (300, 1000)], 0.9, [19, 18]),
        # no limit
        ([GOOD] * 4 + [(0, 1000)], 0.0, []),
        ([], 0.9, []),
    ],
)
def test_an_outlier_is_far_below_the_mean_and_below_the_floor(
    results: list[tuple[int, int]], floor: float, expected: list[int]
) -> None:
    """Each row has the good responses and the requests of every endpoint."""
    assert [outlier.at for outlier in outliers(results, floor=floor)] == expected


def test_the_log_can_say_by_how_much() -> None:
    """The rate and the mean of those that were compared."""
    (outlier,) = outliers([GOOD] * 4 + [(500, 1000), (0, 3)], floor=0.9)
    assert outlier.rate == 0.5 and outlier.mean == pytest.approx(0.9)
