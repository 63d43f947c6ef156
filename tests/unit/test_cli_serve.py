"""serve, check, schema and demo: what they hand on, what they print, how they end."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import lbjwt.demo.stage
import lbjwt.process.supervisor
from lbjwt.cli import main
from lbjwt.config.load import load_file, load_text
from lbjwt.config.model import Configuration
from lbjwt.config.reading import Source


def run(*arguments: str | Path) -> Result:
    """One call of the command line."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with keys, a certificate and a configuration that is good in every respect."""
    assert run("keys", "generate", "--out-dir", tmp_path).exit_code == 0
    (tmp_path / "lbjwt.yaml").write_text(Path("examples/minimal.yaml").read_text())
    return tmp_path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two self-signed certificates with their keys."""
    directory = tmp_path_factory.mktemp("certificates")
    for name in ("a", "b"):
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
        ]
        subprocess.run(
            [*command, "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.crt"],
            check=True,
            capture_output=True,
            timeout=60,
        )
        (directory / f"{name}.key").chmod(0o600)
    return directory


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Configuration]:
    """The configurations that would have been served; serving ends with exit code 7."""
    found: list[Configuration] = []

    def serve(configuration: Configuration, source: Source, *, mask: object = None) -> int:
        found.append(configuration)
        return 7

    monkeypatch.setattr(lbjwt.process.supervisor, "run", serve)
    return found


def flags(place: Path) -> list[str]:
    """The flags with the meaning of the file."""
    return [
        *(
            "--listen",
            "127.0.0.1:8080",
            "--backend",
            "127.0.0.1:9001",
            "--backend",
            "127.0.0.1:9002",
            "--jwks",
            str(place / "jwks.json"),
        ),
        *("--issuer", "https://issuer.example", "--audience", "api"),
    ]


def test_a_file_and_flags_serve_the_same(place: Path, served: list[Configuration]):
    """Both doors hand the supervisor equal configurations, and its exit code is the command's."""
    assert run("serve", place / "lbjwt.yaml").exit_code == 7
    assert run("serve", *flags(place)).exit_code == 7
    assert served[0] == served[1] == load_file(place / "lbjwt.yaml")


def test_the_issuer_alone_tells_where_the_keys_are(served: list[Configuration]):
    """Four flags are a whole balancer: the keys are found by discovery. Any other key source, and nothing is looked for."""
    least = ["--listen", "127.0.0.1:8080", "--backend", "127.0.0.1:9001", "--audience", "api"]
    assert run("serve", *least, "--issuer", "https://issuer.example").exit_code == 7
    assert served[0].issuers["main"].key_source == "discovery"
    assert run("serve", *least, "--issuer", "https://issuer.example", "--jwks", "https://keys.example").exit_code == 7
    assert served[1].issuers["main"].key_source == "remote_jwks"
    result = run("serve", *least, "--issuer", "main")
    assert (result.exit_code, len(served)) == (2, 2)
    assert result.stderr.startswith("--jwks: is required")


def test_a_state_directory_must_be_ours(place: Path, served: list[Configuration]):
    """One that others write is refused before anything starts; one that is not there is made later."""
    (place / "state").mkdir()
    (place / "state").chmod(0o777)
    result = run("serve", *flags(place), "--state-directory", place / "state")
    assert (result.exit_code, served) == (2, [])
    assert f"name a new directory in it, such as {place / 'state' / 'lbjwt'}" in result.stderr
    assert run("serve", *flags(place), "--state-directory", place / "new").exit_code == 7
    assert served[0].state_directory == place / "new"


def test_print_config_serves_nothing(place: Path, served: list[Configuration]):
    """The printed text alone is on standard output, and reads back as the same configuration."""
    result = run("serve", *flags(place), "--print-config")
    assert (result.exit_code, served) == (0, [])
    assert load_text(result.stdout, Path("/elsewhere")) == load_file(place / "lbjwt.yaml")
    assert run("serve", place / "lbjwt.yaml", "--print-config").stdout == result.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["--print-config"], ["lbjwt.yaml", "--workers", "2"], ["lbjwt.yaml", "other.yaml"]]
)
def test_neither_both_nor_none(arguments: list[str], served: list[Configuration]):
    """A file, or flags: what is meant must not be a matter of precedence."""
    result = run("serve", *arguments)
    assert (result.exit_code, served) == (2, [])
    assert "Usage:" in result.stderr


def test_a_broken_file_serves_nothing(place: Path, served: list[Configuration]):
    """Every problem with its place on standard error, exit code 2."""
    file = place / "lbjwt.yaml"
    file.write_text(file.read_text().replace("audiences: [api]", "audience: [api]").replace("127.0.0.1:8080", "8080:x"))
    result = run("serve", file)
    assert (result.exit_code, served, result.stdout) == (2, [], "")
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{file}:5:14: listeners[0].address: the port")
    assert f'{file}:10:5: issuers.main.audience: unknown key; did you mean "audiences"?' in lines


def test_broken_flags_serve_nothing(place: Path, served: list[Configuration]):
    """Problems are told in the words of flags."""
    result = run("serve", *flags(place), "--workers", "0", "--tls-cert", "c.pem")
    assert (result.exit_code, served) == (2, [])
    assert result.stderr.splitlines() == [
        "--tls-key: is required",
        "--workers: must be a whole number from 1 to 1024, or auto",
    ]


