"""Discovered endpoints that speak TLS: whom their certificates must name, and what a file that cannot be used leaves alone; with real processes."""

import asyncio
import os
import resource
import signal
import subprocess

import pytest

from lbjwt import Configuration, LoadBalancer
from tests.harness.nameserver import NameServer
from tests.harness.waiting import eventually
from tests.integration.authority import Authority
from tests.integration.backend_tls_scene import blocking_backend, secure_backend, server_side
from tests.integration.discovery_scene import Backends, endpoints, send, status
from tests.integration.serve_scene import JWKS, get, serve, token

__all__ = ["serve"]

ONE, TWO = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def names():
    with NameServer() as server:
        yield server


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def secure(authority, address, names=None, **more):
    """A cluster of one https endpoint that is checked ten times a second. No check fails because the machine is busy."""
    resolve = {} if names is None else {"resolve": {"nameservers": [names.address]}}
    check = {"path": "/", "interval": "100ms", "timeout": "30s", "rise": 1, "fall": 1}
    return {
        "endpoints": [{"address": address}],
        "tls": {"ca": str(authority.ca_file)},
        "health_check": check,
        **resolve,
        **more,
    }


def child(served, name):
    found = subprocess.run(
        ["pgrep", "-P", str(served.process.pid), "-f", name], capture_output=True, text=True, check=True
    )
    return int(found.stdout)


def check_of(admin, address):
    return next(one["health_check"] for one in status(admin)["endpoints"] if one["address"] == address)


def test_an_endpoint_with_another_name_must_have_the_certificate_of_that_name(serve, names, authority):
    """Also when the address is the same: a request and a check after the change expect the new name."""
    names.set("old.test", "A", ["127.0.0.1"])
    names.set("new.test", "A", ["127.0.0.1"])
    with blocking_backend(server_side(authority.issue("new", names=["new.test"]))) as port:
        served = serve(clusters={"main": secure(authority, f"https://old.test:{port}", names)})
        admin, url = served.url("admin"), served.url()
        served.wait_for("ready: ")
        assert get(url, bearer=token())[0] == 503
        assert eventually(
            lambda: (
                "its certificate is not for old.test" in (check_of(admin, f"https://127.0.0.1:{port}")["failure"] or "")
            )
        )
        assert send("PUT", f"{admin}/clusters/main/endpoints", [{"address": f"https://new.test:{port}"}])[0] == 200
        assert get(url, bearer=token())[0] == 200
        assert eventually(lambda: check_of(admin, f"https://127.0.0.1:{port}")["state"] == "passing")
        assert endpoints(admin) == {f"https://127.0.0.1:{port}": "new.test"}


def test_servers_of_srv_records_must_prove_the_domain_of_the_service(names, authority, tmp_path):
    """Not the target: an attacker who forges an answer can name a host of their own, with a valid certificate."""
    names.set("a.test", "A", ["127.0.0.1"])
    (tmp_path / "jwks.json").write_text(JWKS)
    contexts = [server_side(authority.issue(name, names=[name])) for name in ("good.test", "a.test")]

    async def scenario():
        async with secure_backend(contexts[0]) as good, secure_backend(contexts[1]) as forged:
            ports = {"good": good.port, "forged": forged.port}
            for name, port in ports.items():
                names.set(f"_https._tcp.{name}.test", "SRV", [f"10 1 {port} a.test."])
            configuration = Configuration.model_validate(
                {
                    "listeners": [{"address": "127.0.0.1:0"}],
                    "issuers": {"main": {"issuer": "i", "audiences": ["a"], "jwks_file": tmp_path / "jwks.json"}},
                    "clusters": {n: secure(authority, f"https+srv:_https._tcp.{n}.test", names) for n in ports},
                    "routes": [{"name": name, "prefix": f"/{name}", "cluster": name} for name in ports],
                    "admin": {"address": "127.0.0.1:0"},
                }
            )
            async with LoadBalancer(configuration) as balancer:
                url = "http://{}:{}".format(*balancer.addresses[0])
                admin = "http://{}:{}".format(*balancer.admin_addresses[0])
                answers = [(await asyncio.to_thread(get, f"{url}/{name}", bearer=token()))[0] for name in ports]
                shown = {}

                def checked():
                    shown.update({one["cluster"]: one for one in status(admin)["endpoints"]})
                    return shown.keys() == ports.keys() and all(
                        one["health_check"]["seconds_ago"] is not None for one in shown.values()
                    )

                assert await asyncio.to_thread(eventually, checked)
            assert set(good.names) == {"good.test"}
        return answers, shown

    answers, shown = asyncio.run(scenario())
    assert answers == [200, 503]
    assert {one["name"] for one in shown.values()} == {"a.test"}
    assert shown["good"]["health_check"]["state"] == "passing"
    assert "its certificate is not for forged.test" in shown["forged"]["health_check"]["failure"]


def test_a_file_that_cannot_be_used_holds_up_no_members(serve, authority):
    """Members change, and a control process that died is replaced, while an authority is half written; checks go on when it is whole again."""
    good = authority.ca_file.read_bytes()
    with (
        Backends(ONE, TWO) as backends,
        blocking_backend(server_side(authority.issue("server", names=["localhost"]))) as port,
    ):
        address = f"https://localhost:{port}"
        served = serve(
            clusters={"main": {"endpoints": [{"address": backends.at(ONE)}]}, "secure": secure(authority, address)},
            routes=[{"name": "secure", "prefix": "/secure", "cluster": "secure"}, {"name": "main", "cluster": "main"}],
        )
        admin, url = served.url("admin"), served.url()
        page = f"{admin}/clusters/main/endpoints"
        served.wait_for("ready: ")
        assert eventually(lambda: check_of(admin, address)["state"] == "passing")
        authority.ca_file.write_bytes(good[:100])
        assert send("PUT", page, [{"address": backends.at(TWO)}])[0] == 200
        assert get(url, bearer=token())[2] == TWO
        os.kill(child(served, "lbjwt-keeper"), signal.SIGKILL)
        served.wait_for(
            "endpoints of cluster secure are not checked until the file can be used: clusters.secure.tls.ca"
        )
        served.wait_for("the control process is ready again")
        assert send("PUT", page, [{"address": backends.at(ONE)}])[0] == 200
        assert get(url, bearer=token())[2] == ONE
        assert get(f"{url}/secure", bearer=token())[0] == 200
        assert check_of(admin, address)["state"] == "passing", "nothing is known against it"
        before = check_of(admin, address)["seconds_ago"]
        authority.ca_file.write_bytes(good)
        assert eventually(lambda: check_of(admin, address)["seconds_ago"] < before)
        assert "not applied" not in served.log


def test_members_that_a_worker_could_not_apply_are_handed_out_again(serve):
    """PUT says that they are not in force yet; they are as soon as the worker can."""
    with Backends(ONE, TWO) as backends:
        served = serve(clusters={"main": {"endpoints": [{"address": backends.at(ONE)}]}})
        admin, url = served.url("admin"), served.url()
        served.wait_for("ready: ")
        worker = child(served, "lbjwt-worker")
        soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (64, hard))
        code, answer = send("PUT", f"{admin}/clusters/main/endpoints", [{"address": backends.at(TWO)}])
        assert (code, answer["error"]) == (
            503,
            "the endpoints are not in force yet: a process could not apply them; its log says why",
        )
        assert get(url, bearer=token())[2] == ONE
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
        assert eventually(lambda: get(url, bearer=token())[2] == TWO)
        assert send("GET", f"{admin}/clusters/main/endpoints")[1]["source"] == "admin"
