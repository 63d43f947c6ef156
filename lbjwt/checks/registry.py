"""
The one list of checks, and which of the three commands asks which: `check` and `serve` those that read the configuration and its files, `doctor`
also those that need the network, sockets or the state of this machine.
"""

import asyncio
import concurrent.futures
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from lbjwt.checks import dangers, files
from lbjwt.checks.key_files import decryption_problems, key_findings
from lbjwt.checks.results import Result
from lbjwt.config.load import Examination
from lbjwt.config.model import Cluster, Configuration
from lbjwt.config.problems import Problem

Command = Literal["check", "serve", "doctor"]

LIMIT: Final = 5.0
"""Seconds for a check that has no limit of its own."""

REVOCATIONS: Final = 30.0
"""Seconds allowed for reading a revocation list of the maximum size."""

MOST_TENANTS: Final = 20
"""Of one issuer whose tenants have keys of their own: all are behind one address, and a thousand fetches at once would be an attack."""

Check = Coroutine[Any, Any, list[Result]]


def text_problems(examination: Examination) -> list[Problem]:
    """Return the errors of a text by itself, or its warnings when it has none."""
    made = examination.configuration
    return list(examination.problems) if made is None else examination.placed(dangers.warnings(made))


def file_findings(configuration: Configuration, command: Command) -> Iterator[Problem | Result]:
    """
    The problems of the files that a configuration names, and for the doctor what they hold when they are good; also of a `partial` configuration,
    whose wrong values have problems already.
    """
    listening = [listener.address for listener in configuration.listeners if hasattr(listener, "address")]
    for at, listener in enumerate(configuration.listeners):
        if listener.tls is not None:
            # the doctor has a check of its own for the dates, with the number of days that are left
            yield from files.tls_problems(("listeners", at, "tls"), listener.tls, dates=command != "doctor")
        address = getattr(listener, "address", None)  # missing in a partial configuration
        if address is not None and address.path is not None:
            yield from files.socket_problems(("listeners", at, "address"), Path(address.path).parent)
        if listener.authorize is not None and listener.authorize.secret_file is not None:
            yield from files.peer_secret_problems(
                ("listeners", at, "authorize", "secret_file"), listener.authorize.secret_file
            )
    for label, cluster in configuration.clusters.items():
        if cluster.tls is not None:
            yield from files.backend_tls_problems(("clusters", label, "tls"), cluster.tls, dates=command != "doctor")
    for label, issuer in configuration.issuers.items():
        if not issuer.key_source or (issuer.key_source.startswith("secret_") and not issuer.algorithms):
            continue  # of a partial configuration
        if issuer.fetch is None:
            yield from key_findings(label, issuer)
        else:
            yield from files.fetch_problems(("issuers", label, issuer.key_source), issuer.fetch)
    for label, issuer in configuration.issuers.items():
        yield from decryption_problems(label, issuer)
    for label, cluster in configuration.clusters.items():
        if cluster.endpoints_file is not None:
            yield from files.endpoints_file_problems(
                ("clusters", label, "endpoints_file"), cluster.endpoints_file, listening
            )
    # the doctor reads the lines of the file, and tells itself when it cannot
    yield from (
        one
        for one in files.revocation_problems(configuration, lines=command == "check")
        if command != "doctor" or one.level == "warning"
    )
    yield from files.state_findings(configuration, here=command == "doctor", lines=command != "serve")
    if command != "serve":  # which opens the log itself
        yield from files.access_log_problems(configuration)


def every_problem(examination: Examination) -> list[Problem]:
    """Return the problems and warnings of a text and of the files it names, in the order of the lines: those that `check` reports."""
    found = () if examination.readable is None else file_findings(examination.readable, "check")
    return _in_order(examination, found)


def start_problems(configuration: Configuration) -> list[Problem]:
    """Return the problems and warnings that `serve` tells before it starts, without places in a text."""
    found = file_findings(configuration, "serve")
    return [*dangers.warnings(configuration), *(one for one in found if isinstance(one, Problem))]


def doctor_results(examination: Examination) -> tuple[list[Problem], list[Result]]:
    """
    Run every check of a configuration without errors: the problems of the text and its files, and the results of the online checks.

    Nothing is changed and nothing is kept: ports are bound and given back, documents are fetched and forgotten.
    """
    configuration = examination.configuration
    assert configuration is not None
    found = list(file_findings(configuration, "doctor"))
    known = {one.subject: one for one in found if isinstance(one, Result)}
    return _in_order(examination, found), asyncio.run(_online_results(configuration, known))


def _in_order(examination: Examination, found: Iterable[Problem | Result]) -> list[Problem]:
    problems = text_problems(examination)
    wrong = [problem.path for problem in problems if problem.level == "error"]
    placed = examination.placed([one for one in found if isinstance(one, Problem)])
    # a value that is wrong in itself has one problem
    problems += [one for one in placed if not any(path[: len(one.path)] == one.path for path in wrong)]
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))


