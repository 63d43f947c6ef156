"""From key sources to working ones: every option of a fetch, what each source becomes, where the copies lie, how long requests wait."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.assembly.issuers import IssuerInstance, issuer_instances, new_verifier
from lbjwt.assembly.keys import KeeperKeys, OwnKeys, SharedKeys, stored_keys, wait_for_keys
from lbjwt.assembly.rings import key_ring_of
from lbjwt.config.model import Configuration
from lbjwt.config.remote import Discovery, KeyFetch, RemoteJwks
from lbjwt.jwks.egress import Egress
from lbjwt.jwks.embedded import RemoteKeySource
from lbjwt.jwks.remote import RemoteKeys
from lbjwt.jwks.source import FileKeySource, KeySourceError, StaticKeySource, StoredKeySource
from lbjwt.jwks.store import Envelope, read, write
from lbjwt.observe._board import Board
from lbjwt.service import LoadBalancer
from tests.harness.keys import new_key
from tests.unit.assembly_cases import TEMPLATE, configuration

KEYS = [new_key("EdDSA", "k1"), new_key("EdDSA", "k2")]


def remote(options: str = "", source: str = "remote_jwks", members: str = "", rest: str = "") -> Configuration:
    uri = "uri: https://keys.test/jwks, " if source == "remote_jwks" else ""
    return configuration(
        f"  main: {{issuer: https://a.test, audiences: [api], {members} {source}: {{{uri}{options}}}}}", rest
    )


def fetched(made: Configuration) -> RemoteKeys:
    """The one remote source, as a balancer by itself makes it."""
    instances = issuer_instances(made)
    (source,) = OwnKeys(instances, new_verifier(made, instances), Board(1, 1, len(instances)))._sources
    assert isinstance(source, RemoteKeySource)
    return source.keys


class Link:
    """In the place of a keeper: a directory, and how often it was woken."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pokes = 0

    def poke(self) -> None:
        self.pokes += 1

    def listen(self, poked: Callable[[], None]) -> None:
        pass

    def ignore(self) -> None:
        pass


# --- the options of a fetch -------------------------------------------------------------------------------------------

SCHEDULE: dict[str, tuple[str, str, float]] = {
    # key: (options, attribute of the life cycle, its value)
    "refresh_interval": ("refresh_interval: 100s", "interval", 100.0),
    "min_refresh": ("min_refresh: 7s", "floor", 7.0),
    "max_refresh": ("max_refresh: 2h", "ceiling", 7200.0),
    "cooldown": ("cooldown: 3s", "cooldown", 3.0),
    "max_stale": ("max_stale: 9h", "max_stale", 32400.0),
}


@pytest.mark.parametrize("source", ["remote_jwks", "discovery"])
@pytest.mark.parametrize("key", SCHEDULE)
def test_the_schedule_of_a_fetch_arrives(key: str, source: str) -> None:
    """Each duration is that of the life cycle, for both kinds of fetched keys."""
    options, attribute, value = SCHEDULE[key]
    assert getattr(fetched(remote(options, source)).lifecycle, attribute) == value


@pytest.mark.parametrize(
    ("options", "floor", "interval", "ceiling"),
    [
        ("", 60.0, 300.0, 3600.0),
        ("refresh_interval: 20s", 20.0, 20.0, 3600.0),
        ("refresh_interval: 60s", 60.0, 60.0, 3600.0),
        ("refresh_interval: 2h", 60.0, 7200.0, 7200.0),
        ("refresh_interval: 20s, min_refresh: 5s, max_refresh: 40s", 5.0, 20.0, 40.0),
    ],
)
def test_floor_and_ceiling_follow_the_interval(options: str, floor: float, interval: float, ceiling: float) -> None:
    """Their defaults never contradict an interval that was chosen, and are what the configuration says they are."""
    made = remote(options)
    lifecycle = fetched(made).lifecycle
    assert (lifecycle.floor, lifecycle.interval, lifecycle.ceiling) == (floor, interval, ceiling)
    fetch = made.issuers["main"].fetch
    assert fetch is not None and (fetch.shortest_interval, fetch.longest_interval) == (floor, ceiling)


