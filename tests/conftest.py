"""What every test shares: random examples without a stopwatch, certificates, and runs that count a skipped test as a failure."""

import gc
import os

os.environ.setdefault(
    "GRPC_ENABLE_FORK_SUPPORT", "0"
)  # before grpcio is imported: processes that tests start call exec at once

from hypothesis import HealthCheck, settings

from tests.harness.certificates import files  # noqa: F401 - a fixture
from tests.harness.examples import examples
from tests.harness.no_skip import pytest_configure  # noqa: F401 - a hook

settings.register_profile(
    "lbjwt",
    deadline=None,
    print_blob=True,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],  # says more of the machine than of the test
)
settings.load_profile("lbjwt")


def pytest_collection_finish() -> None:
    """Thousands of collected tests live to the end: no later collection of garbage looks at them."""
    gc.freeze()
