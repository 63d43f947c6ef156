"""Certificates and their dates, the state directory, the revocations, the limit of open files."""

import asyncio
import datetime
import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lbjwt.assembly.state import StateDirectory
from lbjwt.checks.files import certificate_results, state_findings
from lbjwt.checks.machine import descriptor_results, revocation_results
from lbjwt.checks.results import Result
from lbjwt.config.load import load_text
from lbjwt.config.model import Configuration

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(name: str, start: datetime.datetime, end: datetime.datetime) -> x509.Certificate:
    """A self-signed certificate of these dates."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(end)
    return builder.sign(KEY, hashes.SHA256())


def configured(rest: str = "", directory: Path = Path("/nowhere")) -> Configuration:
    """A configuration with these further keys."""
    base = """
listeners: [{address: "127.0.0.1:0"}]
issuers: {main: {issuer: i, audiences: [a], jwks_file: j}}
clusters: {main: {endpoints: [{address: "127.0.0.1:9"}, {address: "127.0.0.1:10"}], max_connections: 100}}
"""
    return load_text(base + rest, directory)


def dated(directory: Path, *certificates: x509.Certificate) -> Result:
    """The result about the dates of a file with these certificates."""
    path = directory / "c.pem"
    path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    return next(certificate_results("listeners[0]", "certificate", path, NOW))


@pytest.mark.parametrize(
    ("start", "end", "outcome", "part"),
    [
        (-DAY, 15 * DAY, "ok", "expires on 2026-06-16, in 15 days"),
        (-DAY, 14 * DAY, "ok", "in 14 days"),
        (-DAY, 14 * DAY - datetime.timedelta(seconds=1), "warning", "in 13 days; renew it now"),
        (-DAY, datetime.timedelta(), "problem", "expired on 2026-06-01"),
        (
            -2 * DAY,
            -DAY,
            "problem",
            "expired on 2026-05-31; replace it; a running lbjwt uses the new one within two seconds",
        ),
        (DAY, 30 * DAY, "problem", "is not valid before 2026-06-02 12:00Z"),
    ],
)
def test_the_dates_of_a_certificate(
    tmp_path: Path, start: datetime.timedelta, end: datetime.timedelta, outcome: str, part: str
):
    """Two weeks are time enough, less is not; what has ended or not begun does not work."""
    finding = dated(tmp_path, certificate("a", NOW + start, NOW + end))
    assert (finding.outcome, finding.check) == (outcome, "certificate")
    assert part in finding.sentence and "CN=a" in finding.sentence


def test_the_first_of_a_chain_to_end_counts(tmp_path: Path):
    """An authority that ends before the certificate takes it along."""
    chain = [certificate("leaf", NOW - DAY, NOW + 90 * DAY), certificate("middle", NOW - DAY, NOW + 3 * DAY)]
    finding = dated(tmp_path, *chain)
    assert finding.outcome == "warning" and "CN=middle" in finding.sentence


def found(path: Path) -> tuple[str, str]:
    """Outcome and sentence for a state directory."""
    (result,) = (
        one
        for one in state_findings(configured(f"revocation: {{}}\nstate_directory: {path}"), here=True)
        if isinstance(one, Result)
    )
    return result.outcome, result.sentence


def test_a_state_directory_that_can_be_used(tmp_path: Path):
    """There with mode 0700 and free, or not there yet in a place where it can be made."""
    path = tmp_path / "state"
    assert found(path) == ("ok", f"lbjwt creates {path} when it starts")
    path.mkdir(mode=0o700)
    assert found(path) == ("ok", f"{path} can be used by lbjwt")


def test_a_state_directory_that_lbjwt_would_refuse(tmp_path: Path):
    """Writable for others, no directory, in a place that is not there."""
    path = tmp_path / "state"
    path.mkdir()
    for mode, outcome in ((0o770, "problem"), (0o702, "problem"), (0o700, "ok")):
        path.chmod(mode)
        assert found(path)[0] == outcome
    (tmp_path / "file").touch()
    assert found(tmp_path / "file")[0] == "problem"
    outcome, sentence = found(tmp_path / "none" / "state")
    assert outcome == "problem" and f"{tmp_path / 'none'}" in sentence


def test_a_state_directory_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Told with what to do about it, whoever runs the doctor."""
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    outcome, sentence = found(tmp_path)
    assert (
        outcome == "problem"
        and "belongs to another user" in sentence
        and f"name a new directory in it, such as {tmp_path}" in sentence
    )


def test_a_state_directory_in_use_is_a_note(tmp_path: Path):
    """The lock of a running lbjwt is seen, and not disturbed: also while the doctor looks, the next lbjwt is refused by that one alone."""
    path = tmp_path / "state"
    with StateDirectory(path):
        assert found(path) == ("note", f"a running lbjwt uses {path}; two cannot share one directory")
        assert found(path)[0] == "note"
    assert found(path)[0] == "ok"
    with StateDirectory(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def revocations(configuration: Configuration) -> Result:
    """The result about revocations."""
    (result,) = asyncio.run(revocation_results(configuration, configuration.state_directory))
    return result


def test_without_need_of_state_nothing_is_said_of_it():
    """Keys in a file and no revocations: nothing to keep."""
    assert [*state_findings(configured(), here=True)] == []
    assert asyncio.run(revocation_results(configured(), None)) == []


def test_what_a_restart_would_lose_is_a_note():
    """Revocations without a directory are kept for no next start."""
    made = configured("revocation: {}")
    (note,) = state_findings(made, here=True)
    assert isinstance(note, Result) and note.outcome == "note" and "revocations made at run time" in note.sentence
    assert revocations(made).outcome == "ok"


def test_revocations_are_counted_or_their_mistake_is_told(tmp_path: Path):
    """The file with its line, the log of the directory when it is there."""
    file = tmp_path / "revoked.jsonl"
    file.write_text('{"jti":"a","expires":4000000000}\n# no\n{"sub":"b","expires":4000000000}\n')
    made = configured(f"revocation: {{file: {file}}}\nstate_directory: {tmp_path / 'state'}")
    (tmp_path / "state").mkdir(mode=0o700)
    assert revocations(made).sentence == "2 entries in force: 2 from the file, 0 made at run time"
    file.write_text('{"jti":"a"}\n')
    finding = revocations(made)
    assert finding.outcome == "problem" and "line 1" in finding.sentence
    file.unlink()
    assert revocations(made).outcome == "problem"


@pytest.mark.parametrize(
    ("most", "outcome"),
    [(1_000_000, "ok"), (-1, "ok"), (1264, "ok"), (1263, "warning"), (256, "warning")],
)
def test_open_files_against_what_the_limits_promise(most: int, outcome: str):
    """1000 clients, 200 connections to endpoints and 64 to spare are needed; below that, clients give way."""
    (finding,) = descriptor_results(configured("limits: {max_connections: 1000}"), most)
    assert finding.outcome == outcome, finding.sentence