def test_where_and_how_to_ask_arrives(tmp_path: Path) -> None:
    """URL or issuer, time, size, plain http, private authority and certificate."""
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    made = remote(
        f"timeout: 2s, max_bytes: 2KiB, allow_http: true, ca_file: {tmp_path}/ca, client_certificate: {tmp_path}/cert, client_key: {tmp_path}/key"
    )
    origin = fetched(made).origin
    assert (origin.uri, origin._issuer, origin._timeout) == ("https://keys.test/jwks", None, 2.0)
    assert (origin.max_bytes, origin._allow_http) == (2048, True)
    tls = origin._tls
    assert tls is not None
    assert [tls._ca_file, tls._certificate, tls._private_key] == [tmp_path / name for name in ("ca", "cert", "key")]
    plain = fetched(remote(source="discovery")).origin
    assert (plain.uri, plain._issuer, plain._allow_http, plain._tls) == (None, "https://a.test", False, None)
    options = f"proxy: 'http://proxy.test:3128', bearer_token_file: {tmp_path}/token"
    assert fetched(remote(options)).origin._egress == Egress("http://proxy.test:3128", False, tmp_path / "token")
    assert fetched(remote("proxy_from_environment: true")).origin._egress == Egress(None, True, None)
    only_ca = fetched(remote(f"ca_file: {tmp_path}/ca")).origin._tls
    assert only_ca is not None and only_ca._certificate is None


def test_no_key_of_a_fetch_is_left_out() -> None:
    """Each is tried above or below."""
    tried = {
        *SCHEDULE,
        *("timeout", "max_bytes", "max_keys", "ca_file", "client_certificate", "client_key", "allow_http"),
        *("bearer_token_file", "proxy", "proxy_from_environment"),
    }
    assert set(KeyFetch.model_fields) == set(Discovery.model_fields) == tried
    assert set(RemoteJwks.model_fields) == tried | {"uri"}


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        ("remote_jwks: {uri: 'https://k.test/', max_keys: 1}", "max_keys"),
        ("discovery: {max_keys: 1}", "max_keys"),
        ("remote_jwks: {uri: 'https://k.test/', max_bytes: 1KiB}", "max_bytes"),
        ("discovery: {max_bytes: 1KiB}", "max_bytes"),
    ],
)
def test_b9_limits_of_a_document_are_those_of_its_ring(members: str, asked: str) -> None:
    """A document over max_keys or max_bytes makes no ring; one within does (THREATS B9)."""
    made = configuration(f"  main: {{issuer: https://a.test, audiences: [api], {members}}}")
    build = key_ring_of(issuer_instances(made)[0].issuer)
    two = orjson.dumps({"keys": [key.jwk() for key in KEYS]})
    one = orjson.dumps({"keys": [KEYS[0].jwk()]})
    assert len(build(one)) == 1
    over = two if asked == "max_keys" else one + b" " * 1024
    with pytest.raises(ValueError, match=r"keys|bytes"):
        build(over)


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ("discovery: {}", RemoteKeySource),
        ("remote_jwks: {uri: 'https://k.test/'}", RemoteKeySource),
        ("jwks_file: k", FileKeySource),
        ("pem_file: k", FileKeySource),
        ("secret_file: k, algorithms: [HS256]", FileKeySource),
        ("secret_env: LBJWT_TEST_SECRET, algorithms: [HS256]", StaticKeySource),
        ("jwks: {keys: []}", StaticKeySource),
        ("pem: x", StaticKeySource),
    ],
)
def test_every_key_source_becomes_one(members: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its kind, in a balancer by itself; a worker has the same, but reads what the keeper stored."""
    monkeypatch.setenv("LBJWT_TEST_SECRET", "0123456789abcdef0123456789abcdef")
    made = configuration(f"  main: {{issuer: https://a.test, audiences: [api], {members}}}")
    instances = issuer_instances(made)
    verifier = new_verifier(made, instances)
    (own,) = OwnKeys(instances, verifier, Board(1, 1))._sources
    (shared,) = SharedKeys(instances, verifier, Board(1, 1), Link(Path("/state")))._sources
    assert type(own) is kind
    assert type(shared) is (StoredKeySource if kind is RemoteKeySource else kind)


def test_a_secret_of_the_environment_is_read_and_its_absence_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes become the key of this very issuer; without it nothing starts."""
    made = configuration(
        "  main: {issuer: https://a.test, audiences: [api], secret_env: LBJWT_TEST_SECRET, algorithms: [HS256]}"
    )
    monkeypatch.setenv("LBJWT_TEST_SECRET", "0123456789abcdef0123456789abcdef")
    instances = issuer_instances(made)
    verifier = new_verifier(made, instances)
    asyncio.run(OwnKeys(instances, verifier, Board(1, 1)).load())
    assert verifier.keys is not None and len(verifier.keys) == 1
    monkeypatch.delenv("LBJWT_TEST_SECRET")
    with pytest.raises(KeySourceError, match="LBJWT_TEST_SECRET is not set"):
        OwnKeys(instances, verifier, Board(1, 1))


# --- where copies lie -------------------------------------------------------------------------------------------------

labels = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", fullmatch=True)
tenants = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}", fullmatch=True)
instances_of = st.builds(lambda label, tenant: (label, tenant), labels, st.just("") | tenants)


