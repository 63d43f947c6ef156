"""A provider of Envoy's ``jwt_authn``: where its keys come from, and which tokens it accepts where, in the words of an issuer."""

import json
from typing import Any, Final

from lbjwt.imports.common import missing_keys, optional_expiration, remote_keys, seconds
from lbjwt.imports.draft import Noted
from lbjwt.imports.envoy_cluster import Clusters
from lbjwt.imports.envoy_values import duration
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.reading import Value
from lbjwt.jose.mistaken import SECRET_MEMBERS
from lbjwt.url import split_url

LONGEST: Final = 315_360_000  # seconds: of a time in the configuration
PLACES: Final = ("from_headers", "from_params", "from_cookies")


def keys_of(name: str, value: Value, clusters: Clusters, findings: Findings) -> dict[str, Any]:
    remote, local = value.get("remote_jwks"), value.get("local_jwks")
    if remote is not None:
        return _remote(name, remote, clusters, findings)
    if local is None:
        findings.left_out(value.place, f"the provider {name} has no keys")
        return missing_keys(name)
    if file := local.text("filename"):
        return {"jwks_file": file}
    text = local.text("inline_string")
    try:
        keys = json.loads(text)
        secret = any(member in key for key in keys["keys"] for member in SECRET_MEMBERS)
    except (ValueError, TypeError, KeyError):
        findings.left_out(local.place, f"the keys of {name}, which are no JWK Set in the file; put them into a file")
        return missing_keys(name)
    if secret:
        findings.left_out(
            local.place,
            f"the secret keys of {name}, which do not belong in a configuration; put the JWK Set into {name}.jwks.json with mode 600",
        )
        return {**missing_keys(name), "algorithms": ["HS256", "HS384", "HS512"]}
    return {"jwks": keys}


def _remote(name: str, remote: Value, clusters: Clusters, findings: Findings) -> dict[str, Any]:
    http = remote.get("http_uri")
    uri = http.text("uri") if http is not None else ""
    more: dict[str, Any] = {}
    cached = duration(remote.get("cache_duration"))
    if cached is not None and cached != 300:
        more["refresh_interval"] = seconds(cached, 1, 86_400)
    for key in ("async_fetch", "retry_policy"):
        remote.get(key)
    cluster = http.text("cluster") if http is not None else ""
    if http is not None and (timeout := duration(http.get("timeout"))) is not None and timeout != 5:
        more["timeout"] = seconds(timeout, 0.1, 60)
    if authorities := clusters.authorities(cluster):
        more["ca_file"] = authorities
    address = clusters.fetch_address(cluster)
    uri = _reached(uri, address, remote.place, findings)
    found = remote_keys(uri, findings, remote.place, **more)
    return missing_keys(name) if found is None else {"remote_jwks": found}


def _reached(uri: str, address: str, place: Place, findings: Findings) -> str:
    """The URL with the host that Envoy really connects to: that of the cluster."""
    try:
        parts = split_url(uri)
    except ValueError:
        return uri
    host = address.rpartition(":")[0].strip("[]")
    if not address or host == parts.hostname:
        return uri
    if parts.scheme == "http":
        findings.approximated(
            place,
            f"the keys come from {address}, the address of the cluster, with this host instead of {parts.hostname}",
        )
        return f"http://{address}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
    if not host.replace(".", "").isdigit():
        findings.approximated(
            place,
            f"Envoy fetches these keys from {address}, the address of the cluster; lbjwt from {parts.hostname}, the host of the URL",
        )
    return uri


def times_of(value: Value, findings: Findings) -> dict[str, Any]:
    made: dict[str, Any] = {}
    skew = value.whole("clock_skew_seconds")
    if skew is not None and skew not in (0, 60):
        made["clock_skew"] = seconds(skew, 0, 300)
        if skew > 300:
            findings.approximated(value.place, "a clock skew of more than 300 seconds becomes 5m")
    expires = value.get("require_expiration")
    if expires is None or not expires.data:
        made |= optional_expiration(findings, value.place)
    longest = value.get("max_lifetime")
    if longest is not None:
        made["max_remaining"] = seconds(duration(longest) or 1, 1, LONGEST)
    return made


def locations_of(value: Value, findings: Findings) -> dict[str, Any]:
    forward = value.get("forward")
    kept = forward is not None and forward.data is True
    headers, params, cookies = ([*value.members(key)] for key in PLACES)
    made: dict[str, Any] = {}
    if not headers and not params and not cookies:
        made["from_headers"] = [{"name": "Authorization", "forward": kept}]
        made["from_params"] = [
            Noted({"name": "access_token", "forward": kept}, "where Envoy looks, too; remove it if no client needs it")
        ]
        return made
    found: list[Any] = []
    for one in headers:
        name, prefix = one.text("name"), one.text("value_prefix")
        if prefix and not prefix.endswith(" "):
            findings.left_out(
                one.place, f"the token in {name} after {prefix}; lbjwt reads a scheme, a space and the token"
            )
            continue
        entry: dict[str, Any] = {"name": name}
        if prefix.strip() != "Bearer":
            entry["scheme"] = prefix.strip()
        found.append({**entry, "forward": kept})
    if found:
        made["from_headers"] = found
    if params:
        made["from_params"] = [{"name": str(one.data), **({"forward": True} if kept else {})} for one in params]
    if cookies:
        made["from_cookies"] = [{"name": str(one.data), **({"forward": True} if kept else {})} for one in cookies]
    return made or {"from_headers": [{"name": "Authorization", "forward": kept}]}


def subjects_of(value: Value, findings: Findings) -> dict[str, Any] | None:
    """The settings for ``subjects``; None with a finding for a pattern that lbjwt does not have."""
    subjects = value.get("subjects")
    if subjects is None:
        return {}
    ignores_case = subjects.get("ignore_case")
    for kind, key in (("exact", "subjects"), ("prefix", "subject_prefixes"), ("suffix", "subject_suffixes")):
        if (text := subjects.text(kind)) and (ignores_case is None or not ignores_case.data):
            return {key: [text]}
    findings.left_out(
        subjects.place,
        "a pattern of subjects; lbjwt compares whole subjects, prefixes and suffixes: its routes are closed until you decide",
    )
    return None
