"""Active health checks of a running service: several workers, one prober, reloads, and the death of the control process."""

import json
import os
import re
import signal
import time
import urllib.request

from tests.harness.ports import free_port
from tests.harness.procfs import children, name_of
from tests.harness.waiting import eventually
from tests.integration.health_scene import backends, checked, health, metrics, states, status
from tests.integration.serve_scene import get, http_server, token


def ask(url, count=12):
    """Who answered, over that many new connections."""
    bearer = token()
    return [get(f"{url}/", bearer=bearer)[::2] for _ in range(count)]


def names(answers):
    assert all(code == 200 for code, _ in answers), answers
    return {body for _, body in answers}


def control_process(supervisor):
    return next(pid for pid in children(supervisor) if name_of(pid) == "lbjwt-keeper")


def test_a_disabled_endpoint_is_not_checked_until_it_is_enabled(serve):
    """A drained one is. What is known of it stays meanwhile."""
    with backends("one", "two") as (one, two):
        scene = serve(clusters={"main": checked(one.address, two.address)}, workers=2)
        admin = scene.url("admin")
        scene.wait_for(": ready: ")

        def put(state):
            body = json.dumps({"state": state})
            url = f"{admin}/clusters/main/endpoints/{one.address}"
            ask = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(ask, timeout=30) as answer:
                assert json.loads(answer.read())["state"] == state

        def checks_more(backend, count):
            end = len(backend.checks) + count
            return eventually(lambda: len(backend.checks) >= end)

        put("drained")
        assert checks_more(one, 2)
        put("disabled")

        def is_left_alone():
            seen = len(one.checks)
            return checks_more(two, 4) and len(one.checks) == seen

        assert eventually(is_left_alone)  # once the check that was under way has ended
        assert health(admin)[one.address]["state"] == "passing"
        put("in service")
        assert checks_more(one, 1)


def test_an_endpoint_that_fails_gets_no_requests_until_it_passes_again(serve):
    """Both workers know at once; a check has no token; each change has one line in the log, and shows in `/status` and the metrics."""
    with backends("one", "two") as (one, two):
        scene = serve(clusters={"main": checked(one.address, two.address)}, workers=2)
        url, admin = scene.url(), scene.url("admin")
        scene.wait_for(": ready: ")
        assert names(ask(url)) == {"one", "two"}
        one.health = 503
        scene.wait_for(
            f"endpoint {re.escape(one.address)} of cluster main fails its health check: status 503 \\(2 in a row\\)"
        )
        seen = len(one.requests)
        assert names(ask(url)) == {"two"}
        assert len(one.requests) == seen
        told = health(admin)
        assert (told[one.address]["state"], told[one.address]["failure"]) == ("failing", "status 503")
        assert (told[two.address]["state"], told[two.address]["failure"]) == ("passing", None)
        assert metrics(admin, "lbjwt_endpoint_healthy") == {one.address: 0, two.address: 1}
        assert metrics(admin, "lbjwt_endpoint_check_transitions_total") == {one.address: 1, two.address: 0}
        assert all(0 <= age < 30 for age in metrics(admin, "lbjwt_endpoint_last_check_seconds").values())
        assert get(f"{admin}/readyz")[0] == 200
        one.health = 200
        scene.wait_for(
            f"endpoint {re.escape(one.address)} of cluster main passes its health check again \\(2 in a row\\)"
        )
        assert names(ask(url)) == {"one", "two"}
        method, path, host, fields, _ = one.checks[0]
        assert (method, path, host) == ("GET", "/health", one.address)
        assert fields == ["accept", "connection", "host", "user-agent"]
        # one prober for both workers, however many there are: two would check every 50 ms. A check may come late, and the next one in time
        assert eventually(lambda: len(two.checks) >= 30)
        times = [check[-1] for check in two.checks]
        assert (times[-1] - times[0]) / (len(times) - 1) > 0.06


