"""How often the deadlines of all connections are looked at."""

import pytest

from lbjwt.assembly.periodic import expiry_interval
from lbjwt.config.model import Configuration


@pytest.mark.parametrize(
    ("section", "key", "written", "seconds"),
    [
        ("cluster", "response_timeout", "100ms", 0.1),
        ("cluster", "response_timeout", "10ms", 0.01),
        ("cluster", "pending_timeout", "1s", 1.0),
        ("cluster", "idle_timeout", "2s", 2.0),
        ("timeouts", "request_head", "1s", 1.0),
        ("timeouts", "keep_alive", "3s", 3.0),
        ("timeouts", "stream_idle", "1s", 1.0),
        ("timeouts", "tls_handshake", "1s", 1.0),
    ],
)
def test_a_timeout_holds_to_100_ms_or_a_tenth(section: str, key: str, written: str, seconds: float) -> None:
    """A deadline is late by one walk and the coarse clock's grain at most; both together stay within half of what is allowed."""
    cluster = {"endpoints": [{"address": "127.0.0.1:9001"}]}
    configuration = Configuration.model_validate(
        {
            "listeners": [{"address": "127.0.0.1:0"}],
            "issuers": {"main": {"any_issuer": True, "any_audience": True, "jwks_file": "unused.json"}},
            "clusters": {"main": cluster | ({key: written} if section == "cluster" else {})},
            "timeouts": {key: written} if section == "timeouts" else {},
        }
    )
    assert 0.05 <= expiry_interval(configuration) <= max(0.1, seconds / 10) / 2


def test_an_idle_service_is_not_woken_for_nothing() -> None:
    """With the defaults it is four times a second."""
    configuration = Configuration.model_validate(
        {
            "listeners": [{"address": "127.0.0.1:0"}],
            "issuers": {"main": {"any_issuer": True, "any_audience": True, "jwks_file": "unused.json"}},
            "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9001"}]}},
        }
    )
    assert expiry_interval(configuration) == 0.25
