"""
The flags of ``lbjwt serve`` as a configuration: the same object a file makes.

Errors name flags, not keys. Flags give the names of files with secrets, never secrets: every user of a machine can read its command lines.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from lbjwt.config.fields import Source
from lbjwt.config.issuer import Issuer
from lbjwt.config.model import Configuration
from lbjwt.config.problems import ConfigurationError, Problem, describe
from lbjwt.config.section import Section

S = TypeVar("S", bound=Section)

LABEL: Final = "main"  # of the one issuer and the one cluster that flags can describe

# The flag that gives the value of a key and of what is below it.
_FLAGS: Final[dict[str | int, str]] = {
    "listeners": "--listen",
    "tls": "--tls-cert",
    "certificate": "--tls-cert",
    "private_key": "--tls-key",
    "issuer": "--issuer",
    "any_issuer": "--any-issuer",
    "audiences": "--audience",
    "any_audience": "--any-audience",
    "algorithms": "--algorithm",
    "jwks_file": "--jwks",
    "remote_jwks": "--jwks",
    "discovery": "--issuer",
    "pem_file": "--pem",
    "secret_file": "--secret-file",
    "clusters": "--backend",
    "claim_to_headers": "--claim-header",
    "workers": "--workers",
    "admin": "--admin",
    "access_log": "--access-log",
    "state_directory": "--state-directory",
}

# A key in a sentence about several. "issuer" and "algorithms" are keys only before these signs, else plain words.
_KEY: Final = re.compile(r"\b(\w+_\w+|audiences|(?:issuer|algorithms)(?=[,;]))\b(: true)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The flags of the command line; None, () or False if not given."""

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
    document, wrong = _document(flags)
    return _validated(Configuration, document, wrong, directory)


def issuer_from_flags(flags: Flags, directory: Path) -> Issuer:
    """
    Build only the issuer that the flags describe, with keys that are given and not looked for.

    Raises:
        ConfigurationError: With every problem, each under the flag it is about.
    """
    document, wrong = _issuer(flags, discover=False)
    return _validated(Issuer, document, wrong, directory)


def _validated(model: type[S], document: dict[str, Any], wrong: list[Problem], directory: Path) -> S:
    """The section; ConfigurationError with the problems in `wrong` and those of the values."""
    try:
        section = model.model_validate(document, context=Source(directory))
    except ValidationError as error:
        found = problems_under_flags(describe(error, model))
        raise ConfigurationError(dict.fromkeys([*wrong, *found])) from None
    if wrong:
        raise ConfigurationError(wrong)
    return section


def problems_under_flags(problems: Iterable[Problem]) -> list[Problem]:
    """The problems of a configuration that flags made, each with its flag in place of its key path, or no path when no single flag is meant."""
    return [_under_flag(problem) for problem in problems]


def _under_flag(problem: Problem) -> Problem:
    flag = next((_FLAGS[step] for step in reversed(problem.path) if step in _FLAGS), None)
    message = problem.message
    if problem.code in ("inconsistent", "invalid"):
        message = _KEY.sub(lambda key: _FLAGS.get(key[1], key[0]), message)
    return replace(problem, path=() if flag is None else (flag,), message=message, at_key=False)


def _document(flags: Flags) -> tuple[dict[str, Any], list[Problem]]:
    """The equivalent document of a file, and the problems that only flags can have."""
    tls = _said({"certificate": flags.tls_cert, "private_key": flags.tls_key})
    issuer, wrong = _issuer(flags, discover=True)
    pairs = [claim.split("=") for claim in flags.claim_header]
    if any(len(pair) != 2 for pair in pairs):
        wrong.append(Problem(("--claim-header",), "must have the form CLAIM=Header-Name, such as sub=X-Jwt-Sub"))
    workers = flags.workers
    endpoints = [{"address": address} for address in flags.backend]
    document = {
        "listeners": [_said({"address": address, "tls": tls or None}) for address in flags.listen],
        "issuers": {LABEL: issuer},
        "clusters": {LABEL: {"endpoints": endpoints}} if endpoints else None,
        "claim_to_headers": [{"claim": pair[0], "header": pair[1]} for pair in pairs if len(pair) == 2],
        "workers": int(workers) if workers is not None and re.fullmatch("[0-9]{1,5}", workers) else workers,
        "admin": {"address": flags.admin} if flags.admin is not None else None,
        "access_log": {"path": flags.access_log} if flags.access_log is not None else None,
        "state_directory": flags.state_directory,
    }
    return _said(document), wrong


def _issuer(flags: Flags, *, discover: bool) -> tuple[dict[str, Any], list[Problem]]:
    """The issuer that the flags describe, and an error if they give no keys."""
    jwks, discovery = flags.jwks, None
    wrong: list[Problem] = []
    if {flags.jwks, flags.pem, flags.secret_file} == {None}:
        if discover and flags.issuer is not None and flags.issuer.startswith(("https://", "http://")):
            discovery = dict[str, Any]()
        else:
            jwks = "-"  # so that only the problem below is reported, or only that of a missing issuer
            why = (
                ", because lbjwt can discover the keys only if --issuer is a URL"
                if discover and flags.issuer is not None
                else ""
            )
            sentence = f"is required: give a file or an https URL with the keys (or use --pem or --secret-file){why}"
            if flags.issuer is not None or flags.any_issuer or not discover:
                wrong.append(Problem(("--jwks",), sentence))
    remote = jwks is not None and "://" in jwks
    document = {
        "issuer": flags.issuer,
        "any_issuer": flags.any_issuer,
        "audiences": list(flags.audience),
        "any_audience": flags.any_audience,
        "algorithms": list(flags.algorithm),
        "discovery": discovery,
        "jwks_file": None if remote else jwks,
        "remote_jwks": {"uri": jwks} if remote else None,
        "pem_file": flags.pem,
        "secret_file": flags.secret_file,
    }
    return _said(document), wrong


def _said(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None and value is not False and value != []}
