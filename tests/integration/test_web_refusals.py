"""Every request that the balancer must refuse or let through, decided in an application with the same configuration: the same reasons."""

import json
from urllib.parse import unquote

import pytest

from lbjwt import Verifier
from lbjwt.config.load import load_text
from lbjwt.web.protection import Protection
from tests.harness.balancer import configuration
from tests.harness.deny import denials
from tests.harness.house import House, controls


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def protection(house):
    document = configuration(house.directory, house, ["127.0.0.1:9"], port=0, admin=0, **house.configuration())
    with Verifier.from_config(load_text(json.dumps(document), house.directory)) as verifier:
        verifier.ready()
        yield Protection(verifier)


def decide(protection, data):
    """As an ASGI server would hand it on."""
    line, *lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    method, target, _ = line.split(b" ")
    path, _, query = target.partition(b"?")
    fields = [(name.lower(), value.strip(b" \t")) for name, _, value in (field.partition(b":") for field in lines)]
    return protection.decide(method.decode(), unquote(path.decode("ascii")), query, fields, False)


def test_the_reasons_are_those_of_the_balancer(house, protection):
    """A few hundred requests, each with the one reason that the balancer's log and metrics name."""
    cases = denials(house)
    assert len(cases) > 200
    found = {case.name: decide(protection, case.data) for case in cases}
    assert all(decision.status for decision in found.values())
    wrong = {case.name: (case.reason, found[case.name].reason.name.lower()) for case in cases}
    assert {name: pair for name, pair in wrong.items() if pair[0] != pair[1]} == {}


def test_what_the_balancer_lets_through_passes(house, protection):
    """One request for every issuer and route."""
    refused = {name for name, data in controls(house).items() if decide(protection, data).status}
    assert refused == set()
