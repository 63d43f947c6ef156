"""
The one list of checks. `lbjwt check` runs the static ones, which read the configuration and its files; `lbjwt doctor` runs them too, and those
that need the network, sockets or the state of this machine.
"""

import itertools
from typing import Final

from lbjwt.checks.dangers import warnings
from lbjwt.checks.files import file_problems
from lbjwt.checks.results import OnlineCheck, Result, blocking, run
from lbjwt.config.load import Examination
from lbjwt.config.model import Configuration
from lbjwt.config.problems import Problem

MOST_TENANTS: Final = 20
"""Of one issuer whose tenants have keys of their own: all are behind one address, and a thousand fetches at once would be an attack."""


def text_problems(examination: Examination) -> list[Problem]:
    """Return the problems and warnings of a text by itself."""
    made = examination.configuration
    return [*examination.problems, *(examination.placed(warnings(made)) if made is not None else ())]


def every_problem(examination: Examination) -> list[Problem]:
    """Return the problems and warnings of a text and of the files it names, in the order of the lines."""
    problems = text_problems(examination)
    if examination.readable is not None:
        found = examination.placed(list(file_problems(examination.readable)))
        wrong = [problem.path for problem in problems if problem.level == "error"]
        # a value that is wrong in itself has one problem
        problems += [one for one in found if not any(path[: len(one.path)] == one.path for path in wrong)]
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))


async def online_results(configuration: Configuration) -> list[Result]:
    """
    Run all online checks at once, in the order of the configuration.

    Nothing is changed and nothing is kept: ports are bound and given back, documents are fetched and forgotten.
    """
    # here: `lbjwt check` needs none of it, and the HTTP client alone takes longer to import than a check takes
    from lbjwt.assembly.issuers import issuer_instances
    from lbjwt.checks.certificates import certificate_results, fetch_certificate_checks
    from lbjwt.checks.fetched_keys import issuer_checks
    from lbjwt.checks.machine import machine_checks
    from lbjwt.checks.network import cluster_check, is_running, port_results

    admin = configuration.admin
    running = admin is not None and await is_running(admin.address)
    checks: list[OnlineCheck] = []
    left_out: list[Result] = []
    for label, group in itertools.groupby(issuer_instances(configuration), lambda instance: instance.label):
        instances = list(group)
        for instance in instances[:MOST_TENANTS]:
            checks += issuer_checks(instance, configuration.state_directory)
        if instances[0].issuer.fetch is not None:
            checks += fetch_certificate_checks(f"issuers.{label}", instances[0].issuer.fetch)
        if len(instances) > MOST_TENANTS:
            sentence = (
                f"{len(instances) - MOST_TENANTS} further tenants were not checked: lbjwt did not fetch their keys"
            )
            left_out.append(Result(f"issuers.{label}", "keys", "note", sentence))
    for index, listener in enumerate(configuration.listeners):
        subject = f"listeners[{index}]"
        if listener.tls is not None:
            ask = blocking(certificate_results, subject, "certificate", listener.tls.certificate)
            checks.append(OnlineCheck(subject, "certificate", ask))
        checks.append(OnlineCheck(subject, "port", blocking(port_results, subject, listener.address, running)))
    if admin is not None:
        checks.append(OnlineCheck("admin", "port", blocking(port_results, "admin", admin.address, running)))
    checks += [cluster_check(label, cluster) for label, cluster in configuration.clusters.items()]
    checks += machine_checks(configuration)
    return [*left_out, *await run(checks)]
