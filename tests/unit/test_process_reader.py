"""Reading a configuration in a process of its own, and what of it a running service can apply."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbjwt.assembly.rows import new_board, row_names
from lbjwt.checks.source import FileSource
from lbjwt.config.model import Configuration
from lbjwt.config.reading import FixedSource, Reading
from lbjwt.observe.rows import RowNumbers
from lbjwt.process.bindings import Bindings
from lbjwt.process.reader import Reader, Wanted, wanted_of
from lbjwt.process.shared import Shared
from tests.harness.waiting import eventually

BASE: dict[str, Any] = {
    "listeners": [{"address": "127.0.0.1:8080"}],
    "issuers": {"main": {"any_issuer": True, "any_audience": True, "jwks_file": "unused.json"}},
    "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:1"}]}},
}


def made(**changed: Any) -> Configuration:
    return Configuration.model_validate({**BASE, **changed})


class Source(FixedSource):
    """Does something instead of reading."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(made())
        self._work = work

    def read(self) -> Reading:
        self._work()
        return super().read()


def result(source: FixedSource, *, kill: bool = False) -> Wanted | str:
    configuration = made()
    shared = Shared(
        configuration,
        Bindings([], []),
        new_board(configuration, 1),
        RowNumbers.in_order(row_names(configuration)),
    )
    reader = Reader(source, shared, set[int](), lambda: None)
    if kill:
        assert reader.result() is None
        reader.kill()
    found: list[Wanted | str] = []

    def ended() -> bool:
        came = reader.result()
        found.extend([] if came is None else [came])
        return came is not None

    assert eventually(ended)
    return found[0]


def test_what_was_read_comes_back():
    """With what differs from the configuration in force, and its fingerprint."""
    found = result(FixedSource(made(realm="shop")))
    assert isinstance(found, Wanted)
    assert (found.reading.configuration, found.changes, found.restart) == (made(realm="shop"), ["realm changed"], [])
    assert found.fingerprint == made(realm="shop").fingerprint


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (lambda: 1 / 0, "reading it failed with code 1, which is a fault of lbjwt worth reporting"),
        (lambda: signal.raise_signal(signal.SIGKILL), "reading it was killed by SIGKILL"),
    ],
)
def test_a_reading_that_fails_is_a_sentence(work: Callable[[], Any], sentence: str):
    """Whatever ends it, the supervisor goes on."""
    assert result(Source(work)) == sentence


def test_a_reading_that_hangs_is_ended():
    """As one does on a file system whose server is gone."""
    assert result(Source(lambda: time.sleep(60)), kill=True) == "reading it did not end within 10 s"


def test_new_values_must_go_with_the_old_ones_that_stay():
    """A listener at the address of the admin API, which the new file moves: that needs the restart first."""
    old = made(admin={"address": "127.0.0.1:9900"})
    new = made(admin={"address": "127.0.0.1:9901"}, listeners=[{"address": "127.0.0.1:9900"}])
    found = wanted_of(Reading(new), old, controlled=True)
    assert found.reading.configuration is None
    assert found.restart == ["admin"]
    assert len(found.reading.errors) == 1
    assert found.reading.errors[0].endswith("(with admin as in force until a restart)")


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"endpoints": [{"address": "api.internal:80"}]}, "clusters.main"),
        ({"endpoints": [{"address": "srv:_http._tcp.api.internal"}]}, "clusters.main"),
        ({"endpoints_file": "endpoints.json"}, "clusters.main"),
        ({"endpoints": [{"address": "127.0.0.1:1"}], "health_check": "/health"}, "clusters.main.health_check"),
    ],
)
def test_the_first_thing_for_a_control_process_needs_a_restart(changed: dict[str, Any], key: str):
    """Without one nobody would resolve, watch or check; a service that has one takes it."""
    reading = Reading(made(clusters={"main": changed}))
    found = wanted_of(reading, made(), controlled=False)
    assert found.reading.configuration is None
    (told,) = found.reading.errors
    assert f"{key}: " in told and "without a control process" in told and told.endswith("this needs a restart")
    assert wanted_of(reading, made(), controlled=True).reading.configuration == reading.configuration


def test_what_needs_a_restart_has_its_place_in_the_file(tmp_path: Path):
    (tmp_path / "unused.json").write_text(
        '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
    )
    file = tmp_path / "lbjwt.yaml"
    sections = {key: json.dumps(value) for key, value in BASE.items() if key != "clusters"}
    file.write_text(
        "".join(f"{key}: {value}\n" for key, value in sections.items())
        + "clusters:\n  main: {endpoints: [{address: 'api.internal:80'}], health_check: /health}\n"
    )
    found = wanted_of(FileSource(file).read(), made(), controlled=False)
    assert [line.partition(": ")[0] for line in found.reading.errors] == [f"{file}:4:3", f"{file}:4:53"]


def test_a_service_without_a_control_process_takes_what_needs_none():
    """`localhost` and addresses are not resolved by anybody."""
    new = made(clusters={"main": {"endpoints": [{"address": "localhost:80"}, {"address": "10.0.0.1:80"}]}})
    assert wanted_of(Reading(new), made(), controlled=False).reading.configuration == new
