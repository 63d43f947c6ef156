"""examples/deploy: the manifest, the unit and the image fit the program and each other."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lbjwt.checks.registry import text_problems
from lbjwt.config.load import examine_text
from lbjwt.config.model import Configuration
from lbjwt.process.stopping import GRACE, KEEPER_GRACE
from lbjwt.units import parse_duration

DEPLOY = Path("examples/deploy")
AT_THE_END = GRACE + KEEPER_GRACE  # seconds that a stop may take beyond lame_duck and drain: docs/operations.md


@pytest.fixture(scope="module")
def manifest() -> dict:
    """The objects by their kind."""
    text = (DEPLOY / "kubernetes.yaml").read_text()
    return {one["kind"]: one for one in YAML(typ="safe", pure=True).load_all(text)}


@pytest.fixture(scope="module")
def configuration(manifest: dict) -> Configuration:
    """The file in the ConfigMap."""
    examination = examine_text(manifest["ConfigMap"]["data"]["lbjwt.yaml"], Path("/etc/lbjwt"))
    assert [problem.code for problem in text_problems(examination)] == ["listener-plain"]
    assert examination.configuration is not None
    return examination.configuration


def test_the_pod_fits_its_configuration(manifest: dict, configuration: Configuration):
    """Port, probe and grace period are those of the file; the state directory is inside a volume that may be written."""
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (listener,) = configuration.listeners
    assert listener.health is not None
    assert container["readinessProbe"]["httpGet"]["path"] == listener.health.path
    assert f":{container['ports'][0]['containerPort']}" == str(listener.address)
    timeouts = configuration.timeouts
    assert pod["terminationGracePeriodSeconds"] > timeouts.lame_duck + timeouts.drain + AT_THE_END
    mounts = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert configuration.state_directory is not None
    assert str(configuration.state_directory.parent) in mounts


def test_the_image_serves_the_file_of_the_manifest(manifest: dict):
    """The image's command reads the file where the ConfigMap is mounted, as a user who is not root."""
    (container,) = manifest["Deployment"]["spec"]["template"]["spec"]["containers"]
    (directory,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "configuration"]
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert f'CMD ["serve", "{directory}/lbjwt.yaml"]' in lines
    user = manifest["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in lines


def test_the_unit_waits_for_a_drain():
    """systemd kills nothing before the default drain is over, and knows when lbjwt is ready."""
    unit = dict(
        line.split("=", 1)
        for line in (DEPLOY / "lbjwt.service").read_text().splitlines()
        if "=" in line[:40] and line[0] != "#"
    )
    assert unit["Type"] == "notify" and unit["KillMode"] == "mixed"
    assert (
        parse_duration(unit["TimeoutStopSec"])
        > Configuration.model_fields["timeouts"].get_default(call_default_factory=True).drain + AT_THE_END
    )
