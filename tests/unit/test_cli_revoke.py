"""`lbjwt revoke`: from options to an entry, and a token that is read but not believed."""

import base64
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lbjwt.auth.revocation import LATEST, Revocation, Undo
from lbjwt.auth.revocation_format import read_lines
from lbjwt.cli import main

DAY = 86_400


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "revoked.jsonl"
    path.touch()
    return path


def revoke(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(main, ["revoke", *map(str, arguments)], input=given)


def entries(file: Path) -> list[Any]:
    return list(read_lines(file.read_bytes()))


def compact(**claims: Any) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, claims)]
    return ".".join([*parts, "AAAA"])


@pytest.mark.parametrize(
    ("options", "entry"),
    [
        (["--jti", "j"], Revocation("jti", "j", 4e9)),
        (["--sub", "s", "--issuer", "i"], Revocation("sub", "s", 4e9, "i")),
        (["--kid", "k"], Revocation("kid", "k", 4e9)),
        (["--sub", "s", "--issued-before", "1700000000.5"], Revocation("sub", "s", 4e9, None, 1_700_000_000.5)),
        (["--issuer", "i", "--issued-before", "2027-01-15T08:00:00Z"], Revocation("issuer", "i", 4e9, None, 1.8e9)),
    ],
)
def test_options_become_one_entry(file: Path, options: list[str], entry: Revocation):
    """Times as seconds or RFC 3339."""
    result = revoke(*options, "--until", "4000000000", "--file", file)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "written, in force until 2096-10-02T07:06:40Z" in result.stderr
    assert entries(file) == [entry]


def test_now_includes_this_very_second(file: Path):
    """Most issuers date tokens in whole seconds: one of this second was issued before now."""
    before = time.time()
    assert revoke("--sub", "s", "--issued-before", "now", "--file", file).exit_code == 0
    (entry,) = entries(file)
    assert entry.issued_before is not None
    assert int(before) < entry.issued_before <= time.time() + 1


@pytest.mark.parametrize(("options", "lifetime"), [([], 30 * DAY), (["--for", "2d"], 2 * DAY), (["--for", "90s"], 90)])
def test_an_entry_lasts_as_long_as_was_said(file: Path, options: list[str], lifetime: int):
    """30 days when nothing was."""
    before = int(time.time())
    assert revoke("--jti", "j", *options, "--file", file).exit_code == 0
    assert before + lifetime <= entries(file)[0].expires <= time.time() + lifetime


def test_a_token_is_revoked_by_its_jti_until_it_cannot_be_accepted(file: Path):
    """Narrowed to its issuer, until exp and the greatest clock skew; loudly unverified; no part of it is written or shown."""
    exp = int(time.time()) + 60
    text = compact(jti="j1", iss="https://i", exp=exp)
    result = revoke("--token", "-", "--file", file, given=f"Bearer {text}\n")
    assert result.exit_code == 0
    assert result.stderr.startswith("NOT VERIFIED")
    assert entries(file) == [Revocation("jti", "j1", exp + 300.0, "https://i")]
    assert text[:20] not in file.read_text() + result.output


def test_a_token_without_exp_or_issuer_gets_the_usual_entry(file: Path):
    """30 days, for any issuer."""
    assert revoke("--token", "-", "--file", file, given=compact(jti="j1")).exit_code == 0
    (entry,) = entries(file)
    assert entry.issuer is None
    assert abs(entry.expires - time.time() - 30 * DAY) < 60


