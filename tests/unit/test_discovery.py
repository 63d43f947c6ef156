"""Discovery as pure rules: when a name is due, what answers make of it, which files are read, and which members a cluster has."""

import contextlib
import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from dns.exception import FormError

from lbjwt.address import Address
from lbjwt.assembly.backend_tls import backend_tls_of, peer_of
from lbjwt.assembly.discovered import (
    STORED,
    Discovered,
    discovers,
    in_force,
    initial,
    keeping,
    left_out,
    pruned,
    questions,
    read_file,
    store,
)
from lbjwt.config.endpoint_list import EndpointsError, endpoints_of, read_endpoints
from lbjwt.config.load import load_text
from lbjwt.config.model import Configuration
from lbjwt.errors import ConfigurationError
from lbjwt.upstream.discovery.answers import Found, Question, Reply, Service, Target, resolved, targets_of
from lbjwt.upstream.discovery.hosts import Hosts, names_in
from lbjwt.upstream.discovery.nameserver import MAX_ANSWER, MAX_RECORDS, check_size
from lbjwt.upstream.discovery.schedule import Bounds, Schedule
from lbjwt.upstream.discovery.watched import WatchedFiles

BOUNDS = Bounds(1.0, 300.0)


def header(*counts: int) -> bytes:
    """Of a DNS message with so many questions, answers, authorities and additional records."""
    return struct.pack("!6H", 1, 0x8180, *(*counts, 0, 0, 0, 0)[:4])


# --- when


@pytest.mark.parametrize(
    ("ttl", "bounds", "due"),
    [
        (30.0, BOUNDS, 30.0),
        (0.0, BOUNDS, 1.0),
        (86_400.0, BOUNDS, 300.0),
        (30.0, Bounds(60.0, 300.0), 60.0),
        (30.0, Bounds(1.0, 5.0), 5.0),
    ],
)
def test_a_name_is_due_after_its_ttl_within_its_bounds(ttl: float, bounds: Bounds, due: float) -> None:
    schedule: Schedule[str] = Schedule()
    schedule.use({"a": bounds}, 100.0)
    assert schedule.take_due(100.0) == ["a"], "a new name is due at once"
    assert schedule.take_due(1e9) == [] and schedule.next() == float("inf"), "while it is being resolved it is not due"
    schedule.answered("a", ttl, 100.0)
    assert schedule.next() == 100.0 + due
    assert schedule.take_due(100.0 + due - 0.01) == [] and schedule.take_due(100.0 + due) == ["a"]


def test_failures_back_off_up_to_a_limit_and_an_answer_ends_that() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.use({"a": BOUNDS}, 0.0)
    now, waits = 0.0, []
    for _ in range(8):
        assert schedule.take_due(now) == ["a"]
        schedule.failed("a", now)
        waits.append(schedule.next() - now)
        now = schedule.next()
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    schedule.take_due(now)
    schedule.answered("a", 5.0, now)
    schedule.take_due(now + 5)
    schedule.failed("a", now + 5)
    assert schedule.next() == now + 6, "the first failure after an answer"


def test_failures_are_not_waited_for_longer_than_max_ttl() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.use({"a": Bounds(0.1, 3.0)}, 0.0)
    for _ in range(10):
        schedule.take_due(schedule.next())
        schedule.failed("a", 0.0)
    assert schedule.next() == 3.0


def test_names_that_stay_keep_their_time_and_others_are_forgotten() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.use({"a": BOUNDS, "b": BOUNDS}, 0.0)
    assert schedule.take_due(0.0) == ["a", "b"]
    schedule.answered("a", 100.0, 0.0)
    schedule.use({"a": BOUNDS, "c": BOUNDS}, 10.0)
    assert schedule.take_due(10.0) == ["c"]
    assert schedule.next() == 100.0
    schedule.answered("b", 1.0, 10.0)
    schedule.use({"a": Bounds(1.0, 20.0)}, 12.0)
    assert schedule.next() == 20.0, "shorter bounds hold at once"


