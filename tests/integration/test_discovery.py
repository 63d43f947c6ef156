"""Endpoints that come and go while requests are served: names, endpoints files, the admin API (SCOREBOARD B-18)."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbjwt import Configuration, LoadBalancer
from lbjwt.address import Address
from lbjwt.cli import main
from lbjwt.upstream.discovery.answers import Found, Question
from lbjwt.upstream.discovery.hosts import Hosts
from lbjwt.upstream.discovery.lookup import Lookup
from tests.harness.nameserver import DNSMASQ, NameServer
from tests.harness.ports import free_port
from tests.harness.waiting import eventually
from tests.integration.discovery_scene import Backends, Clients, endpoints, metric, send, status
from tests.integration.logged import LoggedProcess
from tests.integration.serve_scene import JWKS, Serve, get, serve, token

__all__ = ["serve"]

ONE, TWO, THREE = "127.0.0.2", "127.0.0.3", "127.0.0.4"


@pytest.fixture
def backends():
    with Backends(ONE, TWO, THREE) as made:
        yield made


@pytest.fixture
def names():
    with NameServer() as server:
        server.set("api.test", "A", [ONE, TWO])
        yield server


def cluster(names, backends, **settings):
    resolve = {"nameservers": [names.address], **settings.pop("resolve", {})}
    return {"endpoints": [{"address": f"api.test:{backends.port}"}], "resolve": resolve, **settings}


def children(pid, name):
    found = subprocess.run(["pgrep", "-P", str(pid), "-f", name], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_every_address_of_a_name_is_an_endpoint_and_changes_lose_nothing(serve, backends, names):
    """Two addresses share the traffic; another answer is in force within its TTL and a second, under load; nothing goes to what left."""
    served = serve(clusters={"main": cluster(names, backends)}, workers=2)
    admin, url = served.url("admin"), served.url()
    served.wait_for("ready: 2 workers, 2 endpoints")
    assert endpoints(admin) == {backends.at(ONE): "api.test", backends.at(TWO): "api.test"}

    def generations():
        return [one["generation"] for one in status(admin)["workers"]]

    took, first = [], max(generations())
    with Clients(url) as clients:
        assert eventually(lambda: min(backends.counts[ONE], backends.counts[TWO]) > 100)
        assert max(backends.counts[ONE], backends.counts[TWO]) < 3 * min(backends.counts[ONE], backends.counts[TWO])
        for _ in range(3):
            for hosts in ([TWO, THREE], [ONE, TWO]):
                names.set("api.test", "A", hosts)
                changed = time.monotonic()
                wanted = {backends.at(host) for host in hosts}
                assert eventually(lambda wanted=wanted: endpoints(admin).keys() == wanted)
                took.append(time.monotonic() - changed)
        # The fourth of six: a busy machine may stand still for longer now and then.
        assert sorted(took)[3] < 1 + 1 + 1, "the TTL, a second, and a machine that is busy"
        names.set("api.test", "A", [THREE])
        assert eventually(lambda: endpoints(admin).keys() == {backends.at(THREE)})
        # A worker may take it after the control process, which answers at the admin API.
        assert eventually(lambda: min(generations()) >= first + len(took) + 1)
        before = +backends.counts
        seen = clients.statuses[200]
        assert eventually(lambda: clients.statuses[200] > seen + 200)
        assert backends.counts[ONE] - before[ONE] <= 8, "at most those that were on their way"
    assert clients.failed == {}
    assert metric(admin, "lbjwt_endpoint_info") == 1


def test_b18_a_name_server_that_fails_takes_nothing_away(serve, backends, names):
    """In each way in turn: the addresses stay, one line in the log says so, and when it answers again that is noticed; no request fails."""
    soon = {"min_ttl": "100ms", "max_ttl": "1s"}
    served = serve(clusters={"main": cluster(names, backends, resolve=soon)}, workers=2)
    admin, url = served.url("admin"), served.url()
    served.wait_for("ready")

    def are_used(hosts):
        return endpoints(admin).keys() == {backends.at(host) for host in hosts}

    def failures():
        return metric(admin, "lbjwt_discovery_failures_total")

    def is_told(pattern, times):
        return eventually(lambda: len(re.findall(pattern, served.log)) == times, 60)

    used, others = [ONE, TWO], [THREE]
    assert eventually(lambda: are_used(used))
    with Clients(url) as clients:
        for turn, mood in enumerate(("servfail", "nxdomain", "empty", "silent"), 1):
            before, names.mood = failures(), mood
            stay = "its 2 known addresses stay in use" if len(used) == 2 else "its 1 known address stays in use"
            told = f"name api.test @127.0.0.1:[0-9]+ cannot be resolved: .*; {stay}"
            assert is_told(told, (turn + 1) // 2), mood
            assert eventually(lambda before=before: failures() >= before + 2)
            assert metric(admin, "lbjwt_discovery_failing") == 1 and status(admin)["discovery"][0]["failing"]
            assert are_used(used)
            names.set("api.test", "A", others)
            names.mood = "answer"
            assert is_told("is resolved again", turn), mood
            assert eventually(lambda others=others: are_used(others))
            assert len(re.findall("cannot be resolved", served.log)) == turn
            assert metric(admin, "lbjwt_discovery_failing") == 0
            used, others = others, used
    assert clients.failed == {}


def shown_status(admin, *cluster):
    """What `lbjwt status` prints."""
    done = CliRunner().invoke(main, ["status", *cluster, "--admin", admin])
    return done.output


def test_a_large_answer_takes_nothing_away_and_stops_no_checks(serve, backends, names):
    names.set("api.test", "A", [ONE, TWO], ttl=0)
    checked = {"endpoints": [{"address": backends.at(THREE)}], "health_check": {"interval": "100ms"}}
    settings = cluster(names, backends, resolve={"min_ttl": "100ms"})
    served = serve(
        clusters={"main": settings, "checked": checked},
        routes=[{"name": "checked", "prefix": "/c", "cluster": "checked"}, {"name": "main", "cluster": "main"}],
    )
    served.wait_for("ready")
    names.mood = "large"
    served.wait_for(
        "name api.test .* cannot be resolved: the answer has 64026 bytes; .* its 2 known addresses stay in use"
    )
    seen = backends.counts[THREE]
    assert eventually(lambda: backends.counts[THREE] >= seen + 3)
    assert endpoints(served.url("admin")).keys() == {backends.at(host) for host in (ONE, TWO, THREE)}


def test_a_file_that_is_missing_stops_no_other_discovery(serve, backends, names):
    """A cluster whose file has never been readable has no endpoints, and the others get theirs, from DNS and over the admin API."""
    names.set("api.test", "A", [ONE], ttl=0)
    served = serve(
        clusters={
            "main": cluster(names, backends, resolve={"min_ttl": "100ms"}),
            "listed": {"endpoints_file": "missing.json"},
            "set": {"endpoints": [{"address": backends.at(THREE)}]},
        },
        routes=[
            {"name": "listed", "prefix": "/l", "cluster": "listed"},
            {"name": "set", "prefix": "/s", "cluster": "set"},
            {"name": "main", "cluster": "main"},
        ],
    )
    admin = served.url("admin")
    served.wait_for("endpoints_file .*missing.json: .*; it has no endpoints until it is mended")
    served.wait_for("ready")
    names.set("api.test", "A", [TWO], ttl=0)
    assert eventually(lambda: endpoints(admin).keys() == {backends.at(TWO), backends.at(THREE)})
    table = [line.split() for line in shown_status(admin).splitlines()]
    assert ["listed", "no", "endpoints"] in table and ["set", backends.at(THREE), "in", "service", "unchecked"] in [
        row[:5] for row in table
    ]
    assert len(shown_status(admin, "listed").splitlines()) == 2
    assert shown_status(admin, "other") == "Error: there is no cluster other; there are listed, main, set\n"
    assert send("PUT", f"{admin}/clusters/set/endpoints", [{"address": backends.at(ONE)}])[0] == 200
    assert endpoints(admin).keys() == {backends.at(TWO), backends.at(ONE)}


def test_deaths_forget_nothing(serve, backends, names):
    """A control process and workers that are killed while the name server is gone are replaced by ones that know the last good answer."""
    served = serve(clusters={"main": cluster(names, backends)}, workers=2)
    admin, url = served.url("admin"), served.url()
    served.wait_for("ready")
    names.set("api.test", "A", [THREE])
    assert eventually(lambda: endpoints(admin).keys() == {backends.at(THREE)})
    names.mood = "servfail"
    supervisor = served.process.pid
    for name in ("lbjwt-keeper", "lbjwt-worker"):
        for pid in children(supervisor, name):
            os.kill(pid, signal.SIGKILL)
    served.wait_for("all workers are ready again")
    served.wait_for("the control process is ready again")
    assert endpoints(admin).keys() == {backends.at(THREE)}
    assert {get(url, bearer=token())[2] for _ in range(10)} == {THREE}


def test_a_start_does_not_wait_for_a_name_server_for_ever(serve, backends, names):
    """Requests for a cluster without endpoints get 503; the other clusters are served, and this one as soon as its name has an address."""
    names.mood = "silent"
    served = serve(
        clusters={"main": cluster(names, backends), "other": {"endpoints": [{"address": backends.at(TWO)}]}},
        routes=[{"name": "other", "prefix": "/other", "cluster": "other"}, {"name": "main", "cluster": "main"}],
    )
    url = served.url()
    begun = time.monotonic()
    served.wait_for("not every name was resolved within 5 s; starting with the endpoints that are known")
    served.wait_for("ready: 1 worker, 1 endpoint")
    assert time.monotonic() - begun < 50
    assert get(f"{url}/", bearer=token())[0] == 503
    assert get(f"{url}/other", bearer=token())[::2] == (200, TWO)
    names.mood = "answer"
    assert eventually(lambda: get(f"{url}/", bearer=token())[0] == 200)


def test_srv_records_say_hosts_ports_weights_and_spares(serve, backends, names):
    names.set("_http._tcp.api.test", "SRV", [f"10 3 {backends.port} a.test.", f"10 1 {backends.port} b.test."])
    names.set("a.test", "A", [ONE])
    names.set("b.test", "A", [TWO])
    section = {"endpoints": [{"address": "srv:_http._tcp.api.test"}], "resolve": {"nameservers": [names.address]}}
    served = serve(clusters={"main": section})
    admin, url = served.url("admin"), served.url()
    served.wait_for("ready")
    shown = {one["address"]: (one["name"], one["weight"]) for one in status(admin)["endpoints"]}
    assert shown == {backends.at(ONE): ("a.test", 3), backends.at(TWO): ("b.test", 1)}
    assert {get(url, bearer=token())[2] for _ in range(20)} == {ONE, TWO}
    names.set("_http._tcp.api.test", "SRV", [f"10 1 {backends.port} c.test."])
    names.set("c.test", "A", [THREE])
    assert eventually(lambda: get(url, bearer=token())[2] == THREE)


def test_a_reload_keeps_the_members_of_names_that_stay(serve, backends, names, tmp_path):
    """Also while the name server is gone; and a name that is new and has no address yet does not empty its cluster."""
    served = serve(clusters={"main": cluster(names, backends)}, workers=2)
    admin, url = served.url("admin"), served.url()
    served.wait_for("ready")

    def change(**sections):
        document = json.loads((tmp_path / "lbjwt.json").read_text()) | sections
        (tmp_path / "lbjwt.json").write_text(json.dumps(document))
        generation = max(one["generation"] for one in status(admin)["workers"])
        assert send("POST", f"{admin}/reload")[0] == 200
        assert eventually(lambda: min(one["generation"] for one in status(admin)["workers"]) > generation)

    with Clients(url) as clients:
        names.mood = "servfail"
        change(clusters={"main": cluster(names, backends, response_timeout="14s", resolve={"max_ttl": "2s"})})
        assert endpoints(admin).keys() == {backends.at(ONE), backends.at(TWO)}
        renamed = cluster(names, backends)
        renamed["endpoints"] = [{"address": f"new.test:{backends.port}"}]
        change(clusters={"main": renamed})
        assert endpoints(admin).keys() == {backends.at(ONE), backends.at(TWO)}
        names.set("new.test", "A", [THREE])
        names.mood = "answer"
        assert eventually(lambda: endpoints(admin) == {backends.at(THREE): "new.test"})
        change(clusters={"main": {"endpoints": [{"address": backends.at(ONE)}]}})
        assert endpoints(admin) == {backends.at(ONE): None}
    assert clients.failed == {}


def test_an_address_that_cannot_be_reached_costs_no_request(serve, backends, names):
    """A dead AAAA record beside a live A record: nobody waits for the connect timeout."""
    names.set("api.test", "A", [ONE])
    names.set("api.test", "AAAA", ["::1", "fd00:dead::1"])  # nobody listens there, or there is no route
    served = serve(clusters={"main": cluster(names, backends, connect_timeout="25s")}, workers=2)
    url = served.url()
    served.wait_for("ready")
    with Clients(url) as clients:
        assert eventually(lambda: clients.statuses[200] > 500)
    assert clients.failed == {} and clients.slowest < 20


def test_an_endpoints_file_is_watched_and_a_broken_one_changes_nothing(serve, backends, tmp_path):
    file = tmp_path / "endpoints.yaml"

    def write(text):
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(file)

    write(f"- address: {backends.at(ONE)}\n- address: {backends.at(TWO)}\n")
    served = serve(clusters={"main": {"endpoints_file": "endpoints.yaml"}}, workers=2)
    admin, url = served.url("admin"), served.url()
    served.wait_for("ready: 2 workers, 2 endpoints")
    with Clients(url) as clients:
        write(json.dumps({"endpoints": [{"address": backends.at(THREE), "weight": 2}]}))
        assert eventually(lambda: endpoints(admin).keys() == {backends.at(THREE)})
        write("- addres: nonsense\n")
        served.wait_for(
            r"endpoints_file .*endpoints.yaml: line 1: \[0\].addres: unknown key.*; its last endpoint stays in use"
        )
        assert metric(admin, "lbjwt_discovery_failing") == 1
        file.unlink()
        served.wait_for("endpoints_file .* cannot be read")
        assert endpoints(admin).keys() == {backends.at(THREE)}
        write(f"- address: {backends.at(ONE)}\n")
        served.wait_for("can be used again")
        assert eventually(lambda: endpoints(admin).keys() == {backends.at(ONE)})
        assert metric(admin, "lbjwt_discovery_failing") == 0
    assert clients.failed == {}


def test_a_start_with_a_broken_endpoints_file_serves_as_soon_as_it_is_mended(serve, backends, tmp_path):
    (tmp_path / "endpoints.yaml").write_text("nonsense")
    served = serve(clusters={"main": {"endpoints_file": "endpoints.yaml"}})
    url = served.url()
    served.wait_for("ready: 1 worker, 0 endpoints")
    assert get(url, bearer=token())[0] == 503
    (tmp_path / "endpoints.yaml").write_text(f"- address: {backends.at(ONE)}\n")
    assert eventually(lambda: get(url, bearer=token())[0] == 200)


def test_endpoints_set_over_the_admin_api_hold_over_a_restart(serve, backends, tmp_path):
    """
    In force when PUT answers, under load without a failed request; stored in the state directory; DELETE returns to the configuration. So are states
    that were set at run time, until they are undone.
    """
    section = {"endpoints": [{"address": backends.at(ONE)}]}
    settings = {"clusters": {"main": section}, "workers": 2, "state_directory": "state"}
    served = serve(**settings)
    admin, url = served.url("admin"), served.url()
    served.wait_for("ready")
    page = f"{admin}/clusters/main/endpoints"
    with Clients(url) as clients:
        for _ in range(5):
            for hosts in ([TWO], [ONE, TWO], [THREE], [TWO, THREE]):
                wanted = [{"address": backends.at(host)} for host in hosts]
                assert send("PUT", page, wanted) == (200, {"cluster": "main", "source": "admin", "endpoints": wanted})
                assert get(url, bearer=token())[2] in hosts
        wanted = [{"address": backends.at(TWO), "weight": 5}, {"address": backends.at(THREE)}]
        assert send("PUT", page, {"endpoints": wanted})[0] == 200
        assert send("POST", f"{page}/{backends.at(THREE)}", {"state": "drained"})[1]["survives_restart"]
    assert clients.failed == {}
    served.process.send_signal(signal.SIGTERM)
    assert served.end() == 0
    served = serve(**settings)
    admin, url = served.url("admin"), served.url()
    served.wait_for("ready")
    page = f"{admin}/clusters/main/endpoints"
    assert send("GET", page)[1]["endpoints"] == wanted
    assert {get(url, bearer=token())[2] for _ in range(5)} == {TWO}
    shown = {one["address"]: one for one in send("GET", f"{admin}/status")[1]["endpoints"]}
    assert {one["state"]: one["set_at_run_time"] for one in shown.values()} == {"in service": [], "drained": ["state"]}
    assert send("POST", f"{page}/{backends.at(THREE)}", {"state": "in service"})[0] == 200
    assert json.loads((tmp_path / "state" / "endpoint-settings.json").read_text()) == {"endpoints": []}
    assert eventually(lambda: get(url, bearer=token())[2] == THREE)
    assert send("DELETE", page)[1] == {"cluster": "main", "source": "configuration", **section}
    assert {get(url, bearer=token())[2] for _ in range(5)} == {ONE}


@pytest.mark.parametrize(
    ("method", "path", "document", "fields", "code"),
    [
        ("PUT", "main", [], {}, 400),
        ("PUT", "main", 3, {}, 400),
        ("PUT", "main", [{"address": "nonsense"}], {}, 400),
        ("PUT", "main", [{"address": "10.0.0.1:80", "wieght": 3}], {}, 400),
        ("PUT", "main", [{"address": "10.0.0.1:80"}] * 2, {}, 400),
        ("PUT", "other", [{"address": "10.0.0.1:80"}], {}, 404),
        ("PUT", "main", [{"address": "10.0.0.1:80"}], {"Origin": "http://evil.test"}, 403),
        ("PUT", "main", [{"address": "10.0.0.1:80"}], {"Content-Type": "text/plain"}, 415),
        ("DELETE", "main", None, {"Sec-Fetch-Site": "same-site"}, 403),
        ("GET", "main", None, {"Origin": "http://evil.test"}, 403),
        ("GET", "other", None, {}, 404),
    ],
)
def test_what_the_admin_api_refuses_changes_nothing(refusing, method, path, document, fields, code):
    admin, backends, _ = refusing
    assert send(method, f"{admin}/clusters/{path}/endpoints", document, **fields)[0] == code
    assert endpoints(admin) == {backends.at(ONE): None}


def test_the_admin_api_takes_no_listener_as_an_endpoint(refusing):
    """Requests would go round until every connection is used up."""
    admin, backends, port = refusing
    code, told = send(
        "PUT", f"{admin}/clusters/main/endpoints", [{"address": "127.0.0.9:1"}, {"address": f"localhost:{port}"}]
    )
    assert code == 400 and told["error"].startswith(f"endpoints[1].address: is lbjwt's own listener 127.0.0.1:{port}")
    assert endpoints(admin) == {backends.at(ONE): None}
    assert send("GET", f"{admin}/clusters/other/endpoints")[1]["error"] == "there is no such cluster; there is main"


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusing")
    (folder / "jwks.json").write_text(JWKS)
    port = free_port()
    with Backends(ONE) as backends:
        served = Serve(
            folder,
            {
                "listeners": [{"address": f"127.0.0.1:{port}"}],
                "issuers": {"main": {"issuer": "i", "audiences": ["a"], "jwks_file": "jwks.json"}},
                "clusters": {"main": {"endpoints": [{"address": backends.at(ONE)}]}},
                "admin": {"address": "127.0.0.1:0"},
            },
        )
        try:
            served.wait_for("ready")
            yield served.url("admin"), backends, port
        finally:
            served.process.send_signal(signal.SIGTERM)
            served.end()


def test_an_embedded_balancer_discovers_in_its_own_loop(backends, names, tmp_path):
    (tmp_path / "jwks.json").write_text(JWKS)
    configuration = Configuration.model_validate(
        {
            "listeners": [{"address": "127.0.0.1:0"}],
            "issuers": {"main": {"issuer": "i", "audiences": ["a"], "jwks_file": tmp_path / "jwks.json"}},
            "clusters": {"main": cluster(names, backends)},
            "admin": {"address": "127.0.0.1:0"},
        }
    )

    async def until(url, hosts):
        async with asyncio.timeout(60):
            seen = Counter()
            while not set(hosts) <= seen.keys():
                _, _, body = await asyncio.to_thread(get, url, bearer=token())
                seen[body] += 1
        return seen

    async def scenario():
        async with LoadBalancer(configuration) as balancer:
            url = "http://{}:{}".format(*balancer.addresses[0])
            admin = "http://{}:{}".format(*balancer.admin_addresses[0])
            assert (await until(url, [ONE, TWO])).keys() == {ONE, TWO}
            names.set("api.test", "A", [THREE])
            await until(url, [THREE])
            shown = await asyncio.to_thread(endpoints, admin)
            assert shown == {backends.at(THREE): "api.test"}
            names.mood = "servfail"
            await balancer.reload(configuration.model_copy(update={"realm": "other"}))
            assert (await until(url, [THREE])).keys() == {THREE}
            page = f"{admin}/clusters/main/endpoints"
            assert (await asyncio.to_thread(send, "PUT", page, [{"address": backends.at(ONE)}]))[0] == 200
            assert (await until(url, [ONE])).keys() == {ONE}

    asyncio.run(scenario())


# --- one round of queries


def lookup(question, hosts=Path("/nonexistent"), before=()):
    async def ask():
        return await Lookup(Hosts(hosts))(question, before)

    return asyncio.run(ask())


def question(names, name="api.test", **settings):
    return Question(name, nameservers=(Address("127.0.0.1", names.port),), **settings)


def test_names_in_the_hosts_file_are_not_asked_for(names, tmp_path):
    (tmp_path / "hosts").write_text(f"{THREE} api.test\n")
    result = lookup(question(names), tmp_path / "hosts")
    assert result.found == (Found(THREE, "api.test"),) and not result.failure
    assert not names.asked


def test_a_truncated_answer_is_asked_for_over_tcp(names):
    names.mood = "truncated"
    result = lookup(question(names))
    assert [one.host for one in result.found] == [ONE, TWO]
    assert names.count("api.test", "A", "tcp") == 1 and names.count("api.test", "A", "udp") == 1


def test_an_answer_that_is_too_large_is_refused_before_it_is_parsed(names):
    """dnspython needs seconds for the largest one, in which the control process checks nothing."""
    names.mood = "large"
    before = (Found(ONE, "api.test"),)
    result = lookup(question(names), before=before)
    assert result.found == before and result.ttl is None
    assert result.failure == "the answer has 64026 bytes; lbjwt takes 32768 at most"


def test_targets_beyond_the_addresses_of_a_cluster_are_not_asked_for(names):
    targets = [f"t{number:03}.test" for number in range(400)]
    names.set("_http._tcp.test", "SRV", [f"1 1 80 {target}." for target in targets])
    for at, target in enumerate(targets):
        names.set(target, "A", [f"10.{at // 200}.{at % 200}.{last}" for last in range(50)])
    result = lookup(question(names, "_http._tcp.test", srv=True, family="ipv4"))
    assert [one.name for one in result.found] == [target for target in targets[:20] for _ in range(50)]
    assert sum(names.count(target) > 0 for target in targets) < 400


def test_the_family_decides_what_is_asked(names):
    names.set("api.test", "AAAA", ["::1"])
    assert [one.host for one in lookup(question(names, family="ipv6")).found] == ["::1"]
    assert names.count("api.test", "A") == 0
    assert [one.host for one in lookup(question(names, family="ipv4")).found] == [ONE, TWO]


@pytest.mark.parametrize(
    ("mood", "cause"),
    [("servfail", "no name server answered properly"), ("nxdomain", "NXDOMAIN"), ("empty", "no addresses"), ("silent", "in time")],
)  # fmt: skip
def test_what_went_wrong_is_told(names, mood, cause):
    names.mood = mood
    before = (Found(ONE, "api.test"),)
    result = lookup(question(names), before=before)
    assert result.found == before and result.ttl is None and cause in result.failure


def test_a_name_server_that_does_not_run_is_told_from_one_that_is_slow():
    result = asyncio.run(
        Lookup(Hosts(Path("/nonexistent")))(Question("api.test", nameservers=(Address("127.0.0.1", free_port()),)), ())
    )
    assert result.failure == "no name server listens at the address (connection refused)"


# --- dnsmasq


@contextlib.contextmanager
def dnsmasq(directory, port, *options):
    command = [DNSMASQ, "-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--addn-hosts={directory / 'hosts'}",
               f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", "--local-ttl=1", "--pid-file=", *options]  # fmt: skip
    if os.geteuid() == 0:
        command.append("--user=root")
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.skipif(DNSMASQ is None, reason="dnsmasq is missing")
def test_b18_with_dnsmasq(serve, backends, tmp_path):
    """SRV records and TTL of a real name server: a change is in force within TTL + 1 s, its death takes nothing away, and no request fails."""
    port = free_port()
    (tmp_path / "hosts").write_text(f"{ONE} a.test\n{TWO} a.test\n")
    section = {"endpoints": [{"address": "srv:_http._tcp.api.test"}], "resolve": {"nameservers": [f"127.0.0.1:{port}"]}}
    with dnsmasq(tmp_path, port, f"--srv-host=_http._tcp.api.test,a.test,{backends.port},1,5") as process:
        served = serve(clusters={"main": section}, workers=2)
        admin, url = served.url("admin"), served.url()
        served.wait_for("ready: 2 workers, 2 endpoints")
        with Clients(url) as clients:
            took = []
            for host in (THREE, ONE, THREE):
                (tmp_path / "hosts").write_text(f"{host} a.test\n{TWO} a.test\n")
                process.send_signal(signal.SIGHUP)
                changed, wanted = time.monotonic(), {backends.at(TWO), backends.at(host)}
                assert eventually(lambda wanted=wanted: endpoints(admin).keys() == wanted)
                took.append(time.monotonic() - changed)
            assert sorted(took)[1] < 3, "a busy machine may stand still once"
            process.kill()
            served.wait_for("cannot be resolved: .*; its 2 known addresses stay", 60)
            seen = clients.statuses[200]
            assert eventually(lambda: clients.statuses[200] > seen + 100)
        assert clients.failed == {}


# --- the examples


@pytest.mark.parametrize("name", ["dns", "endpoints-file"])
def test_the_examples_serve(backends, names, tmp_path, name):
    """Started as they are, but for ports, name server and keys."""
    (tmp_path / "jwks.json").write_text(JWKS)
    text = (Path("examples") / f"{name}.yaml").read_text()
    for old, new in {
        "127.0.0.1:8080": "127.0.0.1:0",
        "127.0.0.1:9900": "127.0.0.1:0",
        "127.0.0.1:5353": names.address,
        "https://issuer.example": "i",
        "audiences: [api]": "audiences: [a]",
        "internal:9001": f"internal:{backends.port}",
    }.items():
        text = text.replace(old, new)
    (tmp_path / "lbjwt.yaml").write_text(text)
    listed = json.loads(Path("examples/endpoints.json").read_text())
    (tmp_path / "endpoints.json").write_text(
        json.dumps([one | {"address": backends.at(host)} for one, host in zip(listed, (ONE, TWO), strict=True)])
    )
    names.set("api.internal", "A", [ONE, TWO])
    names.set("_http._tcp.reports.internal", "SRV", [f"1 1 {backends.port} three.internal."])
    names.set("three.internal", "A", [THREE])
    with contextlib.closing(_Example(tmp_path)) as served:
        served.wait_for(f"ready: 1 worker, {3 if name == 'dns' else 2} endpoints")
        url = served.url()
        assert {get(f"{url}/", bearer=token())[2] for _ in range(20)} == {ONE, TWO}
        if name == "dns":
            assert get(f"{url}/reports", bearer=token())[2] == THREE


class _Example(LoggedProcess):
    def __init__(self, folder):
        super().__init__(["-m", "lbjwt", "serve", str(folder / "lbjwt.yaml")], folder)

    def url(self):
        return f"http://{self.wait_for(r'listeners.0. on ([0-9.:]+)')[1]}"

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.end()