def test_a_token_of_the_past_needs_nothing(file: Path):
    """It is refused anyway."""
    result = revoke("--token", "-", "--file", file, given=compact(jti="j1", exp=int(time.time()) - 301))
    assert result.exit_code == 0
    assert "nothing to do" in result.stderr
    assert entries(file) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            compact(sub="s"),
            "the token has no jti, so lbjwt cannot revoke it alone; revoke the tokens of its subject: --sub",
        ),
        (compact(jti=5), "has no jti"),
        (compact(jti=""), "has no jti"),
        (compact(jti="j", exp="1"), "not a time"),
        (compact(jti="j", exp=True), "not a time"),
        (compact(jti="j", exp=float("inf")), "not a time"),
        (compact(jti="j", exp=float("nan")), "not a time"),
        (compact(jti="j", exp=LATEST), "not a time"),
        (compact(jti="j", exp=-1), "not a time"),
        ("", "three parts"),
        ("a.b.c.d.e", "JWE"),
        ("!.!.!", "not base64url"),
    ],
)
def test_a_token_that_names_nothing_is_told(file: Path, text: str, part: str):
    """Exit code 1, what to do instead, nothing written."""
    result = revoke("--token", "-", "--file", file, given=text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert part in result.stderr
    assert entries(file) == []


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ([], "an entry needs a jti, a sub, a kid or an issuer"),
        (["--jti", "a", "--sub", "b"], "an entry for each"),
        (["--issuer", "i"], "an entry for a whole issuer needs"),
        (["--jti", "a", "--issued-before", "now"], "cannot be used with a jti"),
        (["--jti", ""], "text of 1 to 1024"),
        (["--jti", "\udcff"], "half of a surrogate pair"),
        (["--jti", "eyJhbGciOiJub25lIn0.eyJqdGkiOiJ4In0.AAAA"], "looks like a whole token"),
        (["--sub", "a", "--issued-before", "yesterday"], '"--issued-before" must be a number'),
        (["--sub", "a", "--issued-before", "1800000000000"], '"issued_before" must be a time'),
        (["--sub", "a", "--until", "2027-01-15"], '"--until" must be a number'),
        (["--sub", "a", "--for", "30"], 'did you mean "30s"'),
        (["--sub", "a", "--for", "1d", "--until", "4000000000"], "not both"),
        (["--token", "-", "--jti", "a"], "takes everything from the token"),
        (["--token", "-", "--for", "1d"], "takes everything from the token"),
        (["--token", "eyJhbGci.x.y"], "from standard input only"),
        (["--undo"], "an entry needs a jti, a sub, a kid or an issuer"),
        (["--undo", "--jti", "a", "--for", "1d"], "leave out --for and --until"),
        (["--undo", "--sub", "a", "--issued-before", "now"], '"issued_before" cannot be used with an undo'),
    ],
)
def test_a_problem_of_usage_is_exit_code_2(file: Path, options: list[str], part: str):
    """One sentence, nothing written, nothing of a token shown."""
    result = revoke(*options, "--file", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert part in result.stderr.replace("\n", " ")
    assert "eyJ" not in result.stderr.partition("Error:")[2]
    assert entries(file) == []


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--admin", "http://127.0.0.1:9", "--file", "x"],
        ["--admin", "127.0.0.1:9900"],
        ["--admin", "ftp://127.0.0.1"],
        ["--admin", "http://127.0.0.1:99999"],
        ["--admin", "http://127.0.0.1:9900/revocations"],
        ["--admin", "http://"],
    ],
)
def test_where_must_be_said_and_be_one_place(options: list[str]):
    """The door or the file, and a door is an address."""
    assert revoke("--jti", "a", *options).exit_code == 2


def test_an_entry_of_the_past_is_not_written(file: Path):
    """An --until that has passed is told, not kept."""
    result = revoke("--jti", "a", "--until", "5", "--file", file)
    assert (result.exit_code, entries(file)) == (0, [])
    assert "nothing to do: the entry would have ended at 1970-01-01T00:00:05Z" in result.stderr


def test_what_the_file_says_is_told(file: Path, tmp_path: Path):
    """A file that is not there, one that balancers would not read, and one that may not be written."""
    assert "does not exist" in revoke("--jti", "a", "--file", tmp_path / "none").stderr
    file.write_text("broken\n")
    result = revoke("--jti", "a", "--file", file)
    assert (result.exit_code, file.read_text()) == (1, "broken\n")
    assert "line 1" in result.stderr
    os.mkfifo(tmp_path / "pipe")
    assert revoke("--jti", "a", "--file", tmp_path / "pipe").exit_code == 1


def test_a_door_that_is_closed_is_told():
    """Exit code 1; nothing was sent, so nothing was changed."""
    result = revoke("--jti", "a", "--admin", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert (
        "cannot connect to 127.0.0.1:1 (Connection refused); nothing was changed. Is the admin API at this address (--admin)?"
        in result.stderr
    )
    assert "unknown" not in result.stderr


def test_a_door_that_says_nothing_is_told():
    """The request was sent, so the change may have been made."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        result = revoke("--jti", "a", "--admin", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert result.exit_code == 1
    assert "it is unknown whether the change was made" in result.stderr


def test_an_undo_is_a_line_of_the_file(file: Path):
    """Behind the entry that it takes back; a second one writes nothing."""
    assert revoke("--jti", "j", "--issuer", "i", "--file", file).exit_code == 0
    result = revoke("--undo", "--jti", "j", "--issuer", "i", "--file", file)
    assert (result.exit_code, result.stderr) == (0, "undone\n")
    assert entries(file)[1:] == [Undo("jti", "j", "i")]
    result = revoke("--undo", "--jti", "j", "--issuer", "i", "--file", file)
    assert result.exit_code == 1 and "nothing to undo" in result.stderr
    assert len(entries(file)) == 2