# --- the size of an answer


@pytest.mark.parametrize(
    ("wire", "sentence"),
    [
        (header(1, MAX_RECORDS), ""),
        (header(1, MAX_RECORDS + 1), "the answer has 1025 records; lbjwt takes 1024 at most"),
        (header(1, 0, 0, 65_535), "the answer has 65535 records; lbjwt takes 1024 at most"),
        (header(65_535), "the answer has 65534 records; lbjwt takes 1024 at most"),
        (header(1, 1) + bytes(MAX_ANSWER - 12), ""),
        (header(1, 1) + bytes(MAX_ANSWER - 11), "the answer has 32769 bytes; lbjwt takes 32768 at most"),
        (header(1)[:-1], "The DNS packet passed to from_wire() is too short."),
    ],
)
def test_an_answer_is_measured_before_it_is_parsed(wire: bytes, sentence: str) -> None:
    with pytest.raises(FormError, match=re.escape(sentence)) if sentence else contextlib.nullcontext():
        check_size(wire)


# --- answers

A1, A2, A3, V6 = "10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"
NAME = (Target("api"),)


def found(*hosts: str) -> tuple[Found, ...]:
    return tuple(Found(host, "api") for host in hosts)


@pytest.mark.parametrize(
    ("a", "aaaa", "before", "hosts", "ttl", "failing"),
    [
        (Reply((A2, A1), 30.0), Reply(), (), [A1, A2], 30.0, False),
        (Reply((A1,), 30.0), Reply((V6,), 10.0), (), [A1, V6], 10.0, False),
        (Reply((A1,), 30.0), Reply(), (A2, V6), [A1], 30.0, False),  # what is gone is gone
        (Reply((A1, A1), 0.0), Reply(), (), [A1], 0.0, False),
        (Reply(failure="SERVFAIL"), Reply(failure="SERVFAIL"), (A1, A2), [A1, A2], None, True),
        (Reply(failure="NXDOMAIN"), Reply(failure="NXDOMAIN"), (), [], None, True),
        (Reply(), Reply(), (A1, A2), [A1, A2], None, True),  # an empty answer takes nothing away
        (Reply(failure="timeout"), Reply((V6,), 5.0), (A1, "fd00::2"), [A1, V6], 5.0, True),  # each family by itself
        (Reply(failure="timeout"), Reply(), (A1, V6), [A1, V6], None, True),
        (Reply((A1,), 5.0), Reply(failure="SERVFAIL"), (A2,), [A1], 5.0, False),  # RFC 4074: there are no AAAA
        (Reply((A1,), 5.0), Reply(failure="SERVFAIL"), (A2, V6), [A1, V6], 5.0, True),
    ],
)
def test_answers_for_a_name(
    a: Reply, aaaa: Reply, before: tuple[str, ...], hosts: list[str], ttl: float | None, failing: bool
) -> None:
    result = resolved(NAME, {("api", "A"): a, ("api", "AAAA"): aaaa}, found(*before))
    assert sorted(one.host for one in result.found) == sorted(hosts)
    assert (result.ttl, bool(result.failure)) == (ttl, failing)


def test_the_order_of_an_answer_means_nothing() -> None:
    one, other = (
        resolved(NAME, {("api", "A"): Reply(addresses, 1.0)}, ()) for addresses in ((A1, A2, A3), (A3, A1, A2))
    )
    assert one == other


def test_an_answer_without_end_is_cut() -> None:
    many = tuple(f"10.{at >> 8}.{at & 255}.1" for at in range(2000))
    assert len(resolved(NAME, {("api", "A"): Reply(many, 1.0)}, ()).found) == 1000