@given(instances_of, instances_of)
def test_no_two_sources_share_a_file_and_none_leaves_the_directory(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    """Whatever labels and tenants a configuration can have: one name each, directly below `keys`, short enough for any disk."""
    paths = []
    for label, tenant in (one, other):
        name = f"{label}/{tenant}" if tenant else label
        path = stored_keys(Path("/state"), IssuerInstance(0, name, label, None, tenant))  # type: ignore[arg-type]
        assert path.parent == Path("/state/keys") and path.name not in (".", "..") and "/" not in path.name
        assert path.name.endswith(".json") and not path.name.startswith(".") and len(path.name) < 240
        paths.append(path)
    assert (paths[0] == paths[1]) is (one == other)


@pytest.mark.parametrize(
    ("name", "path"),
    [("main", "keys/main.json"), ("main/red", "keys/main+red.json"), ("a/b.json", "keys/a+b.json.json")],
)
def test_the_file_of_a_source_is_called_after_it(name: str, path: str) -> None:
    """So that a person finds it."""
    assert stored_keys(Path("/s"), IssuerInstance(0, name, "", None)) == Path("/s") / path  # type: ignore[arg-type]


def test_each_tenant_is_asked_for_its_own_keys_and_stored_by_its_own_name() -> None:
    """The address and the issuer of discovery have the tenant in them, and so has the place of the copy."""
    for source, places in (
        ("remote_jwks: {uri: 'https://k.test/{tenant}/keys'}", ["https://k.test/red/keys", "https://k.test/blue/keys"]),
        ("discovery: {}", ["issuer https://login.test/red/v2", "issuer https://login.test/blue/v2"]),
    ):
        made = configuration(f"  main: {{{TEMPLATE}, tenants: {{names: [red, blue]}}, {source}}}")
        instances = issuer_instances(made)
        keys = KeeperKeys(instances, Board(1, 1, 2), Path("/state"), lambda: None)._keys
        assert [keys[index].origin.identity for index in (0, 1)] == places
        assert [keys[index]._path for index in (0, 1)] == [stored_keys(Path("/state"), one) for one in instances]
        verifier = new_verifier(made, instances)
        sources = SharedKeys(instances, verifier, Board(1, 1, 2), Link(Path("/state")))._sources
        assert [source._identity for source in sources] == places  # type: ignore[attr-defined]
        assert [source._path for source in sources] == [keys[index]._path for index in (0, 1)]  # type: ignore[attr-defined]


# --- a balancer by itself ---------------------------------------------------------------------------------------------


def test_only_a_remote_source_is_asked_for_unknown_keys() -> None:
    """A balancer by itself asks the source; before it is started, and for sources of other kinds, there is nothing to wait for."""
    made = configuration(
        "  file: {issuer: https://f.test, audiences: [api], jwks: {keys: []}}\n"
        "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'https://k.test/'}}"
    )
    instances = issuer_instances(made)
    keys = OwnKeys(instances, new_verifier(made, instances), Board(1, 1, 2))
    settled: list[int] = []
    keys.settled = settled.append
    assert keys.ask(0) is False and keys.ask(1) is False
    source = keys._sources[1]
    assert isinstance(source, RemoteKeySource)
    source.keys.unknown_kid = lambda: True  # type: ignore[method-assign]
    assert keys.ask(1) is True and keys.ask(0) is False
    source._settle()
    assert settled == [1]


@pytest.mark.parametrize(
    ("issuers", "seconds"),
    [
        (("jwks: {keys: []}",), 0.0),
        (("remote_jwks: {uri: 'https://k.test/', timeout: 3s}",), 3.0),
        (
            (
                "remote_jwks: {uri: 'https://k.test/', timeout: 3s}",
                "remote_jwks: {uri: 'https://l.test/', timeout: 4s}",
            ),
            4.0,
        ),
        (("discovery: {timeout: 3s}",), 6.0),
        (("discovery: {timeout: 3s}", "remote_jwks: {uri: 'https://k.test/', timeout: 7s}", "jwks: {keys: []}"), 7.0),
    ],
)
def test_a_request_waits_as_long_as_a_fetch_can_last(issuers: tuple[str, ...], seconds: float) -> None:
    """The longest of all; discovery may take twice the time of one document."""
    made = configuration(
        "\n".join(
            f"  i{at}: {{issuer: https://{at}.test, audiences: [api], {members}}}" for at, members in enumerate(issuers)
        )
    )
    assert wait_for_keys(issuer_instances(made)) == seconds


def test_the_limits_of_waiting_arrive() -> None:
    """max_waiting and the patience of the fetches are those of the balancer's book; with 0 nobody ever waits."""

    async def scenario(most: int) -> tuple[int, float]:
        made = configuration(
            "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'http://127.0.0.1:1/', timeout: 3s}}",
            f"limits: {{max_waiting: {most}}}",
        )
        async with LoadBalancer(made) as balancer:
            assert balancer._traffic is not None
            return balancer._traffic.waiting.most, balancer._traffic.waiting.patience

    assert asyncio.run(scenario(7)) == (7, 3.0) and asyncio.run(scenario(0)) == (0, 3.0)


def test_remote_keys_are_kept_for_the_next_start(tmp_path: Path) -> None:
    """A balancer by itself makes the directory for its owner alone, stores what it fetched there, and begins with it when nobody answers."""
    state = tmp_path / "state"
    made = configuration(
        "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'http://127.0.0.1:1/'}}",
        f"state_directory: {state}",
    )
    instances = issuer_instances(made)
    verifier = new_verifier(made, instances)
    keys = OwnKeys(instances, verifier, Board(1, 1), made.state_directory)
    asyncio.run(keys.load())
    assert (state.stat().st_mode & 0o777, (state / "keys").stat().st_mode & 0o777) == (0o700, 0o700)
    assert verifier.keys is None
    source = keys._sources[0]
    assert isinstance(source, RemoteKeySource) and source.keys._path == stored_keys(state, instances[0])
    now = time.time()
    text = orjson.dumps({"keys": [KEYS[0].jwk()]}).decode()
    write(source.keys._path, Envelope(source.keys.origin.identity, now, now + 60, text))
    assert read(source.keys._path) is not None
    again = OwnKeys(instances, verifier, Board(1, 1), made.state_directory)
    asyncio.run(again.load())
    ring = verifier.keys_of(0)
    assert ring is not None and len(ring) == 1
    nowhere = OwnKeys(instances, verifier, Board(1, 1), None)._sources[0]
    assert isinstance(nowhere, RemoteKeySource) and nowhere.keys._path is None