async def _online_results(configuration: Configuration, known: Mapping[str, Result]) -> list[Result]:
    """Run all online checks at once; their results come in the order of the configuration."""
    # here: `lbjwt check` needs none of it, and the HTTP client alone takes longer to import than a check takes
    from lbjwt.assembly.issuers import issuer_instances
    from lbjwt.checks import fetched_keys, machine

    admin, state = configuration.admin, configuration.state_directory
    running = admin is not None and await machine.is_running(admin.address)
    checks: list[Check] = []
    results: list[Result] = []
    for label, group in itertools.groupby(issuer_instances(configuration), lambda instance: instance.label):
        instances, subject = list(group), f"issuers.{label}"
        fetch = instances[0].issuer.fetch
        if fetch is None:
            checks.append(_known(known, subject))
            continue
        for one in instances[:MOST_TENANTS]:
            name = f"issuers.{one.name}"
            checks.append(guarded(name, "keys", fetched_keys.fetched(name, one, fetch), 2 * fetch.timeout + LIMIT))
            if state is not None:
                checks.append(guarded(name, "stored-keys", fetched_keys.stored(name, one, state)))
        for check, path in (("authority", fetch.ca_file), ("client-certificate", fetch.client_certificate)):
            if path is not None:
                checks.append(guarded(subject, check, in_thread(files.certificate_results, subject, check, path)))
        if len(instances) > MOST_TENANTS:
            sentence = (
                f"{len(instances) - MOST_TENANTS} further tenants were not checked: lbjwt did not fetch their keys"
            )
            results.append(Result(subject, "keys", "note", sentence))
    for index, listener in enumerate(configuration.listeners):
        subject = f"listeners[{index}]"
        if listener.tls is not None:
            dates = in_thread(files.certificate_results, subject, "certificate", listener.tls.certificate)
            checks.append(guarded(subject, "certificate", dates))
        port = in_thread(machine.port_results, subject, listener.address, running)
        checks.append(guarded(subject, "port", port))
    if admin is not None:
        port = in_thread(machine.port_results, "admin", admin.address, running)
        checks.append(guarded("admin", "port", port))
    for label, cluster in configuration.clusters.items():
        subject = f"clusters.{label}"
        turns = -(-len(cluster.endpoints) // machine.AT_ONCE)
        longest = cluster.connect_timeout if cluster.health_check is None else cluster.health_check.time_limit
        limit = turns * longest + LIMIT
        checks.append(guarded(subject, "endpoint", machine.endpoint_results(subject, cluster), limit))
        for check, path in _tls_files(cluster):
            checks.append(guarded(subject, check, in_thread(files.certificate_results, subject, check, path)))
    checks.append(_known(known, "state_directory"))
    usable = state if "state_directory" not in known or known["state_directory"].outcome != "problem" else None
    checks.append(guarded("revocation", "revocations", machine.revocation_results(configuration, usable), REVOCATIONS))
    checks.append(guarded("limits", "open-files", in_thread(machine.descriptor_results, configuration)))
    return [*results, *itertools.chain.from_iterable(await asyncio.gather(*checks))]


def _tls_files(cluster: Cluster) -> Iterator[tuple[str, Path]]:
    """Certificates for TLS to endpoints, each with the name of its check."""
    if cluster.tls is not None and cluster.tls.ca is not None:
        yield "authority", cluster.tls.ca
    if cluster.tls is not None and cluster.tls.certificate is not None:
        yield "client-certificate", cluster.tls.certificate


async def _known(known: Mapping[str, Result], subject: str) -> list[Result]:
    """What `file_findings` read; nothing where it told a problem instead."""
    return [known[subject]] if subject in known else []


async def guarded(subject: str, check: str, work: Check, limit: float = LIMIT) -> list[Result]:
    """Run a check that stops no other: one that fails, or takes longer than `limit` seconds, is a problem of its own."""
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:
        sentence = f"did not end within {limit:g} s; something it waits for does not respond"
    except Exception as error:  # the other checks go on, whatever this one raises
        sentence = f"the check failed ({type(error).__name__}): this is a bug of lbjwt, please report it"
    return [Result(subject, check, "problem", sentence)]


async def in_thread(function: Callable[..., Iterable[Result]], *arguments: object) -> list[Result]:
    """
    Run a blocking check in a thread of its own.

    A thread of asyncio's pool that hangs (a file on a server that is gone, a name that does not resolve) would keep the process from ending.
    """
    future: concurrent.futures.Future[list[Result]] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(list(function(*arguments)))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True, name="lbjwt-doctor").start()
    return await asyncio.wrap_future(future)
