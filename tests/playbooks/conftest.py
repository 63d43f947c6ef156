"""What playbooks share."""

import pytest


@pytest.fixture(params=[None, 1], ids=["whole", "byte by byte"])
def pieces(request: pytest.FixtureRequest) -> int | None:
    """How many bytes arrive at a time; None: as they were sent."""
    return request.param