def test_the_first_requests_do_not_go_to_the_dead(serve):
    """Readiness waits for the first round; one result is enough then, and a new worker knows it."""
    with backends("one", "two") as (one, two):
        two.health = 500
        dead = f"127.0.0.1:{free_port()}"
        cluster = checked(one.address, two.address, dead, interval="10m", fall=5)
        scene = serve(clusters={"main": cluster}, workers=2)
        url, admin = scene.url(), scene.url("admin")
        scene.wait_for(": ready: ")
        assert names(ask(url)) == {"one"}
        assert not two.requests
        assert states(admin) == {one.address: "passing", two.address: "failing", dead: "failing"}
        assert re.search(r"fails its health check: connection refused \(1 in a row\)", scene.log)
        worker = next(pid for pid in children(scene.process.pid) if name_of(pid) == "lbjwt-worker")
        os.kill(worker, signal.SIGKILL)
        scene.wait_for("all workers are ready again")
        assert names(ask(url)) == {"one"}
        assert len(one.checks) == 1  # the new worker did not wait for another round


def test_a_silent_endpoint_delays_the_start_by_its_timeout_only(serve):
    """Bounded by three seconds, whatever the timeout: then it is used as one that was not checked."""
    with backends("one", "two") as (one, two):
        two.health = None
        scene = serve(clusters={"main": checked(one.address, two.address, timeout="60s", interval="60s")})
        admin = scene.url("admin")
        started = time.monotonic()
        scene.wait_for(": ready: ")
        assert time.monotonic() - started < 50
        assert states(admin) == {one.address: "passing", two.address: "unchecked"}
        assert names(ask(scene.url())) == {"one", "two"}


def test_the_service_is_not_ready_while_no_cluster_has_an_endpoint(serve):
    """One cluster that is down takes no edge out; all of them do. Requests are still tried: the check may be what is wrong."""
    with backends("one", "two") as (one, two):
        scene = serve(
            listeners=[{"address": "127.0.0.1:0", "health": {"path": "/ready"}}],
            clusters={"a": checked(one.address), "b": checked(two.address)},
            routes=[
                {"name": "a", "prefix": "/a", "cluster": "a"},
                {"name": "b", "prefix": "/b", "cluster": "b"},
            ],
        )
        url, admin = scene.url(), scene.url("admin")
        scene.wait_for(": ready: ")
        one.health = 500
        assert eventually(lambda: states(admin)[one.address] == "failing")
        assert (get(f"{admin}/readyz")[0], get(f"{url}/ready")[0]) == (200, 200)
        two.health = 500
        assert eventually(lambda: states(admin)[two.address] == "failing")
        assert get(f"{admin}/readyz")[::2] == (503, "no usable endpoint\n")
        assert get(f"{url}/ready")[0] == 503
        assert get(f"{url}/a", bearer=token())[::2] == (200, "one")
        two.health = 200
        assert eventually(lambda: get(f"{admin}/readyz")[0] == 200)
        assert get(f"{url}/ready")[0] == 200


def test_a_control_process_that_dies_is_replaced_and_goes_on(serve):
    """Workers keep what is known; one result does not change it, as it would at a start."""
    with backends("one", "two") as (one, two):
        scene = serve(clusters={"main": checked(one.address, two.address, rise=3, fall=3, interval="200ms")}, workers=2)
        url, admin = scene.url(), scene.url("admin")
        scene.wait_for(": ready: ")
        one.health = 503
        scene.wait_for("fails its health check: status 503 \\(3 in a row\\)")
        os.kill(control_process(scene.process.pid), signal.SIGKILL)
        assert names(ask(url)) == {"two"}
        scene.wait_for("the control process is ready again")
        assert states(admin) == {one.address: "failing", two.address: "passing"}
        assert names(ask(url)) == {"two"}
        one.health = 200
        scene.wait_for("passes its health check again \\(3 in a row\\)")
        assert names(ask(url)) == {"one", "two"}
        assert health(admin)[one.address]["transitions"] == 2