@pytest.mark.parametrize(
    ("records", "targets"),
    [
        ([(10, 1, 80, "a"), (10, 3, 81, "b")], [("a", 80, 1, False), ("b", 81, 3, False)]),
        ([(20, 5, 80, "spare"), (10, 5, 80, "a")], [("a", 80, 5, False), ("spare", 80, 5, True)]),
        ([(10, 0, 80, "a"), (10, 0, 80, "b")], [("a", 80, 1, False), ("b", 80, 1, False)]),
        ([(0, 60_000, 80, "a"), (0, 30_000, 80, "b"), (0, 1, 80, "c")], [("a", 80, 1000, False), ("b", 80, 500, False), ("c", 80, 1, False)]),
        ([(0, 1, 80, "")], []),  # "." is no host
        ([(0, 1, 0, "a")], []),
    ],
)  # fmt: skip
def test_srv_records(records: list[tuple[int, int, int, str]], targets: list[tuple[str, int, int, bool]]) -> None:
    assert targets_of(Service(*record) for record in records) == tuple(Target(*target) for target in targets)


def test_one_target_of_srv_records_that_fails_keeps_its_own_addresses() -> None:
    targets = (Target("a", 80, 2), Target("b", 81))
    before = (Found(A1, "a", 80, 1), Found(A2, "b", 81))
    result = resolved(targets, {("a", "A"): Reply(failure="timeout"), ("b", "A"): Reply((A3,), 9.0)}, before)
    assert result.found == (Found(A1, "a", 80, 2), Found(A3, "b", 81)) and result.failure == "timeout"


def test_the_hosts_file(tmp_path: Path) -> None:
    text = "# local\n127.0.0.1 localhost\n10.0.0.1\tapi.internal API # the first\n10.0.0.2 api.internal\n::0:1 v6\nnonsense name\n\n10.0.0.9\n"
    assert names_in(text) == {
        "localhost": ("127.0.0.1",),
        "api.internal": (A1, A2),
        "api": (A1,),
        "v6": ("::1",),
    }
    file = tmp_path / "hosts"
    hosts = Hosts(file)
    assert hosts.addresses("api") == (), "there is no file"
    file.write_text("10.0.0.1 api\n")
    assert hosts.addresses("API.") == (A1,)
    file.write_text("10.0.0.22 api\n")
    assert hosts.addresses("api") == ("10.0.0.22",)
    file.unlink()
    assert hosts.addresses("api") == ()


def test_a_file_is_read_when_it_is_new_here_and_when_it_has_settled() -> None:
    files, path, other = WatchedFiles(), Path("a"), Path("b")
    assert files.changed({path: 1}) == [path]
    assert files.changed({path: 1}) == []
    assert files.changed({path: 2}) == [], "it may still be written"
    assert files.changed({path: 3}) == []
    assert files.changed({path: 3}) == [path]
    assert files.changed({path: None, other: 1}) == [other]
    assert files.changed({path: 3, other: 1}) == [], "gone for a moment and the same again"
    assert files.changed({other: 1}) == []
    assert files.changed({path: 3, other: 1}) == [path]


# --- addresses and lists


@pytest.mark.parametrize(
    "text",
    ["srv:api.internal", "srv:", "srv:_http.api", "srv:_http._tcp.", "srv:_http._tcp.a b", "https+srv:api.internal"],
)
def test_names_of_services_have_a_form(text: str) -> None:
    with pytest.raises(EndpointsError, match=r"must look like srv:_http\._tcp\.api\.internal"):
        endpoints_of([{"address": text}])


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ("api.internal:80", True),
        ("srv:_http._tcp.api.internal", True),
        ("https+srv:_http._tcp.api.internal", True),
        ("api:80", True),
        ("10.0.0.1:80", False),
        ("[::1]:80", False),
        ("localhost:80", False),
        ("LOCALHOST.:80", False),
        ("unix:/run/a", False),
    ],
)
def test_what_has_to_be_resolved(text: str, is_name: bool) -> None:
    (endpoint,) = endpoints_of([{"address": text}])
    assert endpoint.address.is_name is is_name and str(endpoint.address) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {address: '10.0.0.1:80'}\n- {address: x}", "line 2: [1].address: must be HOST:PORT"),
        ("endpoints:\n  - {address: '10.0.0.1:80', wieght: 3}", "line 2: endpoints[0].wieght: unknown key"),
        ("[]", "line 1: must have at least 1 in the list"),
        ("{}", "line 1: endpoints: is required"),
        ("", "is empty"),
        ("[", "line 1"),
        ("- {address: '10.0.0.1:80'}\n- {address: '10.0.0.1:80'}", "twice"),
    ],
)
def test_a_list_that_is_wrong_says_where(text: str, told: str) -> None:
    with pytest.raises(EndpointsError) as caught:
        read_endpoints(text, Path("/srv"))
    assert told in str(caught.value)


