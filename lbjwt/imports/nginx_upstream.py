"""nginx's upstream groups and ``proxy_pass`` as clusters."""

import re
from pathlib import Path
from typing import Any, Final

from lbjwt.imports.common import seconds
from lbjwt.imports.draft import Draft, Noted, no_endpoints
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.nginx_file import Directive, Levels, seconds_of, setting

_SILENT: Final = {
    "zone", "server", "keepalive", "keepalive_requests", "keepalive_timeout", "keepalive_time", "resolver", "resolver_timeout",
    "least_conn", "ip_hash", "hash", "random", "sticky", "least_time", "queue", "state",
}  # fmt: skip


class Upstreams:
    """The backends of a file. One becomes a cluster when a location passes requests to it."""

    def __init__(self, http: Directive, directory: Path, draft: Draft, findings: Findings) -> None:
        self._directory = directory
        self._groups = {one.args[0]: one for one in http.all("upstream") if one.args}
        self._draft = draft
        self._findings = findings

    def cluster(self, url: str, place: Place, levels: Levels) -> tuple[str, str] | None:
        """
        The label of the cluster that a URL of ``proxy_pass`` or ``grpc_pass`` means, and the path in it ("" if it has none).

        Returns:
            None, with a finding, when the URL is not known before a request.
        """
        match = re.fullmatch(
            r"(https?|grpcs?)://(unix:[^:]+|\[[^\]]+\](?::[0-9]+)?|[^/:$\s]+(?::[0-9]+)?)(:?/[^\s]*)?",
            self._set(url, levels),
        )
        if match is None or "$" in (match[2] or ""):
            self._findings.left_out(
                place,
                f"{url}: the backend is chosen by a variable; write the clusters, and cluster: {{claim: …}} if a claim chooses",
            )
            return None
        scheme, authority, path = match[1], match[2], (match[3] or "").removeprefix(":")
        https = scheme in ("https", "grpcs")
        group = self._groups.get(authority)
        hint = authority if group is not None else re.sub(r":[0-9]+$", "", authority)
        made: dict[str, Any] = (
            self._group(group, https)
            if group is not None
            else {"endpoints": [{"address": _address(authority, https, 443 if https else 80)}]}
        )
        if scheme.startswith("grpc"):
            made["protocol"] = "http2"
        self._times(levels, made)
        if https:
            self._tls(levels, made, authority)
        return self._draft.add_cluster(hint, made), path

    def _set(self, url: str, levels: Levels) -> str:
        """The URL with variables replaced that `set` gives a fixed value."""
        for block in levels:
            for one in block.all("set"):
                if len(one.args) == 2 and "$" not in one.args[1]:
                    url = re.sub(re.escape(one.args[0]) + r"(?![A-Za-z0-9_])", lambda _, value=one.args[1]: value, url)  # type: ignore[misc]
        return url

    def _group(self, group: Directive, https: bool) -> dict[str, Any]:
        made: dict[str, Any] = {"endpoints": []}
        for one in group.all("server"):
            self._server(one, https, made)
        if not made["endpoints"]:
            self._findings.left_out(
                group.place, f"the upstream {group.args[0]} has no servers in this file; write its endpoints"
            )
            made["endpoints"] = no_endpoints(f"the endpoints of {group.args[0]}")
        made["balancing"] = self._balancing(group)
        if made["balancing"] == "least_requests":
            del made["balancing"]
        if (keep := group.first("keepalive")) is not None and keep.args[0].isdigit():
            made["max_idle_connections"] = int(keep.args[0])
        for one in group.block:
            if one.name not in _SILENT:
                self._findings.left_out(one.place, f"{one.name} in an upstream")
        return made

    def _server(self, one: Directive, https: bool, made: dict[str, Any]) -> None:
        options = dict(arg.partition("=")[::2] for arg in one.args[1:])
        entry: dict[str, Any] = {"address": _address(one.args[0], https, 80)}
        if "service" in options:
            entry["address"] = f"{'https+' if https else ''}srv:_{options['service'].lstrip('_')}._tcp.{one.args[0]}"
        if "down" in options:
            entry["weight"] = 0
        elif options.get("weight", "1") != "1":
            entry["weight"] = min(int(options["weight"]), 1000)
        if options.get("max_conns", "0") != "0":
            entry["max_connections"] = int(options["max_conns"])
        if "backup" in options:
            entry["backup"] = True
        if (slow := seconds_of(options.get("slow_start", ""))) is not None:
            made["slow_start"] = seconds(slow, 0, 3600)
        if options.get("max_fails") == "0":
            made["ejection"] = False
        if entry["address"] not in [other["address"] for other in made["endpoints"]]:
            made["endpoints"].append(entry)

    def _balancing(self, group: Directive) -> Any:
        if group.first("least_conn") is not None:
            return "least_requests"
        if (least := group.first("least_time")) is not None:
            if least.args[:1] != ("header",):
                self._findings.approximated(
                    least.place, "least_time; lbjwt measures the time to the head of a response, as least_time header"
                )
            return "least_time"
        if group.first("ip_hash") is not None:
            return {"method": "hash", "hash_on": "client_address"}
        if (random := group.first("random")) is not None:
            return "power_of_two" if "two" in random.args else "random"
        if (sticky := group.first("sticky")) is not None and sticky.args[:1] == ("cookie",):
            return {"method": "cookie", "cookie": sticky.args[1]}
        if sticky is not None:
            self._findings.left_out(
                sticky.place, "this form of sticky; write balancing: {method: cookie, cookie: NAME}"
            )
        if (hashed := group.first("hash")) is not None:
            key = _hash_key(hashed.args[0])
            if key is not None:
                return {"method": "hash", "hash_on": key}
            self._findings.left_out(
                hashed.place, f"hash {hashed.args[0]}; lbjwt hashes the client address, a header, a cookie or a claim"
            )
        return "round_robin"

    def _times(self, levels: Levels, made: dict[str, Any]) -> None:
        told = setting(levels, "proxy_connect_timeout") or setting(levels, "grpc_connect_timeout")
        if told is not None and (time := seconds_of(told.args[0])) is not None:
            made["connect_timeout"] = seconds(time, 0.01, 60)
        if (tries := setting(levels, "proxy_next_upstream")) is not None and tries.args == ("off",):
            made["retries"] = 0

    def _tls(self, levels: Levels, made: dict[str, Any], authority: str) -> None:
        rules: dict[str, Any] = {}
        files = {
            "proxy_ssl_trusted_certificate": "ca",
            "proxy_ssl_certificate": "certificate",
            "proxy_ssl_certificate_key": "private_key",
        }
        for name, key in files.items():
            if (told := setting(levels, name)) is not None:
                rules[key] = str(self._directory / told.args[0])
        if (name_told := setting(levels, "proxy_ssl_name")) is not None and "$" not in name_told.args[0]:
            rules["server_name"] = name_told.args[0]
        verified = setting(levels, "proxy_ssl_verify")
        if verified is None or verified.args != ("on",):
            rules.pop("ca", None)
            rules["verify"] = Noted(
                False, "unsafe: write ca: FILE, or remove this line to use the system's authorities"
            )
            place = verified.place if verified is not None else levels[-1].place
            self._findings.unsafe(
                place,
                f"the certificate of {authority} is not verified (proxy_ssl_verify is off); remove verify: false, write ca",
            )
        if rules:
            made["tls"] = rules


def _address(text: str, https: bool, port: int) -> str:
    if text.startswith("unix:"):
        return text
    if not re.search(r":[0-9]+$", text) or text.endswith("]"):
        text = f"{text}:{port}"
    return f"https://{text}" if https else text


def _hash_key(text: str) -> str | None:
    if text in ("$remote_addr", "$binary_remote_addr", "$realip_remote_addr"):
        return "client_address"
    for start, kind in (("$cookie_", "cookie"), ("$jwt_claim_", "claim"), ("$http_", "header")):
        if text.startswith(start) and re.fullmatch(r"\$[A-Za-z0-9_]+", text):
            name = text.removeprefix(start)
            return f"{kind}:{name.replace('_', '-') if kind == 'header' else name}"
    return None
