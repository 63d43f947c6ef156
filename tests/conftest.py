"""What every test shares: random examples without a stopwatch, certificates, and runs that count a skipped test as a failure."""

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