def test_both_forms_of_a_list_and_paths_beside_the_file() -> None:
    text = '[{"address": "10.0.0.1:80", "weight": 2}, {"address": "unix:app.sock"}]'
    assert read_endpoints(text, Path("/srv")) == read_endpoints(f'{{"endpoints": {text}}}', Path("/srv"))
    assert str(read_endpoints(text, Path("/srv"))[1].address) == "unix:/srv/app.sock"


# --- members


def configuration(cluster: object, name: str = "main", listener: str = "127.0.0.1:0") -> Configuration:
    sections = {
        "listeners": [{"address": listener}],
        "issuers": {"main": {"issuer": "i", "audiences": ["a"], "jwks_file": "j.json"}},
        "clusters": {name: cluster},
    }
    return load_text(json.dumps(sections), Path("/srv"))


def members(made: Configuration, name: str = "main") -> list[str]:
    return [str(endpoint.address) for endpoint in made.clusters[name].endpoints]


API, SRV = Question("api.test"), Question("_http._tcp.api.test", srv=True)


def test_addresses_of_a_name_take_its_place_and_have_its_settings() -> None:
    made = configuration({"endpoints": [{"address": "Api.test:80", "weight": 3}, {"address": "10.0.0.9:80"}]})
    assert set(questions(made, Discovered())) == {API} and discovers(made)
    discovered = Discovered({API: (Found(A1, "api.test"), Found(V6, "api.test"))})
    shown = in_force(made, discovered)
    assert members(shown) == ["10.0.0.1:80", "[fd00::1]:80", "10.0.0.9:80"]
    assert [one.weight for one in shown.clusters["main"].endpoints] == [3, 3, 1]
    assert [one.address.resolved_from for one in shown.clusters["main"].endpoints] == ["api.test", "api.test", ""]
    assert in_force(made, None) is made, "without anybody who resolves, names stay"


def test_nothing_to_discover_leaves_the_configuration_as_it_is() -> None:
    made = configuration({"endpoints": [{"address": "10.0.0.9:80"}, {"address": "localhost:80"}]})
    assert not discovers(made) and in_force(made, Discovered()) is made


def test_srv_records_bring_ports_weights_and_backups() -> None:
    made = configuration({"endpoints": [{"address": "srv:_http._tcp.api.test", "weight": 2}]})
    shown = in_force(made, Discovered({SRV: (Found(A1, "a.test", 8080, 5), Found(A2, "b.test", 8081, 1, True))}))
    assert [(str(one.address), one.weight, one.backup) for one in shown.clusters["main"].endpoints] == [
        ("10.0.0.1:8080", 10, False),
        ("10.0.0.2:8081", 2, True),
    ]


def test_srv_records_of_a_service_with_tls() -> None:
    """The records are the same ones; the certificate must name the domain of the service, which no name server can change."""
    made = configuration(
        {"endpoints": [{"address": "https+srv:_http._tcp.api.test"}, {"address": "srv:_http._tcp.api.test"}]}
    )
    assert set(questions(made, Discovered())) == {SRV}
    shown = in_force(made, Discovered({SRV: (Found(A1, "a.test", 8443),)}))
    assert members(shown) == ["https://10.0.0.1:8443", "10.0.0.1:8443"]
    peer = peer_of(backend_tls_of("main", shown.clusters["main"]), shown.clusters["main"].endpoints[0].address)
    assert peer is not None and peer.server_name == "api.test"