def test_missing_keys_serve_nothing(place: Path, served: list[Configuration]):
    """A key file that is not there is found before a port is opened."""
    (place / "jwks.json").unlink()
    result = run("serve", *flags(place))
    assert (result.exit_code, served) == (2, [])
    assert result.stderr == f"--jwks: cannot read {place / 'jwks.json'}: No such file or directory\n"


def test_warnings_do_not_stop_serving(place: Path, served: list[Configuration]):
    """What is legal is served, and what is unwise about it is said."""
    result = run("serve", *flags(place), "--any-audience", "--admin", "0.0.0.0:9900")
    assert result.exit_code == 2  # both --audience and --any-audience
    result = run("serve", *flags(place), "--admin", "0.0.0.0:9900")
    assert (result.exit_code, len(served)) == (7, 1)
    assert result.stderr.startswith("warning: --admin: the admin API requires no password")


def test_a_good_file_is_good(place: Path):
    """check says so, and ends with 0."""
    result = run("check", place / "lbjwt.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{place / 'lbjwt.yaml'}: good\n", "")


def test_strict_makes_warnings_errors(place: Path):
    """The same file ends with 0, and with 2 when strict."""
    file = place / "lbjwt.yaml"
    file.write_text(file.read_text().replace("127.0.0.1:8080", '":8080"'))
    assert run("check", file).stdout == f"{file}: good, 1 warning\n"
    result = run("check", "--strict", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr
        == f"{file}:5:5: warning: listeners[0]: this listener has no TLS, so anybody on the network path can steal the tokens [listener-plain]\n"
    )


def test_check_finds_a_file_that_is_not_there(tmp_path: Path):
    """The configuration file itself may be the problem."""
    result = run("check", tmp_path / "none.yaml")
    assert (result.exit_code, result.stderr) == (
        2,
        f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory\n",
    )


Spoil = Callable[[Path], Any]
BROKEN_FILES: list[tuple[str, Spoil, str]] = [
    ("jwks_file: jwks.json", lambda place: (place / "jwks.json").write_text("{}"), "issuers.main.jwks_file: "),
    (
        "jwks_file: jwks.json",
        lambda place: (place / "jwks.json").write_text('{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}'),
        "cannot be used",
    ),
    ("jwks_file: jwks.json", lambda place: (place / "jwks.json").chmod(0o666), "[key-file-writable]"),
    ("jwks_file: jwks.json", lambda place: (place / "jwks.json").write_text("x" * 2_000_000), "cannot be used"),
    ("jwks_file: .", lambda place: None, "cannot read"),
    ("pem_file: private.jwk", lambda place: None, "issuers.main.pem_file: "),
    ("secret_file: jwks.json\n    algorithms: [HS256]", lambda place: None, "issuers.main.secret_file: "),
    ("secret_file: s\n    algorithms: [HS256]", lambda place: (place / "s").write_bytes(b"x" * 31), "31 bytes"),
    (
        "secret_file: s\n    algorithms: [HS256]",
        lambda place: (place / "s").write_bytes(bytes(range(32))),
        "[secret-open]",
    ),
]


@pytest.mark.parametrize(("source", "spoil", "part"), BROKEN_FILES)
def test_check_looks_into_key_files(place: Path, source: str, spoil: Spoil, part: str):
    """Keys that cannot be used, or that others can change, are found at the line that names them."""
    file = place / "lbjwt.yaml"
    file.write_text(file.read_text().replace("jwks_file: jwks.json", source))
    spoil(place)
    result = run("check", "--strict", file)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{file}:11:")
    assert part in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("certificate", "key", "path"),
    [
        ("a.crt", "a.key", None),
        ("a.crt", "b.key", "listeners[0].tls: "),
        ("none.crt", "a.key", "listeners[0].tls.certificate: "),
        ("a.crt", "none.key", "listeners[0].tls.private_key: "),
        ("a.key", "a.key", "listeners[0].tls"),
    ],
)
def test_check_looks_into_tls_files(place: Path, certificates: Path, certificate: str, key: str, path: str | None):
    """A certificate must be there and belong to its key."""
    file = place / "lbjwt.yaml"
    tls = f"127.0.0.1:8080\n    tls: {{certificate: {certificates / certificate}, private_key: {certificates / key}}}"
    file.write_text(file.read_text().replace("127.0.0.1:8080", tls))
    result = run("check", file)
    assert result.exit_code == (0 if path is None else 2), result.stderr
    if path is not None:
        assert result.stderr.startswith(f"{file}:6:")
        assert path in result.stderr


def test_check_finds_where_no_log_can_be(place: Path):
    """A directory that is not there, or a directory in place of a file."""
    file = place / "lbjwt.yaml"
    text = file.read_text()
    for path, part in (("nowhere/access.log", "there is no directory"), (".", "is a directory")):
        file.write_text(text + f"access_log: {{path: {path}}}\n")
        result = run("check", file)
        assert result.exit_code == 2
        assert part in result.stderr


def test_schema_is_json():
    """Standard output is the schema and nothing else."""
    result = run("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"].endswith("2020-12/schema")


def test_demo_is_handed_on(monkeypatch: pytest.MonkeyPatch):
    """Options reach the demo, and its exit code is the command's."""
    found: list[dict[str, Any]] = []

    def demo(**options: Any) -> int:
        found.append(options)
        return 1

    monkeypatch.setattr(lbjwt.demo.stage, "run", demo)
    assert run("demo").exit_code == 1
    assert run("demo", "--once", "--port", "9999").exit_code == 1
    assert found == [{"once": False, "port": 8080}, {"once": True, "port": 9999}]
    assert run("demo", "--port", "0").exit_code == 2
