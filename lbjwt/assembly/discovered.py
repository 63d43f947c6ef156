"""
What was discovered of the endpoints that a configuration names: addresses of names, endpoints in files, endpoints set over the admin API; and the
configuration that is in force with it.

`in_force` is the one rule: it returns the configuration with the members of each cluster in place of its endpoints. Code that serves,
counts, checks or shows endpoints gets that one; code that compares configurations gets the one that was written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from lbjwt.address import Address, loop_fault
from lbjwt.config import document
from lbjwt.config.endpoint_list import EndpointsError, endpoints_of, read_endpoints, to_json
from lbjwt.config.model import MAX_ENDPOINTS, Cluster, Configuration, Endpoint
from lbjwt.errors import cause_of
from lbjwt.files import file_fault, read_regular, write_whole
from lbjwt.upstream.discovery.answers import RECORD_TYPES, Found, Question
from lbjwt.upstream.discovery.schedule import Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

STORED: Final = "endpoints.json"
"""The file in the state directory: what was known when the service ended, so that a name server that is down at the start takes nothing away."""

MAX_STORED: Final = 64 << 20
"""Bytes of that file: a hundred clusters with a thousand endpoints have 20 MiB."""

log = logging.getLogger("lbjwt.discovery")


@dataclass(frozen=True, slots=True)
class Discovered:
    """Everything that was discovered. Replaced as a whole."""

    answers: Mapping[Question, tuple[Found, ...]] = field(default_factory=dict)
    """The last good answer for each name."""
    files: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    """The last good content of each endpoints file, by its path."""
    replaced: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    """Clusters whose endpoints were set over the admin API; they take the place of those in the configuration and in its file."""
    kept: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    """Members that a cluster had before. They serve while it would have none."""

    def answer(self, question: Question) -> tuple[Found, ...]:
        """The addresses of a name. While a reload has changed how it is resolved, those found in the way before."""
        if (found := self.answers.get(question)) is not None:
            return found
        kinds = RECORD_TYPES[question.family]
        for other, found in self.answers.items():
            if (other.name, other.srv) == (question.name, question.srv):
                return tuple(one for one in found if ("AAAA" if ":" in one.host else "A") in kinds)
        return ()

    def encoded(self) -> bytes:
        """As JSON, without `kept`."""
        return orjson.dumps(
            {
                "answers": [
                    [
                        {**asdict(question), "nameservers": [str(one) for one in question.nameservers]},
                        [asdict(one) for one in found],
                    ]
                    for question, found in self.answers.items()
                ],
                "files": {path: to_json(endpoints) for path, endpoints in self.files.items()},
                "replaced": {name: to_json(endpoints) for name, endpoints in self.replaced.items()},
            }
        )

    @classmethod
    def decoded(cls, text: bytes) -> Discovered:
        """
        Read what `encoded` wrote.

        Raises:
            ValueError: It is something else.
        """
        try:
            data = orjson.loads(text)
            return cls(
                {_question(question): tuple(Found(**one) for one in found) for question, found in data["answers"]},
                # none of a file that could not be used yet
                {path: endpoints_of(endpoints) if endpoints else () for path, endpoints in data["files"].items()},
                {name: endpoints_of(endpoints) for name, endpoints in data["replaced"].items()},
            )
        except (KeyError, TypeError, AttributeError, EndpointsError) as error:
            raise ValueError(str(error)) from None


def _question(data: dict[str, Any]) -> Question:
    nameservers = tuple(Address.parse(one) for one in data.pop("nameservers"))
    return Question(**data, nameservers=nameservers)


def discovers(configuration: Configuration) -> bool:
    """True when something has to be resolved or watched."""
    return any(map(is_discovered, configuration.clusters.values()))


def is_discovered(cluster: Cluster) -> bool:
    """True when endpoints of this cluster have names to resolve, or are in a file to watch."""
    return cluster.endpoints_file is not None or any(endpoint.address.is_name for endpoint in cluster.endpoints)


def files_of(configuration: Configuration) -> list[Path]:
    """The endpoints files of a configuration."""
    files = (cluster.endpoints_file for cluster in configuration.clusters.values())
    return [*dict.fromkeys(file for file in files if file is not None)]


def questions(configuration: Configuration, discovered: Discovered) -> dict[Question, Bounds]:
    """Every name that has to be resolved, also those in files and those set over the admin API."""
    found: dict[Question, Bounds] = {}
    for name, cluster in configuration.clusters.items():
        bounds = Bounds(cluster.resolve.min_ttl, cluster.resolve.max_ttl)
        for endpoint in _listed(name, cluster, discovered):
            if endpoint.address.is_name:
                question = _asked(endpoint, cluster)
                found[question] = bounds.tighter(found.get(question, bounds))
    return found


def in_force(configuration: Configuration, discovered: Discovered | None) -> Configuration:
    """
    Return the configuration with the members of each cluster as its endpoints.

    Args:
        discovered: None when nobody discovers anything: then names stay, and are resolved when a connection is opened.
    """
    if discovered is None:
        return configuration
    listening = [listener.address for listener in configuration.listeners]
    clusters: dict[str, Cluster] = {}
    for name, cluster in configuration.clusters.items():
        members = _no_loops(_members(name, cluster, discovered), listening) or _no_loops(
            discovered.kept.get(name, ()), listening
        )
        clusters[name] = cluster if members == cluster.endpoints else cluster.model_copy(update={"endpoints": members})
    if all(clusters[name] is cluster for name, cluster in configuration.clusters.items()):
        return configuration
    return configuration.model_copy(update={"clusters": clusters})


def left_out(configuration: Configuration, discovered: Discovered) -> dict[tuple[str, str], str]:
    """Cluster and address of each endpoint that `in_force` leaves out because it is a listener of this configuration, with the reason."""
    listening = [listener.address for listener in configuration.listeners]
    return {
        (name, str(member.address)): fault
        for name, cluster in configuration.clusters.items()
        for member in _members(name, cluster, discovered)
        if (fault := loop_fault(member.address, listening))
    }


def _no_loops(members: Iterable[Endpoint], listening: Sequence[Address]) -> tuple[Endpoint, ...]:
    return tuple(member for member in members if not loop_fault(member.address, listening))


def keeping(configuration: Configuration, discovered: Discovered, before: Configuration) -> Discovered:
    """
    Return what is to be put into force: with the members of before for each cluster that would lose all of them.

    Args:
        before: What is in force now, as `in_force` made it.
    """
    bare = in_force(configuration, replace(discovered, kept={}))
    kept = {
        name: before.clusters[name].endpoints
        for name, cluster in bare.clusters.items()
        if not cluster.endpoints and name in before.clusters
    }
    return replace(discovered, kept=kept)


def _listed(name: str, cluster: Cluster, discovered: Discovered) -> Iterator[Endpoint]:
    """The endpoints of a cluster before names are resolved."""
    if name in discovered.replaced:
        yield from discovered.replaced[name]
        return
    yield from cluster.endpoints
    if cluster.endpoints_file is not None:
        yield from discovered.files.get(str(cluster.endpoints_file), ())


def _asked(endpoint: Endpoint, cluster: Cluster) -> Question:
    address, resolve = endpoint.address, cluster.resolve
    return Question(address.host.lower(), address.srv, resolve.family, resolve.nameservers)


def _members(name: str, cluster: Cluster, discovered: Discovered) -> Iterator[Endpoint]:
    """Of an address that is there twice, the first one counts."""
    seen: set[str] = set()
    for endpoint in _listed(name, cluster, discovered):
        for member in (
            _resolved(endpoint, discovered.answer(_asked(endpoint, cluster)))
            if endpoint.address.is_name
            else (endpoint,)
        ):
            if (text := str(member.address)) not in seen and len(seen) < MAX_ENDPOINTS:
                seen.add(text)
                yield member


def _resolved(endpoint: Endpoint, found: Sequence[Found]) -> Iterator[Endpoint]:
    """One endpoint for each address of a name."""
    for one in found:
        address = replace(
            endpoint.address,
            host=one.host,
            port=one.port or endpoint.address.port,
            srv=False,
            resolved_from=one.name,
            domain=endpoint.address.service_domain,
        )
        backup = endpoint.backup or one.backup
        yield endpoint.model_copy(update={"address": address, "weight": endpoint.weight * one.weight, "backup": backup})


def read_file(path: Path) -> tuple[Endpoint, ...]:
    """
    Return the endpoints in an endpoints file.

    Raises:
        EndpointsError: It cannot be read, or something in it is wrong.
    """
    try:
        content, _ = read_regular(path, document.MAX_BYTES)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise EndpointsError(f"cannot be read: {cause_of(error)}") from None
    except UnicodeDecodeError:
        raise EndpointsError("not UTF-8") from None
    try:
        return read_endpoints(text, path.parent)
    except EndpointsError:
        if path.suffix == ".json":
            _check_json(text)
        raise


def _check_json(text: str) -> None:
    """Raise EndpointsError where a text is not JSON, in the words for JSON: most of it is YAML too."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise EndpointsError(f"line {error.lineno}: not JSON: {error.msg.lower()}") from None
    except RecursionError:
        raise EndpointsError("not JSON: it is nested too deeply") from None


