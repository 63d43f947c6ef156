"""What the readers share: values that every product has, in the words of lbjwt."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from lbjwt.auth.identity import check_header_name
from lbjwt.errors import ConfigurationError
from lbjwt.imports.draft import Draft, Noted
from lbjwt.imports.findings import Findings, Place
from lbjwt.routing.table import check_host, check_path
from lbjwt.units import format_duration
from lbjwt.url import split_url

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def seconds(value: float, least: float, most: float) -> str:
    """A duration within the bounds of a key."""
    return format_duration(round(min(max(value, least), most), 3))


def host_of(text: str, findings: Findings, place: Place) -> str | None:
    """A host that a route can have, without its port; None with a finding for any other pattern."""
    name = re.sub(r":[0-9]+$", "", text).lower().rstrip(".")
    try:
        return check_host(name)
    except ConfigurationError:
        findings.left_out(place, f"the host pattern {text}: write the hosts out, or *.NAME for all hosts below a name")
        return None


def usable_path(path: str, findings: Findings, place: Place) -> bool:
    """Whether a route can have this path or prefix; a finding says why not."""
    try:
        check_path(path)
    except ConfigurationError as error:
        findings.left_out(place, f"the path {path}: {error}")
        return False
    return True


def usable_stem(path: str) -> str:
    """The longest path above this one that a route can have."""
    while path.strip("/"):
        path = path.rstrip("/").rpartition("/")[0] or "/"
        try:
            check_path(path)
        except ConfigurationError:
            continue
        return path
    return "/"


def remote_keys(uri: str, findings: Findings, place: Place, **more: Any) -> dict[str, Any] | None:
    """The section `remote_jwks`; None with a finding when lbjwt cannot fetch from there."""
    try:
        parts = split_url(uri)
    except ValueError as error:
        findings.left_out(place, f"the URL of the keys: {error}")
        return None
    keys: dict[str, Any] = {"uri": uri, **more}
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        findings.unsafe(
            place,
            f"the keys come over plain http from {parts.hostname}, so anybody on the path can replace them; use https",
        )
        keys["allow_http"] = Noted(True, "unsafe: use https")
    return keys


def claim_path(steps: Sequence[str]) -> str | list[str]:
    """Names from the claims inward as configurations write them: one name alone is no list."""
    return steps[0] if len(steps) == 1 else list(steps)


def one_of(claim: str | list[str], values: Sequence[Any]) -> dict[str, Any]:
    """A rule: the claim has one of these values."""
    return {"claim": claim, "equals": values[0]} if len(values) == 1 else {"claim": claim, "one_of": list(values)}


def issuer_hint(name: str) -> str:
    """What the label of an issuer is made of: its host."""
    return name.split("://")[-1].split("/")[0]


def accept_audiences(issuer: dict[str, Any], audiences: Iterable[str], findings: Findings, place: Place) -> None:
    """Have an issuer of the draft accept these audiences too; any if there are none."""
    if "audiences" not in issuer:
        return
    more = [*audiences]
    if more:
        issuer["audiences"] = list(dict.fromkeys([*issuer["audiences"], *more]))
    else:
        del issuer["audiences"]
        issuer |= any_audience(findings, place)


def missing_keys(label: str) -> dict[str, Any]:
    """A key source for an issuer whose keys could not be taken over: a file that does not exist yet."""
    return {"jwks_file": Noted(f"{label}.jwks.json", "put the keys of the issuer here")}


def identity_header(draft: Draft, findings: Findings, place: Place, header: str, settings: dict[str, Any]) -> None:
    """Add a claim as a header, or say why the header cannot have this name."""
    try:
        check_header_name(header)
    except ConfigurationError as error:
        findings.left_out(place, f"the header {header} with a claim: {error}")
        return
    draft.add_claim_header({**settings, "header": header})


def any_issuer(findings: Findings, place: Place) -> dict[str, Any]:
    """An issuer whose name nobody checks."""
    findings.unsafe(
        place,
        "no issuer is checked, so tokens of any issuer pass that the key fits; write issuer instead of any_issuer",
    )
    return {"any_issuer": Noted(True, "unsafe: write issuer: …")}


def any_audience(findings: Findings, place: Place) -> dict[str, Any]:
    """An issuer whose audience nobody checks."""
    findings.unsafe(
        place, "no audience is checked, so tokens for other services pass; write audiences instead of any_audience"
    )
    return {"any_audience": Noted(True, "unsafe: write audiences: [...]")}


def optional_expiration(findings: Findings, place: Place) -> dict[str, Any]:
    """An issuer whose tokens need no exp."""
    findings.unsafe(place, "a token without exp passes and never expires; remove require_expiration: false")
    return {"require_expiration": Noted(False, "unsafe: remove this line")}
