"""
The flags of ``lbjwt serve`` as a configuration: the same object a file makes.

Knows which flag stands for which key, and speaks of flags, not of keys, when something is wrong. Opens no file. Secrets are never given in
flags, only the names of files that hold them: every user of a machine can read every command line on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from lbjwt.config.conflicts import conflicts
from lbjwt.config.fields import Source
from lbjwt.config.issuer import Issuer
from lbjwt.config.model import Configuration
from lbjwt.config.problems import ConfigurationError, KeyPath, Problem, describe
from lbjwt.config.section import Section

S = TypeVar("S", bound=Section)

LABEL: Final = "main"
"""The label of the one issuer and the one cluster that flags can describe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What was said on the command line; None and () is what was not said."""

    listen: tuple[str, ...] = ()
    backend: tuple[str, ...] = ()
    jwks: str | None = None
    pem: str | None = None
    secret_file: str | None = None
    issuer: str | None = None
    any_issuer: bool = False
    audience: tuple[str, ...] = ()
    any_audience: bool = False
    algorithm: tuple[str, ...] = ()
    claim_header: tuple[str, ...] = ()
    tls_cert: str | None = None
    tls_key: str | None = None
    workers: str | None = None
    admin: str | None = None
    access_log: str | None = None
    state_directory: str | None = None

    def given(self) -> list[str]:
        """Return the flags that were used, as they are written."""
        return [
            f"--{field.name.replace('_', '-')}"
            for field in fields(self)
            if getattr(self, field.name) not in (None, (), False)
        ]


def configuration_from_flags(flags: Flags, directory: Path) -> Configuration:
    """
    Build the configuration that the flags describe; relative file names are relative to ``directory``.

    Raises:
        ConfigurationError: With every problem, each under the flag it is about.
    """
    configuration = _validated(
        Configuration, _document(flags), (), [*_incomplete(flags), *_incomplete_issuer(flags, discover=True)], directory
    )
    errors = list(conflicts(configuration))
    if errors:
        raise ConfigurationError(problems_under_flags(errors))
    return configuration


def issuer_from_flags(flags: Flags, directory: Path) -> Issuer:
    """
    Build only the issuer that the flags describe, with keys that are given and not looked for.

    Raises:
        ConfigurationError: With every problem, each under the flag it is about.
    """
    incomplete = _incomplete_issuer(flags, discover=False)
    return _validated(Issuer, _issuer(flags, discover=False), ("issuers", LABEL), incomplete, directory)


def _validated(model: type[S], document: dict[str, Any], at: KeyPath, incomplete: list[Problem], directory: Path) -> S:
    """Return the section, or raise what is incomplete about the flags together with what is wrong with their values."""
    try:
        section = model.model_validate(document, context=Source(directory))
    except ValidationError as error:
        found = problems_under_flags(replace(problem, path=(*at, *problem.path)) for problem in describe(error, model))
        # What is missing was found already, and is told in words of flags; what belongs to no single flag is what is missing.
        told = {(), *(problem.path for problem in incomplete)}
        wrong = [problem for problem in found if problem.code != "missing" and problem.path not in told]
        raise ConfigurationError([*incomplete, *wrong] or found) from None
    if incomplete:
        raise ConfigurationError(incomplete)
    return section


def problems_under_flags(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems of a configuration that flags made, each under its flag instead of its key path."""
    return [_under_flag(problem) for problem in problems]


def _incomplete(flags: Flags) -> list[Problem]:
    """What is missing among the flags that describe everything but the issuer."""
    rules = (
        (not flags.listen, "--listen", "is required: where clients connect, such as 127.0.0.1:8080"),
        (not flags.backend, "--backend", "is required: where requests go, such as 127.0.0.1:9001"),
        (flags.tls_cert is not None and flags.tls_key is None, "--tls-key", "is required with --tls-cert"),
        (flags.tls_key is not None and flags.tls_cert is None, "--tls-cert", "is required with --tls-key"),
        *(
            (claim.count("=") != 1, "--claim-header", "is written CLAIM=Header-Name, such as sub=X-Jwt-Sub")
            for claim in flags.claim_header
        ),
    )
    return [Problem((flag,), message) for wrong, flag, message in rules if wrong]


def _sources(flags: Flags) -> list[str]:
    """The flags that give keys."""
    sources = (("--jwks", flags.jwks), ("--pem", flags.pem), ("--secret-file", flags.secret_file))
    return [name for name, value in sources if value is not None]


def _is_found(flags: Flags) -> bool:
    """True when nothing but the issuer's own URL tells where its keys are."""
    return not _sources(flags) and flags.issuer is not None and flags.issuer.startswith(("https://", "http://"))