def test_an_address_that_is_there_twice_is_one_endpoint() -> None:
    made = configuration({"endpoints": [{"address": "10.0.0.1:80", "weight": 7}, {"address": "api.test:80"}]})
    shown = in_force(made, Discovered({API: (Found(A1, "api.test"), Found(A2, "api.test"))}))
    assert members(shown) == ["10.0.0.1:80", "10.0.0.2:80"] and shown.clusters["main"].endpoints[0].weight == 7


def test_files_stand_beside_the_configuration_and_the_admin_api_in_place_of_both() -> None:
    made = configuration({"endpoints": [{"address": "10.0.0.1:80"}], "endpoints_file": "e.yaml"})
    one, other = endpoints_of([{"address": "10.0.0.2:80"}]), endpoints_of([{"address": "api.test:80"}])
    discovered = Discovered(files={"/srv/e.yaml": one})
    assert members(in_force(made, discovered)) == ["10.0.0.1:80", "10.0.0.2:80"]
    discovered = replace(discovered, replaced={"main": other, "gone": one}, answers={API: (Found(A3, "api.test"),)})
    assert members(in_force(made, discovered)) == ["10.0.0.3:80"]
    assert set(questions(made, discovered)) == {API}, "names from the admin API are resolved, too"


def test_a_cluster_never_loses_its_last_member() -> None:
    old = configuration({"endpoints": [{"address": "api.test:80"}]})
    before = in_force(old, Discovered({API: (Found(A1, "api.test"),)}))
    new = configuration({"endpoints": [{"address": "other.test:80"}]})
    kept = keeping(new, Discovered({API: (Found(A1, "api.test"),)}), before)
    assert members(in_force(new, kept)) == ["10.0.0.1:80"], "until the new name has addresses"
    answered = keeping(new, replace(kept, answers={Question("other.test"): (Found(A2, "other.test"),)}), before)
    assert members(in_force(new, answered)) == ["10.0.0.2:80"] and not answered.kept
    stranger = configuration({"endpoints": [{"address": "other.test:80"}]}, "second")
    assert members(in_force(stranger, keeping(stranger, Discovered(), before)), "second") == []


