"""From the revocation section to what a verifier asks: the log of the state directory, the operator's file, their limit, and whose token is meant."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lbjwt.assembly.revocations import new_reader, revocation_check
from lbjwt.auth.revocation import Revocation, RevocationError
from lbjwt.auth.revocation_format import line_of
from lbjwt.config.model import Configuration
from lbjwt.config.model import Revocation as Section
from lbjwt.revocation.store import RevocationStore
from lbjwt.service import LoadBalancer
from tests.unit.assembly_cases import configuration

ISSUERS = (
    "  a: {issuer: https://a.test, audiences: [api], pem_file: /dev/null}\n"
    "  b: {issuer: https://b.test, audiences: [api], jwks: {keys: []}}"
)
LATER = time.time() + 3600


def made(section: str) -> Configuration:
    return configuration(ISSUERS, section)


def filed(path: Path, *entries: Revocation) -> Path:
    path.write_bytes(b"".join(map(line_of, entries)))
    return path


def test_without_the_section_nothing_is_asked() -> None:
    """No reader, no question: a configuration without revocations pays for none."""
    assert new_reader(made(""), Path("/state"), lambda more: None) is None
    assert revocation_check(None) is None
    assert set(Section.model_fields) == {"file", "max_entries"}


def test_log_and_file_are_both_in_force(tmp_path: Path) -> None:
    """What was made at run time and what the operator wrote, each change told."""
    store = RevocationStore(tmp_path)
    store.open(time.time())
    store.append([Revocation("jti", "logged", LATER)], time.time())
    store.close()
    path = filed(tmp_path / "file", Revocation("sub", "filed", LATER, issuer="https://b.test"))
    told: list[bool] = []
    reader = new_reader(made(f"revocation: {{file: {path}}}"), tmp_path, told.append)
    assert reader is not None
    asyncio.run(reader.load())
    check = revocation_check(reader)
    assert check is not None and len(reader) == 2 and told == [True]
    now = time.time()
    assert check(0, "k", {"iss": "https://a.test", "jti": "logged"}, now)
    assert check(1, "k", {"iss": "https://b.test", "sub": "filed"}, now)
    assert not check(0, "k", {"iss": "https://a.test", "sub": "filed"}, now)
    assert not check(0, "k", {"iss": "https://a.test", "jti": "logged"}, LATER + 1)


def test_without_a_directory_there_is_no_log_and_without_a_file_none(tmp_path: Path) -> None:
    """Only what was asked for is looked at."""
    alone = new_reader(made("revocation: {}"), None, lambda more: None)
    assert alone is not None and alone._parts == []
    logged = new_reader(made("revocation: {}"), tmp_path, lambda more: None)
    assert logged is not None and [part.path.name for part in logged._parts] == ["revocations.jsonl"]


def test_b17_the_key_and_issuer_of_the_very_token_are_meant(tmp_path: Path) -> None:
    """A key id of one issuer is another's too; the entry is narrowed by the exact `iss`, and a token without one is nobody's (THREATS B17)."""
    path = filed(
        tmp_path / "file", Revocation("kid", "k1", LATER, issuer="https://a.test"), Revocation("kid", "k2", LATER)
    )
    reader = new_reader(made(f"revocation: {{file: {path}}}"), None, lambda more: None)
    check = revocation_check(reader)
    assert reader is not None and check is not None
    asyncio.run(reader.load())
    now = time.time()
    assert check(0, "k1", {"iss": "https://a.test"}, now) and not check(1, "k1", {"iss": "https://b.test"}, now)
    assert check(1, "k2", {"iss": "https://b.test"}, now) and check(0, "k2", {}, now)
    assert not check(0, "k1", {}, now)


def test_the_limit_of_entries_arrives(tmp_path: Path) -> None:
    """One entry more than max_entries is a mistake at the start."""
    path = filed(tmp_path / "file", *(Revocation("jti", str(at), LATER) for at in range(3)))
    for most, fine in ((3, True), (2, False)):
        reader = new_reader(made(f"revocation: {{file: {path}, max_entries: {most}}}"), None, lambda more: None)
        assert reader is not None
        if fine:
            asyncio.run(reader.load())
        else:
            with pytest.raises(RevocationError):
                asyncio.run(reader.load())


def test_c20_what_more_is_revoked_reaches_grants_and_streams_at_once() -> None:
    """Every known token is looked at once more and streams now, not at the next sweep; entries that ended disturb nobody (THREATS C20)."""
    balancer = LoadBalancer(made("revocation: {}"))
    swept: list[int] = []
    balancer._runtime.context = SimpleNamespace(sweep=lambda: swept.append(balancer.verifier.gate.epoch))
    before = balancer.verifier.gate.epoch
    balancer._revoked(False)
    assert balancer.verifier.gate.epoch == before and swept == []
    balancer._revoked(True)
    assert balancer.verifier.gate.epoch != before and swept == [balancer.verifier.gate.epoch]


def test_a_balancer_by_itself_reads_the_log_of_its_directory(tmp_path: Path) -> None:
    """The one in state_directory, also without an admin API: what the last run revoked is revoked."""
    store = RevocationStore(tmp_path)
    store.open(time.time())
    store.append([Revocation("jti", "logged", LATER)], time.time())
    store.close()

    async def scenario() -> None:
        keys = (
            "  a: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'http://127.0.0.1:1/', timeout: 100ms}}"
        )
        balancer = LoadBalancer(configuration(keys, f"revocation: {{}}\nstate_directory: {tmp_path}"))
        epoch = balancer.verifier.gate.epoch
        async with balancer:
            assert balancer.verifier.gate.epoch != epoch, "everything known is looked at once more"
            assert balancer.board.totals()["revocations"] == 1

    asyncio.run(scenario())
