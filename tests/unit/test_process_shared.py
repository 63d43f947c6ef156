"""What a configuration asks of the processes: whether there is a control process, state, and which issuers there are."""

import pytest

from lbjwt.assembly.cluster import new_offenders
from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.state import state_needed
from lbjwt.config.model import Configuration
from lbjwt.process.shared import keeper_needed

NAMED = {"issuer": "https://a.example", "any_audience": True}
FILE = {"jwks_file": "jwks.json"}
REMOTE = {"remote_jwks": {"uri": "https://a.example/jwks"}}


def configuration(issuer=FILE, **more):
    return Configuration.model_validate(
        {
            "listeners": [{"address": "127.0.0.1:0"}],
            "issuers": {"main": {**NAMED, **issuer}},
            "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:1"}]}},
            **more,
        }
    )


@pytest.mark.parametrize(
    ("made", "keeper", "state"),
    [
        (configuration(), False, False),
        (configuration(state_directory="/state"), False, False),
        (configuration(access_log={"path": "-"}, fail_limit={"failures": 3}), False, False),
        (configuration(admin={"address": "127.0.0.1:0"}), True, False),
        (configuration(REMOTE), True, False),
        (configuration(REMOTE, state_directory="/state"), True, True),
        (configuration({"discovery": {}}), True, False),
        (configuration(revocation={}), True, True),
    ],
    ids=["file", "directory only", "log and limit", "admin", "URL", "URL and directory", "discovery", "revocation"],
)
def test_what_needs_a_control_process_and_what_a_directory(made, keeper, state):
    """Only what there is once for all workers: admin API, fetched keys, revocations; keys are written only where they shall outlive a restart."""
    assert (keeper_needed(made), state_needed(made)) == (keeper, state)


def test_names_of_issuers():
    """In the order of the configuration; tenants are issuers of their own when each has keys of its own."""
    listed = {"issuer": "https://{tenant}.example", "any_audience": True, "tenants": {"names": ["x", "y"]}}
    made = configuration(
        issuers={
            "one": {**NAMED, **FILE},
            "apart": {**listed, "remote_jwks": {"uri": "https://keys.example/{tenant}"}},
            "together": {**listed, "issuer": "https://t.example/{tenant}", **REMOTE},
            "found": {**listed, "issuer": "https://d.example/{tenant}", "discovery": {}},
        }
    )
    names = [instance.name for instance in issuer_instances(made)]
    assert names == ["one", "apart/x", "apart/y", "together", "found/x", "found/y"]


def test_failures_are_counted_for_a_limit_or_a_door():
    """Without either nobody would look at them; the limit's own window is taken."""
    assert new_offenders(configuration(), 2) is None
    shown = new_offenders(configuration(admin={"address": "127.0.0.1:0"}), 2)
    assert (shown.slots, shown.limit, shown.window) == (2, 0, 60.0)
    limited = new_offenders(configuration(fail_limit={"failures": 3, "window": "10s"}), 2)
    assert (limited.limit, limited.window) == (3, 10.0)
