"""From key sources to working ones: every option of a fetch, what each source becomes, where the copies lie, how long requests wait."""

import asyncio
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.assembly.issuers import IssuerInstance, issuer_instances, new_verifier
from lbjwt.assembly.keys import EmbeddedControl, new_feed
from lbjwt.assembly.sources import key_lifecycle, key_origin, key_ring_of, read_stored, stored_keys, wait_for_keys
from lbjwt.assembly.state import StateDirectoryError
from lbjwt.config.model import Configuration
from lbjwt.config.remote import Discovery, KeyFetch, RemoteJwks, RemoteKeys
from lbjwt.keys.errors import KeySourceError
from lbjwt.keys.feed import StoredKeySet
from lbjwt.keys.remote import Origin
from lbjwt.keys.store import write
from lbjwt.observe._board import Board
from lbjwt.service import LoadBalancer
from tests.harness.keys import new_key
from tests.unit.assembly_cases import TEMPLATE, configuration, load

KEYS = [new_key("EdDSA", "k1"), new_key("EdDSA", "k2")]


def remote(options: str = "", source: str = "remote_jwks", members: str = "", rest: str = "") -> Configuration:
    uri = "uri: https://keys.test/jwks, " if source == "remote_jwks" else ""
    return configuration(
        f"  main: {{issuer: https://a.test, audiences: [api], {members} {source}: {{{uri}{options}}}}}", rest
    )


def lifecycle_of(made: Configuration):
    fetch = made.issuers["main"].fetch
    assert fetch is not None
    return key_lifecycle(fetch)


def origin_of(made: Configuration) -> Origin:
    (instance,) = issuer_instances(made)
    return key_origin(instance)


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
    assert getattr(lifecycle_of(remote(options, source)), attribute) == value


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
    lifecycle = lifecycle_of(made)
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
    origin = origin_of(made)
    assert (origin.uri, origin.identity) == ("https://keys.test/jwks", "https://keys.test/jwks")
    assert (origin.egress.timeout, origin.egress.max_bytes, origin.egress.allow_http) == (2.0, 2048, True)
    tls = origin.egress.tls
    assert [tls._ca_file, tls._certificate, tls._private_key] == [tmp_path / name for name in ("ca", "cert", "key")]
    plain = origin_of(remote(source="discovery"))
    assert (plain.uri, plain.identity, plain.egress.allow_http) == (None, "issuer https://a.test", False)
    assert plain.egress.tls is origin_of(remote()).egress.tls, (
        "one context for all that believe the system's authorities"
    )
    proxied = origin_of(remote(f"proxy: 'http://proxy.test:3128', bearer_token_file: {tmp_path}/token")).egress
    assert (proxied.proxy, proxied.proxy_from_environment) == ("http://proxy.test:3128", False)
    assert proxied.bearer_token_file == tmp_path / "token"
    assert origin_of(remote("proxy_from_environment: true")).egress.proxy_from_environment
    only_ca = origin_of(remote(f"ca_file: {tmp_path}/ca")).egress.tls
    assert (only_ca._ca_file, only_ca._certificate) == (tmp_path / "ca", None)


def test_no_key_of_a_fetch_is_left_out() -> None:
    """Each is tried above or below."""
    tried = {
        *SCHEDULE,
        *("timeout", "max_bytes", "max_keys", "ca_file", "client_certificate", "client_key", "allow_http"),
        *("bearer_token_file", "proxy", "proxy_from_environment"),
    }
    assert set(KeyFetch.model_fields) == set(Discovery.model_fields) == tried
    assert set(RemoteJwks.model_fields) == tried | {"uri", "more_uris"}  # test_keys_in_parts
    assert set(RemoteKeys.model_fields) == tried | {"uri"}


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


