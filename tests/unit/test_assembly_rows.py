"""What of a configuration is counted, and the shared stats it starts with."""

import pickle

from lbjwt.assembly.rows import new_board, row_names
from lbjwt.config.model import Configuration

WRITTEN = {
    "listeners": [{"address": "127.0.0.1:8080"}],
    "issuers": {
        "main": {"issuer": "https://a.test", "audiences": ["api"], "jwks": {"keys": []}},
        "shop": {
            "issuer": "https://b.test/{tenant}",
            "audiences": ["api"],
            "remote_jwks": {"uri": "https://b.test/{tenant}/jwks"},
            "tenants": {"names": ["x", "y"]},
        },
    },
    "clusters": {
        "old": {"endpoints": [{"address": "127.0.0.1:9001"}]},
        "api": {"endpoints": [{"address": "unix:/run/app.sock"}, {"address": "127.0.0.1:9001"}]},
    },
    "routes": [{"name": "orders", "prefix": "/orders", "cluster": "old"}, {"name": "all", "cluster": "api"}],
}


def test_every_endpoint_issuer_and_route_has_a_name():
    """Endpoints by cluster and address, tenants with keys of their own each by itself, routes; in the order of the file."""
    names = row_names(Configuration.model_validate(WRITTEN))
    assert names.endpoints == [("old", "127.0.0.1:9001"), ("api", "unix:/run/app.sock"), ("api", "127.0.0.1:9001")]
    assert names.issuers == ["main", "shop/x", "shop/y"]
    assert names.routes == ["orders", "all"]


def test_a_service_starts_with_room_for_other_configurations():
    made = Configuration.model_validate(WRITTEN)
    board = new_board(made, 2)
    assert (board.workers, board.endpoints, board.issuers, board.routes) == (2, 4096, 2048, 2048)
    assert board.configuration_hash == made.fingerprint


def test_the_fingerprint_is_that_of_the_settings():
    """Another value or another name is another one; the same configuration read again, or in another process, is not."""
    made = Configuration.model_validate(WRITTEN)
    assert len(made.fingerprint) == 16 and int(made.fingerprint, 16)
    again = Configuration.model_validate(WRITTEN)
    assert made.fingerprint == again.fingerprint == pickle.loads(pickle.dumps(made)).fingerprint  # noqa: S301
    others = [
        WRITTEN | {"workers": 2},
        WRITTEN | {"clusters": WRITTEN["clusters"] | {"more": WRITTEN["clusters"]["old"]}},
    ]
    found = {Configuration.model_validate(other).fingerprint for other in others}
    assert len(found | {made.fingerprint}) == 3
