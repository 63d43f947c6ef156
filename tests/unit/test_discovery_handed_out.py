"""What was discovered on its way to the workers and to the disk: what could not be put into force is not said to be, and what was promised stays."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lbjwt.assembly import discovered as discovered_module
from lbjwt.assembly import discovery as discovery_module
from lbjwt.assembly.discovered import STORED, Discovered
from lbjwt.assembly.discovery import Discovery, NotHandedOut
from lbjwt.config.endpoint_list import endpoints_of
from lbjwt.config.model import Configuration
from lbjwt.files import write_whole
from lbjwt.observe._board import READY, Board
from lbjwt.process.channel import Channel, read_memory
from lbjwt.process.members import MemberUpdates, take


def configuration(**cluster: object) -> Configuration:
    return Configuration.model_validate(
        {
            "listeners": [{"address": "127.0.0.1:0"}],
            "issuers": {"main": {"any_issuer": True, "any_audience": True, "jwks_file": "unused.json"}},
            "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:1"}], **cluster}},
        }
    )


ENDPOINTS = endpoints_of([{"address": "10.0.0.7:80"}])


def test_a_file_without_endpoints_travels_with_the_others() -> None:
    """One file that could not be used yet must not keep what else was discovered from the workers and from the disk."""
    known = Discovered(files={"/missing.json": (), "/good.json": ENDPOINTS}, replaced={"main": ENDPOINTS})
    assert Discovered.decoded(known.encoded()) == known


def publish(apply: Callable[[Board], object], monkeypatch: pytest.MonkeyPatch, *, cancels: bool = False) -> None:
    """Hand something out that becomes generation 3, to a control process that applies it and to one worker that does what it is told."""
    monkeypatch.setattr(os, "kill", lambda pid, number: None)

    async def scenario() -> None:
        ours, theirs = Channel.pair()
        board = Board(1, 1)
        board.set_state(READY, 0)
        updates = MemberUpdates(ours, board, os.getppid())
        publishing = asyncio.ensure_future(updates.publish(Discovered()))
        await asyncio.sleep(0)
        assert take(theirs, lambda known: 3)
        board.set_generation(3, board.keeper)
        apply(board)
        answer = ours.receive()
        assert answer is not None
        updates.answered(answer.kind, read_memory(answer.body))
        answer.close()
        if cancels:
            publishing.cancel()
        try:
            await publishing
        finally:
            ours.close()
            theirs.close()

    asyncio.run(scenario())


def test_members_that_every_process_applied_are_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    publish(lambda board: board.set_generation(3), monkeypatch)


def test_members_that_a_worker_could_not_apply_are_not_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotHandedOut, match="a process could not apply them"):
        publish(lambda board: board.set_failed_generation(3), monkeypatch)


def test_a_cancellation_that_comes_with_the_answer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the control process would wait at its end for a task that goes on."""
    with pytest.raises(asyncio.CancelledError):
        publish(lambda board: board.set_generation(3), monkeypatch, cancels=True)


def test_what_could_not_be_handed_out_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PUT is answered that the endpoints are not in force yet; later they come into force without another one."""
    monkeypatch.setattr(discovery_module, "PACE", 0.0)

    async def scenario() -> list[object]:
        handed, failing = asyncio.Queue[object](), True

        async def hand_out(known: Discovered) -> None:
            if failing and known.replaced:
                raise NotHandedOut("no room")
            handed.put_nowait(known.replaced.get("main"))

        discovery = Discovery(configuration(), Discovered(), hand_out, None)
        await discovery.start()
        first = await handed.get()
        with pytest.raises(NotHandedOut):
            await discovery.replace("main", ENDPOINTS)
        failing = False
        async with asyncio.timeout(30):
            second = await handed.get()
        await discovery.stop()
        return [first, second]

    assert asyncio.run(scenario()) == [None, ENDPOINTS]


def test_an_own_listener_among_the_endpoints_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    sections = configuration().model_dump(mode="json", by_alias=True, exclude_unset=True)
    loops = Configuration.model_validate({**sections, "listeners": [{"address": "127.0.0.1:8080"}]})
    known = Discovered(replaced={"main": endpoints_of([{"address": "localhost:8080"}, {"address": "10.0.0.7:80"}])})

    async def hand_out(known: Discovered) -> None:
        pass

    async def scenario() -> None:
        discovery = Discovery(loops, known, hand_out, None)
        await discovery.start()
        await discovery.replace("main", known.replaced["main"])
        await discovery.stop()

    asyncio.run(scenario())
    (told,) = [line for line in caplog.messages if "left out" in line]
    assert told.startswith("endpoint localhost:8080 of cluster main is lbjwt's own listener 127.0.0.1:8080")


def test_endpoints_set_over_the_admin_api_survive_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when something else is stored after them: every file that has them is synced before it takes the place of the one before."""
    synced: list[tuple[bool, bool]] = []

    def write(path: Path, content: bytes, *, sync: bool) -> None:
        synced.append((b"10.0.0.7:80" in content, sync))
        write_whole(path, content, sync=sync)

    monkeypatch.setattr(discovered_module, "write_whole", write)
    file = tmp_path / "list.json"

    async def hand_out(known: Discovered) -> None:
        pass

    async def scenario() -> None:
        discovery = Discovery(configuration(endpoints_file=str(file)), Discovered(), hand_out, tmp_path)
        await discovery.replace("main", ENDPOINTS)
        file.write_text('[{"address": "10.0.0.8:80"}]')
        await discovery.start()
        async with asyncio.timeout(30):
            while b"10.0.0.8:80" not in (tmp_path / STORED).read_bytes():
                await asyncio.sleep(0.01)
        await discovery.stop()

    asyncio.run(scenario())
    assert len(synced) == 2 and all(is_synced for has_them, is_synced in synced if has_them)