def reload(scene, tmp_path, count, **changes):
    document = json.loads((tmp_path / "lbjwt.json").read_text()) | changes
    (tmp_path / "lbjwt.json").write_text(json.dumps(document))
    scene.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: scene.log.count("configuration reloaded: ") == count), scene.log


def test_a_reload_changes_checks_in_place(serve, tmp_path):
    """What stays keeps its state; what is added is checked before it gets requests; what leaves is checked no more."""
    with backends("one", "two", "three") as (one, two, three):
        scene = serve(clusters={"main": checked(one.address, two.address)}, workers=2)
        url, admin = scene.url(), scene.url("admin")
        scene.wait_for(": ready: ")
        one.health = 503
        scene.wait_for("fails its health check: status 503 \\(2 in a row\\)")
        three.health = 404
        reload(scene, tmp_path, 1, clusters={"main": checked(one.address, two.address, three.address)})
        assert names(ask(url)) == {"two"}
        assert not three.requests
        assert states(admin) == {one.address: "failing", two.address: "passing", three.address: "failing"}
        # another path, another verdict: `rise` passed checks later
        reload(
            scene,
            tmp_path,
            2,
            clusters={"main": checked(one.address, three.address, path="/health?x", statuses=[404, 503])},
        )
        assert eventually(lambda: set(states(admin).values()) == {"passing"})
        assert names(ask(url)) == {"one", "three"}
        checks = len(two.checks)
        # without checks nothing fails any more
        three.health = 500
        scene.wait_for(f"{re.escape(three.address)} of cluster main fails")
        reload(
            scene, tmp_path, 3, clusters={"main": {"endpoints": [{"address": one.address}, {"address": three.address}]}}
        )
        assert eventually(lambda: set(states(admin).values()) == {"unchecked"})
        assert names(ask(url)) == {"one", "three"}
        assert len(two.checks) == checks
        assert metrics(admin, "lbjwt_endpoint_healthy") == {}


def test_tcp_and_a_port_of_its_own(serve):
    """An endpoint whose port for checks is closed fails, whatever its own port does."""
    with backends("one", "two") as (one, two), http_server(0, b"ok") as port:
        clusters = {
            "tcp": {
                **checked(one.address),
                "health_check": {"type": "tcp", "interval": "100ms", "timeout": "10s", "fall": 1},
            },
            "port": checked(two.address, port=port, body="ok", fall=1),
        }
        routes = [{"name": name, "prefix": f"/{name}", "cluster": name} for name in clusters]
        scene = serve(clusters=clusters, routes=routes)
        admin = scene.url("admin")
        scene.wait_for(": ready: ")
        assert states(admin) == {one.address: "passing", two.address: "passing"}
        assert not two.checks and not one.checks
        one.down()
        assert eventually(lambda: states(admin)[one.address] == "failing")
        assert health(admin)[one.address]["failure"] == "connection refused"


def test_what_is_slow_or_has_the_wrong_body_fails(serve):
    """Each with its cause."""
    with backends("one", "two", "three") as (one, two, three):
        two.body, three.health = b"all bad!", None
        cluster = checked(one.address, two.address, three.address, body="all good", timeout="1s")
        scene = serve(clusters={"main": cluster})
        admin = scene.url("admin")
        scene.wait_for(": ready: ")
        expected = {
            one.address: None,
            two.address: "the text of `body` is not in the response",
            three.address: "no response within 1 s",
        }
        assert eventually(lambda: {address: told["failure"] for address, told in health(admin).items()} == expected)
        assert status(admin)["ready"]


def test_a_flapping_endpoint_costs_no_request(serve):
    """It refuses connections half of the time; requests that met it go elsewhere."""
    with backends("one", "two") as (one, two):
        scene = serve(clusters={"main": checked(one.address, two.address, interval="100ms")}, workers=2)
        url = scene.url()
        scene.wait_for(": ready: ")
        for _ in range(3):
            one.down()
            assert names(ask(url, 20)) <= {"one", "two"}
            one.up()
            assert names(ask(url, 20)) <= {"one", "two"}
        assert scene.log.count("fails its health check") <= 3