def initial(configuration: Configuration, directory: Path | None) -> Discovered:
    """
    What is known when the service starts: the endpoints files, and what the last run stored. Blocks while it reads.

    Args:
        directory: The configured state directory; None without one.
    """
    stored = _stored(directory)
    files: dict[str, tuple[Endpoint, ...]] = {}
    for path in files_of(configuration):
        try:
            files[str(path)] = read_file(path)
        except EndpointsError as error:
            files[str(path)] = known = stored.files.get(str(path), ())
            log.error("endpoints_file %s: %s; %s", path, error, stay(known))
    unused = stored.replaced.keys() - configuration.clusters.keys()
    if unused:
        log.warning("endpoints set over the admin API are not used: there is no cluster %s", ", ".join(sorted(unused)))
    return replace(stored, files=files)


def stay(endpoints: Sequence[Endpoint]) -> str:
    """What becomes of the endpoints that a file had, when it cannot be used."""
    if not endpoints:
        return "it has no endpoints until it is mended"
    return (
        f"its last {len(endpoints)} endpoints stay in use" if len(endpoints) > 1 else "its last endpoint stays in use"
    )


def _stored(directory: Path | None) -> Discovered:
    """What the last run stored; nothing of a file that somebody else could have written, or that is damaged."""
    if directory is None:
        return Discovered()
    path = directory / STORED
    try:
        content, status = read_regular(path, MAX_STORED)
    except FileNotFoundError:
        return Discovered()
    except OSError as error:
        log.error("%s is not used: %s", path, cause_of(error))
        return Discovered()
    fault = file_fault(status)
    if not fault:
        try:
            return Discovered.decoded(content)
        except ValueError:
            fault = "it is damaged"
    log.error("%s is not used: %s", path, fault)
    return Discovered()


def store(directory: Path, discovered: Discovered, *, sync: bool) -> None:
    """
    Write down what is known, for the next start.

    Args:
        sync: It must survive a power cut: somebody was told that it does.

    Raises:
        OSError: It cannot be written; the old file is still there.
    """
    write_whole(directory / STORED, discovered.encoded(), sync=sync)


def pruned(discovered: Discovered, names: Iterable[Question], files: Iterable[Path]) -> Discovered:
    """Without what nothing refers to any more."""
    wanted, paths = set(names), {str(path) for path in files}
    return replace(
        discovered,
        answers={question: found for question, found in discovered.answers.items() if question in wanted},
        files={path: endpoints for path, endpoints in discovered.files.items() if path in paths},
    )