def test_what_is_discovered_of_the_balancer_itself_is_left_out(tmp_path: Path) -> None:
    """From DNS, from a file and from the admin API; a cluster that has nothing else keeps what it had."""
    own, other = "127.0.0.1:8080", "10.0.0.7:80"
    listed = configuration(
        {"endpoints": [{"address": "api.test:8080"}], "endpoints_file": str(tmp_path / "list.json")},
        listener="127.0.0.1:8080",
    )
    file = str(listed.clusters["main"].endpoints_file)
    known = Discovered(
        {
            Question("api.test"): (
                Found("127.0.0.1", "api.test"),
                Found("0.0.0.0", "api.test"),
                Found("10.0.0.8", "api.test"),
            )
        },
        {file: endpoints_of([{"address": "localhost:8080"}, {"address": other}])},
    )
    assert [str(one.address) for one in in_force(listed, known).clusters["main"].endpoints] == ["10.0.0.8:8080", other]
    assert left_out(listed, known).keys() == {("main", own), ("main", "0.0.0.0:8080"), ("main", "localhost:8080")}
    before = in_force(listed, known)
    put = Discovered(replaced={"main": endpoints_of([{"address": "[::ffff:127.0.0.1]:8080"}])})
    assert in_force(listed, keeping(listed, put, before)).clusters == before.clusters
    assert (
        in_force(listed, replace(put, kept={"main": endpoints_of([{"address": own}])})).clusters["main"].endpoints == ()
    )


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("list.json", '[{"address": "10.0.0.7:80"},\n', "line 2: not JSON: expecting value"),
        ("list.json", "", "line 1: not JSON: expecting value"),
        ("list.json", '[{"address": 3}]', "line 1: [0].address"),
        ("list.yaml", "[a", "not YAML"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_called_what_its_name_says(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(EndpointsError, match=re.escape(told)):
        read_file(tmp_path / name)


def test_another_way_to_resolve_keeps_the_answer_of_the_one_before() -> None:
    answers = {API: (Found(A1, "api.test"), Found(V6, "api.test"))}
    asked = Question("api.test", nameservers=(Address("10.0.0.53", 53),))
    assert Discovered(answers).answer(asked) == answers[API]
    assert Discovered(answers).answer(Question("api.test", family="ipv6")) == (Found(V6, "api.test"),)
    assert Discovered(answers).answer(Question("other.test")) == ()


def test_two_clusters_with_one_name_share_the_tighter_bounds() -> None:
    one = configuration({"endpoints": [{"address": "api.test:80"}], "resolve": {"max_ttl": "60s", "min_ttl": "5s"}})
    two = configuration({"endpoints": [{"address": "api.test:81"}], "resolve": {"max_ttl": "90s"}}, "two")
    both = one.model_copy(update={"clusters": {**one.clusters, **two.clusters}})
    assert questions(both, Discovered()) == {API: Bounds(1.0, 60.0)}


# --- over a restart


def test_what_is_known_survives_a_restart(tmp_path: Path) -> None:
    made = configuration({"endpoints": [{"address": "api.test:80"}]})
    asked = Question("x.test", family="ipv4", nameservers=(Address("::1", 5353),))
    known = Discovered(
        {API: (Found(A1, "api.test"),), asked: (Found(A2, "x.test", 80, 3, True),)},
        replaced={"main": endpoints_of([{"address": "10.0.0.7:80", "weight": 2}])},
    )
    store(tmp_path, known, sync=True)
    assert initial(made, tmp_path) == known
    assert initial(made, None) == Discovered()
    assert (tmp_path / STORED).stat().st_mode & 0o777 == 0o600
    assert set(pruned(known, [API], []).answers) == {API}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"answers": [[{}, []]], "files": {}, "replaced": {}}',
        '{"answers": [], "files": {"a": 3}, "replaced": {}}',
    ],
)
def test_a_damaged_store_is_not_believed(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / STORED).write_text(text)
    (tmp_path / STORED).chmod(0o600)
    assert initial(configuration({"endpoints": [{"address": "api.test:80"}]}), tmp_path) == Discovered()
    assert "it is damaged" in caplog.text


def test_a_store_that_others_can_write_is_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store(tmp_path, Discovered(replaced={"main": endpoints_of([{"address": "10.6.6.6:80"}])}), sync=False)
    (tmp_path / STORED).chmod(0o666)
    assert initial(configuration({"endpoints": [{"address": "api.test:80"}]}), tmp_path) == Discovered()
    assert "users other than its owner can write to it" in caplog.text


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ({}, "main.endpoints: is required, or endpoints_file"),
        ({"endpoints": []}, "at least 1"),
        ({"endpoints_file": "e", "resolve": {"min_ttl": "1m", "max_ttl": "30s"}}, "max_ttl: must not be shorter than min_ttl"),
        ({"endpoints_file": "e", "resolve": {"nameservers": ["ns.test"]}}, "a name server must be an IP address"),
        ({"endpoints_file": "e", "resolve": {"nameservers": ["10.0.0.1", "10.0.0.1:53"]}}, "twice"),
        ({"endpoints_file": "e", "resolve": {"family": "inet"}}, "family"),
    ],
)  # fmt: skip
def test_what_a_cluster_must_have(cluster: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configuration(cluster)
    assert told in str(caught.value)


def test_the_certificate_of_a_resolved_address_is_for_the_name() -> None:
    made = configuration({"endpoints": [{"address": "https://api.test"}]})
    shown = in_force(made, Discovered({API: (Found(A1, "api.test"),)}))
    (endpoint,) = shown.clusters["main"].endpoints
    assert str(endpoint.address) == "https://10.0.0.1:443"
    peer = peer_of(backend_tls_of("main", shown.clusters["main"]), endpoint.address)
    assert peer is not None and peer.server_name == "api.test"
