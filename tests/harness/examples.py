"""How many random examples a property gets: enough to see a plain mistake in `make test`, all of them where time matters less."""

import os

SHARE = 1 if os.environ.get("LBJWT_THOROUGH") == "1" else 6  # .ci/run sets it


def examples(thorough: int, plain: int | None = None) -> int:
    """`thorough` with LBJWT_THOROUGH=1, otherwise `plain` or a sixth of it: every run draws new ones, so nothing stays untried for long."""
    return max(1, thorough // SHARE) if plain is None or SHARE == 1 else plain