def test_a_secret_of_the_environment_is_read_and_its_absence_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes become the key of this very issuer; without it nothing starts."""
    made = configuration(
        "  main: {issuer: https://a.test, audiences: [api], secret_env: LBJWT_TEST_SECRET, algorithms: [HS256]}"
    )
    monkeypatch.setenv("LBJWT_TEST_SECRET", "0123456789abcdef0123456789abcdef")
    instances = issuer_instances(made)
    verifier = new_verifier(made, instances)
    board = Board(1, 1)
    control = EmbeddedControl(instances, board, None)
    asyncio.run(load(instances, verifier, board, control))
    assert verifier.keys is not None and len(verifier.keys) == 1
    monkeypatch.delenv("LBJWT_TEST_SECRET")
    with pytest.raises(KeySourceError, match="LBJWT_TEST_SECRET is not set"):
        asyncio.run(load(instances, verifier, board, control))


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


def test_each_tenant_is_asked_for_its_own_keys_and_stored_by_its_own_name(tmp_path: Path) -> None:
    """The address and the issuer of discovery have the tenant in them, and no tenant starts from another's copy."""
    (tmp_path / "keys").mkdir()
    for source, places in (
        ("remote_jwks: {uri: 'https://k.test/{tenant}/keys'}", ["https://k.test/red/keys", "https://k.test/blue/keys"]),
        ("discovery: {}", ["issuer https://login.test/red/v2", "issuer https://login.test/blue/v2"]),
    ):
        made = configuration(f"  main: {{{TEMPLATE}, tenants: {{names: [red, blue]}}, {source}}}")
        instances = issuer_instances(made)
        assert [key_origin(one).identity for one in instances] == places
        now = time.time()
        red = StoredKeySet(places[0], now, now + 60, "red's")
        for one in instances:
            write(stored_keys(tmp_path, one), red)
        feed = new_feed(instances, tmp_path)
        assert (feed.get(0), feed.get(1)) == (red, None)


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
            context = balancer._runtime.context
            assert context is not None
            return context.key_wait.max_waiting, context.key_wait.max_wait

    assert asyncio.run(scenario(7)) == (7, 3.0) and asyncio.run(scenario(0)) == (0, 3.0)


def test_remote_keys_are_kept_for_the_next_start(tmp_path: Path) -> None:
    """A balancer by itself makes the directory for its owner alone, and begins with what is stored there when nobody answers."""
    state = tmp_path / "state"
    made = configuration(
        "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'http://127.0.0.1:1/'}}",
        f"state_directory: {state}",
    )
    (instance,) = issuer_instances(made)

    async def keys() -> int:
        async with LoadBalancer(made) as balancer:
            ring = balancer.verifier.keys_of(0)
            return 0 if ring is None else len(ring)

    assert asyncio.run(keys()) == 0
    assert (state.stat().st_mode & 0o777, (state / "keys").stat().st_mode & 0o777) == (0o700, 0o700)
    now = time.time()
    text = orjson.dumps({"keys": [KEYS[0].jwk()]}).decode()
    write(stored_keys(state, instance), StoredKeySet("http://127.0.0.1:1/", now, now + 60, text))
    assert read_stored(instance, state, now) is not None
    assert asyncio.run(keys()) == 1


def test_an_embedded_balancer_refuses_the_directories_that_serve_refuses(tmp_path: Path) -> None:
    """One that others can write, whose keys would be believed; and one that another balancer has, which would write over its own."""
    state = tmp_path / "state"
    made = configuration(
        "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'http://127.0.0.1:1/'}}",
        f"state_directory: {state}",
    )
    (instance,) = issuer_instances(made)
    state.mkdir()
    (state / "keys").mkdir()
    now = time.time()
    text = orjson.dumps({"keys": [KEYS[0].jwk()]}).decode()
    write(stored_keys(state, instance), StoredKeySet("http://127.0.0.1:1/", now, now + 60, text))

    async def refused() -> str:
        balancer = LoadBalancer(made)
        with pytest.raises(StateDirectoryError) as told:
            await balancer.start()
        await balancer.stop()
        assert balancer.verifier.keys_of(0) is None
        return str(told.value)

    async def twice() -> str:
        async with LoadBalancer(made):
            return await refused()

    state.chmod(0o777)
    assert "can be written by its group or by others" in asyncio.run(refused())
    state.chmod(0o700)
    assert "another lbjwt uses" in asyncio.run(twice())


def test_a_copy_that_must_not_be_used_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which and why, and the other sources have theirs."""
    made = configuration(
        "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'https://a.test/keys?secret=1'}}\n"
        "  other: {issuer: https://b.test, audiences: [api], remote_jwks: {uri: 'https://b.test/keys'}}"
    )
    instances = issuer_instances(made)
    (tmp_path / "keys").mkdir()
    now = time.time()
    for instance in instances:
        write(stored_keys(tmp_path, instance), StoredKeySet("https://b.test/keys", now, now + 60, "{}"))
    feed = new_feed(instances, tmp_path)
    assert feed.get(0) is None and feed.get(1) is not None
    (message,) = caplog.messages
    assert message.startswith("no stored keys for https://a.test/keys: ") and "another source" in message
