"""A stop while the control process is only just being started again."""

import json
import os
import signal

from tests.harness.procfs import children, name_of
from tests.harness.waiting import eventually
from tests.integration.logged import LoggedProcess
from tests.integration.serve_scene import JWKS

# `lbjwt serve` whose control process takes seconds to start, as on a busy machine, once the file `slow` is there.
PROGRAM = """
import time
from pathlib import Path
from lbjwt.process import keeper

start = keeper._Keeper.start
async def slow(self, stack):
    if Path("slow").exists():
        Path("begun").touch()
        time.sleep(2.0)
    await start(self, stack)
keeper._Keeper.start = slow
from lbjwt.cli import main
main(["serve", "lbjwt.json"])
"""


def test_a_control_process_that_is_still_starting_ends_in_good_order(tmp_path):
    """It hears the signal once it runs: the exit code is 0, and nothing is killed."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "jwks.json").write_text(JWKS)
    (tmp_path / "lbjwt.json").write_text(
        json.dumps(
            {
                "listeners": [{"address": "127.0.0.1:0"}],
                "issuers": {"main": {"issuer": "i", "audiences": ["a"], "jwks_file": "jwks.json"}},
                "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9"}]}},
                "admin": {"address": "127.0.0.1:0"},
            }
        )
    )
    running = LoggedProcess(["program.py"], tmp_path)
    try:
        running.wait_for(r"INFO lbjwt\[supervisor\]: ready:")
        (keeper,) = (pid for pid in children(running.process.pid) if name_of(pid) == "lbjwt-keeper")
        (tmp_path / "slow").touch()
        os.kill(keeper, signal.SIGKILL)
        assert eventually((tmp_path / "begun").exists, 30.0), running.log
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30.0) == 0, running.log
    finally:
        running.end()
    assert "processes did not end in time" not in running.log