def _incomplete_issuer(flags: Flags, *, discover: bool) -> list[Problem]:
    """What is missing or said twice among the flags that describe the issuer."""
    sources = _sources(flags)
    # Without an issuer only the issuer is asked for: its URL may be all that is needed.
    found = discover and (_is_found(flags) or (flags.issuer is None and not flags.any_issuer))
    rules = (
        (
            not sources and not found,
            "--jwks",
            "is required: a file or an https URL with the keys (or --pem, or --secret-file)"
            + (", because --issuer is no URL to find them by" if discover and flags.issuer is not None else ""),
        ),
        (
            len(sources) > 1,
            sources[-1] if sources else "",
            f"keys come from one source, but {' and '.join(sources)} are given",
        ),
        (
            flags.issuer is None and not flags.any_issuer,
            "--issuer",
            "is required: the exact iss claim (or say --any-issuer)",
        ),
        (flags.issuer is not None and flags.any_issuer, "--any-issuer", "contradicts --issuer; keep one"),
        (
            not flags.audience and not flags.any_audience,
            "--audience",
            "is required: an accepted aud claim (or say --any-audience)",
        ),
        (bool(flags.audience) and flags.any_audience, "--any-audience", "contradicts --audience; keep one"),
        (
            flags.secret_file is not None and not flags.algorithm,
            "--algorithm",
            "is required with --secret-file, such as HS256",
        ),
    )
    return [Problem((flag,), message) for wrong, flag, message in rules if wrong]


def _document(flags: Flags) -> dict[str, Any]:
    """Return the document that a file with the same meaning would hold; keys that were not said are not in it."""
    tls = (
        {"tls": {"certificate": flags.tls_cert, "private_key": flags.tls_key}}
        if flags.tls_cert and flags.tls_key
        else {}
    )
    pairs = [claim.split("=") for claim in flags.claim_header if claim.count("=") == 1]
    workers = flags.workers
    said = {
        "listeners": [{"address": address, **tls} for address in flags.listen],
        "issuers": {LABEL: _issuer(flags, discover=True)},
        "clusters": {LABEL: {"endpoints": [{"address": address} for address in flags.backend]}},
        "claim_to_headers": [{"claim": claim, "header": header} for claim, header in pairs],
        "workers": int(workers)
        if workers is not None and workers.isascii() and workers.isdigit() and len(workers) < 6
        else workers,
        "admin": {"address": flags.admin} if flags.admin is not None else None,
        "access_log": {"path": flags.access_log} if flags.access_log is not None else None,
        "state_directory": flags.state_directory,
    }
    return {key: value for key, value in said.items() if value not in (None, [])}


def _issuer(flags: Flags, *, discover: bool) -> dict[str, Any]:
    jwks = flags.jwks
    remote = jwks is not None and "://" in jwks
    said = {
        "issuer": flags.issuer,
        "any_issuer": flags.any_issuer,
        "audiences": list(flags.audience),
        "any_audience": flags.any_audience,
        "algorithms": list(flags.algorithm),
        "jwks_file": None if remote else jwks,
        "remote_jwks": {"uri": jwks} if remote else None,
        "discovery": {} if discover and _is_found(flags) else None,
        "pem_file": flags.pem,
        "secret_file": flags.secret_file,
    }
    return {key: value for key, value in said.items() if value not in (None, [], False)}


# The longest prefix of a key path that is the work of one flag; * stands for an index or a label.
_FLAGS: Final[tuple[tuple[KeyPath, str], ...]] = (
    (("listeners", "*", "tls", "certificate"), "--tls-cert"),
    (("listeners", "*", "tls", "private_key"), "--tls-key"),
    (("listeners", "*", "tls"), "--tls-cert"),
    (("listeners",), "--listen"),
    (("issuers", "*", "issuer"), "--issuer"),
    (("issuers", "*", "any_issuer"), "--any-issuer"),
    (("issuers", "*", "audiences"), "--audience"),
    (("issuers", "*", "any_audience"), "--any-audience"),
    (("issuers", "*", "algorithms"), "--algorithm"),
    (("issuers", "*", "jwks_file"), "--jwks"),
    (("issuers", "*", "remote_jwks"), "--jwks"),
    (("issuers", "*", "discovery"), "--issuer"),
    (("issuers", "*", "pem_file"), "--pem"),
    (("issuers", "*", "secret_file"), "--secret-file"),
    (("clusters",), "--backend"),
    (("claim_to_headers",), "--claim-header"),
    (("workers",), "--workers"),
    (("admin",), "--admin"),
    (("access_log",), "--access-log"),
    (("state_directory",), "--state-directory"),
)


def _under_flag(problem: Problem) -> Problem:
    """Return the problem with the flag it is about in place of the key path; without a path when no single flag is meant."""
    for prefix, flag in _FLAGS:
        head = problem.path[: len(prefix)]
        if len(head) == len(prefix) and all(mine in ("*", theirs) for mine, theirs in zip(prefix, head, strict=True)):
            return replace(problem, path=(flag,), at_key=False)
    return replace(problem, path=())
