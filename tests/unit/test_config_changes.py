"""What a reload says has changed, and what it leaves to a restart."""

from pathlib import Path
from typing import Any

import pytest

from lbjwt.config.changes import RESTART, changes, until_restart
from lbjwt.config.dump import dump
from lbjwt.config.load import load_text
from lbjwt.config.model import Configuration

BASE: dict[str, Any] = {
    "listeners": [{"address": "127.0.0.1:8080"}],
    "issuers": {"main": {"issuer": "https://i.test", "audiences": ["api"], "jwks_file": "jwks.json"}},
    "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9001"}, {"address": "127.0.0.1:9002"}]}},
    "routes": [{"name": "orders", "prefix": "/orders"}, {"name": "rest"}],
}


def made(**changed: Any) -> Configuration:
    return Configuration.model_validate({**BASE, **changed})


def told(new: Configuration, old: Configuration | None = None) -> list[str]:
    return [str(change) for change in changes(old or made(), new)]


def issuer(**changed: Any) -> dict[str, Any]:
    return {**BASE["issuers"]["main"], **changed}


@pytest.mark.parametrize(
    ("changed", "sentences"),
    [
        ({}, []),
        ({"realm": "shop"}, ["realm changed"]),
        ({"limits": {"max_token": 4096}}, ["limits: max_token changed"]),
        ({"listeners": [{"address": "127.0.0.1:8080"}, {"address": "[::1]:8443"}]}, ["listeners: [::1]:8443 added"]),
        ({"listeners": [{"address": ":80"}]}, ["listeners: :80 added", "listeners: 127.0.0.1:8080 removed"]),
        ({"listeners": [{"address": "127.0.0.1:8080", "health": {"path": "/up"}}]}, ["listeners.127.0.0.1:8080: health added"]),
        ({"issuers": {"main": issuer(audiences=["web"])}}, ["issuers.main: audiences changed"]),
        ({"issuers": {"main": issuer(), "staff": issuer(issuer="https://s.test")}}, ["issuers: staff added"]),
        ({"issuers": {"other": issuer()}}, ["issuers: other added", "issuers: main removed"]),
        (
            {"issuers": {"main": {"issuer": "https://i.test", "audiences": ["api"], "discovery": {}}}},
            ["issuers.main: discovery added", "issuers.main: jwks_file removed"],
        ),
        (
            {"clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9002", "weight": 3}, {"address": "unix:/run/b"}]}}},
            [
                "clusters.main.endpoints.127.0.0.1:9002: weight changed",
                "clusters.main.endpoints: unix:/run/b added",
                "clusters.main.endpoints: 127.0.0.1:9001 removed",
            ],
        ),
        ({"routes": [BASE["routes"][1], {"name": "orders", "prefix": "/orders"}]}, []),
        (
            {"routes": [{"name": "orders", "prefix": "/orders", "scopes": {"all": ["x"]}}, {"name": "carts", "prefix": "/carts"}]},
            ["routes.orders.scopes: all changed", "routes: carts added", "routes: rest removed"],
        ),
        ({"claim_to_headers": [{"claim": "sub", "header": "X-Sub"}]}, ["claim_to_headers changed"]),
        ({"access_log": {"path": "-"}}, ["access_log added"]),
    ],
)  # fmt: skip
def test_every_difference_is_one_plain_sentence(changed: dict[str, Any], sentences: list[str]):
    """With the path of what changed; parts with a name are compared by name, wherever they stand."""
    assert sorted(told(made(**changed))) == sorted(sentences)


def test_no_value_is_told():
    """A query with a key: in no sentence."""
    remote = {"uri": "https://i.test/jwks?key=s3cret"}
    new = made(issuers={"main": {"issuer": "https://i.test", "audiences": ["api"], "remote_jwks": remote}})
    assert "s3cret" not in str(told(new)) + str(told(made(), new))


def test_two_listeners_whose_port_the_kernel_chooses_are_two():
    """They have one address; taking one away removes one."""
    two = made(listeners=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0"}])
    one = made(listeners=[{"address": "127.0.0.1:0"}])
    assert len(told(one, two)) == len(told(two, one)) == 1


RESTARTS: dict[str, Any] = {
    "workers": 3,
    "admin": {"address": "127.0.0.1:9900"},
    "state_directory": "/var/lib/lbjwt",
    "token_cache": {"max_bytes": 0},
    "revocation": {},
    "fail_limit": {"failures": 5},
}


@pytest.mark.parametrize("key", RESTART)
def test_what_needs_a_restart_keeps_its_old_value(key: str):
    """The rest is applied; the text of what is in force has the old value, or none where there was none."""
    old, wanted = made(), made(realm="shop", **{key: RESTARTS[key]})
    effective, kept = until_restart(old, wanted)
    assert kept == [key]
    assert effective == made(realm="shop")
    assert load_text(dump(effective), Path("/")) == load_text(dump(made(realm="shop")), Path("/"))
    back, kept = until_restart(wanted, old)
    assert (back, kept) == (made(**{key: RESTARTS[key]}), [key])
    assert key in dump(back)


def test_nothing_is_kept_when_nothing_has_to_be():
    """What is applied then is the new configuration itself."""
    new = made(realm="shop")
    assert until_restart(made(), new) == (new, [])
