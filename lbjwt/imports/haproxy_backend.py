"""HAProxy's backends as clusters."""

import re
from typing import Any, Final

from lbjwt.imports.common import seconds
from lbjwt.imports.draft import Draft, Noted, no_endpoints
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.haproxy_file import Line, Section, pairs

_SILENT: Final = {
    "mode", "server", "default-server", "balance", "acl", "http-request", "http-response", "http-reuse", "log", "description", "id",
    "server-template", "retries", "retry-on", "fullconn", "hash-type", "hash-balance-factor", "use_backend", "default_backend", "bind",
    "maxconn", "errorfile", "http-after-response",
}  # fmt: skip
_SILENT_OPTIONS: Final = {
    "forwardfor", "httplog", "dontlognull", "http-server-close", "http-keep-alive", "redispatch", "httpchk", "log-health-checks",
    "prefer-last-server", "splice-auto", "tcp-smart-connect", "http-use-htx", "forwarded", "http-buffer-request", "tcpka", "clitcpka",
    "srvtcpka", "abortonclose", "log-separate-errors", "dontlog-normal", "contstats", "socket-stats", "tcplog",
}  # fmt: skip


class Backends:
    """The backends of a file. One becomes a cluster when a frontend uses it."""

    def __init__(self, sections: list[Section], draft: Draft, findings: Findings) -> None:
        self.sections = {one.name: one for one in sections if one.kind in ("backend", "listen")}
        self._draft = draft
        self._findings = findings
        self._labels: dict[str, str] = {}

    def label(self, name: str, place: Place) -> str:
        """The label of the cluster of a backend."""
        if name not in self._labels:
            section = self.sections.get(name)
            if section is None:
                self._findings.left_out(
                    place, f"the backend {name}, which this file does not have; write its endpoints"
                )
                made: dict[str, Any] = {"endpoints": no_endpoints(f"the endpoints of {name}")}
            else:
                made = self._cluster(section)
            self._labels[name] = self._draft.add_cluster(name, made)
        return self._labels[name]

    def _cluster(self, section: Section) -> dict[str, Any]:
        made: dict[str, Any] = {"endpoints": []}
        common = [
            word
            for source in (section.defaults, section)
            if source is not None
            for line in source.all("default-server")
            for word in line.words[1:]
        ]
        checks: dict[str, Any] = {}
        for line in section.all("server"):
            self._server(line, common, made, checks)
        for line in section.all("server-template"):
            self._template(line, common, made, checks)
        if not made["endpoints"]:
            self._findings.left_out(section.place, f"the backend {section.name} has no server; write its endpoints")
            made["endpoints"] = no_endpoints()
        self._balance(section, made)
        for name, key, most in (
            ("connect", "connect_timeout", 60),
            ("server", "response_timeout", 3600),
            ("queue", "pending_timeout", 300),
        ):
            told = section.last("timeout", name)
            if told is not None and (time := milliseconds(told.words[2])) is not None:
                made[key] = seconds(time / 1000, 0.01, most)
        self._health(section, made, checks)
        self._unknown(section)
        return made

    def _server(self, line: Line, common: list[str], made: dict[str, Any], checks: dict[str, Any]) -> None:
        words = [*common, *line.words[3:]]
        address = line.words[2]
        entry: dict[str, Any] = {}
        if address.startswith(("unix@", "/")):
            entry["address"] = f"unix:{address.removeprefix('unix@')}"
        else:
            address = address.removeprefix("ipv4@").removeprefix("ipv6@")
            if not re.search(r":[0-9]+$", address):
                self._findings.left_out(
                    line.place, f"the server {line.words[1]} has no port; write its address as HOST:PORT"
                )
                return
            entry["address"] = f"https://{address}" if "ssl" in words else address
        for word, value in pairs(words):
            if word == "weight" and value.isdigit() and value != "1":
                entry["weight"] = int(value)
            elif word == "maxconn" and value.isdigit() and value != "0":
                entry["max_connections"] = min(int(value), 65_536)
            elif word == "slowstart" and (time := milliseconds(value)) is not None:
                made["slow_start"] = seconds(time / 1000, 0, 3600)
            elif word == "inter" and (time := milliseconds(value)) is not None:
                checks["interval"] = seconds(time / 1000, 0.1, 3600)
            elif word in ("rise", "fall") and value.isdigit():
                checks[word] = int(value)
            elif word == "proto" and value == "h2":
                made["protocol"] = "http2"
            elif word == "port" and value.isdigit():
                checks["port"] = int(value)
        if "backup" in words:
            entry["backup"] = True
        if "disabled" in words:
            entry["weight"] = 0
        if "check" in words:
            checks.setdefault("interval", "2s")
        if "ssl" in words:
            self._tls(line, words, made)
        if "send-proxy" in words or "send-proxy-v2" in words:
            self._findings.left_out(
                line.place, "send-proxy; backends of lbjwt get the client's address in X-Forwarded-For"
            )
        if entry["address"] not in [other["address"] for other in made["endpoints"]]:
            made["endpoints"].append(entry)

    def _template(self, line: Line, common: list[str], made: dict[str, Any], checks: dict[str, Any]) -> None:
        """``server-template``: as many servers as a name has addresses."""
        address = line.words[3]
        words = [*common, *line.words[4:]]
        if address.startswith("_"):
            made["endpoints"].append({"address": f"srv:{address.partition(':')[0]}"})
        else:
            made["endpoints"].append({"address": address})
        if "check" in words:
            checks.setdefault("interval", "2s")

    def _tls(self, line: Line, words: list[str], made: dict[str, Any]) -> None:
        values = dict(pairs(words))
        rules: dict[str, Any] = {}
        name = re.fullmatch(r"(?:str\()?([A-Za-z0-9_.-]+)\)?", values.get("sni", ""))
        if name is not None or "verifyhost" in values:
            rules["server_name"] = values.get("verifyhost") or name[1]  # type: ignore[index]
        if values.get("verify") == "none" or "verify" not in values:
            self._findings.unsafe(
                line.place, f"the certificate of {line.words[1]} is not verified; write ca instead of verify: false"
            )
            rules["verify"] = Noted(False, "unsafe: write ca: FILE")
        elif values.get("ca-file", "@system-ca") != "@system-ca":
            rules["ca"] = values["ca-file"]
        if "crt" in values:
            rules["certificate"] = rules["private_key"] = values["crt"]
        if rules:
            made["tls"] = rules
        if "h2" in values.get("alpn", "").split(","):
            made["protocol"] = "auto"

    def _balance(self, section: Section, made: dict[str, Any]) -> None:
        cookie = section.last("cookie")
        if cookie is not None:
            made["balancing"] = {"method": "cookie", "cookie": cookie.words[1]}
            return
        line = section.last("balance")
        words = line.words[1:] if line is not None else ("roundrobin",)
        header = re.fullmatch(r"hdr\(([^)]+)\)", words[0])
        hashed = (
            re.fullmatch(r"(?:req\.)?(hdr|cook)\(([^)]+)\)", words[1])
            if words[0] == "hash" and len(words) > 1
            else None
        )
        if words[0] in ("roundrobin", "static-rr", "first"):
            made["balancing"] = "round_robin"
        elif words[0].startswith("random"):
            made["balancing"] = "power_of_two"
        elif words[0] == "source":
            made["balancing"] = {"method": "hash", "hash_on": "client_address"}
        elif header is not None:
            made["balancing"] = {"method": "hash", "hash_on": f"header:{header[1]}"}
        elif hashed is not None:
            kind = "cookie" if hashed[1] == "cook" else "header"
            made["balancing"] = {"method": "hash", "hash_on": f"{kind}:{hashed[2]}"}
        elif words[0] != "leastconn" and line is not None:
            self._findings.left_out(
                line.place, f"{line}; lbjwt hashes the client address, a header, a cookie or a claim"
            )

    def _health(self, section: Section, made: dict[str, Any], checks: dict[str, Any]) -> None:
        if not checks.get("interval"):
            return
        option = section.last("option", "httpchk")
        rules: dict[str, Any] = {}
        sent = section.last("http-check", "send")
        expected = section.last("http-check", "expect", "status")
        if option is None:
            rules["type"] = "tcp"
        else:
            words = option.words[2:]
            rules["path"] = words[1] if len(words) > 1 else words[0] if words else "/"
            method = words[0] if len(words) > 1 else "OPTIONS"
            values = dict(pairs(sent.words)) if sent is not None else {}
            rules["path"] = values.get("uri", rules["path"])
            method = values.get("meth", method)
            if method == "HEAD":
                rules["method"] = "HEAD"
            elif method != "GET":
                self._findings.approximated(option.place, f"health checks with {method}; lbjwt sends GET")
            if expected is not None:
                rules["statuses"] = expected.words[3].replace(",", ", ")
        made["health_check"] = {**rules, **checks}

    def _unknown(self, section: Section) -> None:
        for line in section.lines if section.kind == "backend" else ():  # of `listen`, the frontend tells
            if (
                line.starts("http-check")
                or line.starts("timeout")
                or line.starts("cookie")
                or (line.starts("option") and line.words[1] in _SILENT_OPTIONS)
            ):
                continue
            if line.words[0] not in _SILENT:
                self._findings.left_out(line.place, f"{line} in the backend {section.name}")


def milliseconds(text: str) -> float | None:
    """A time such as ``5s`` or ``5000`` (milliseconds); None for any other text."""
    match = re.fullmatch(r"([0-9]+)(us|ms|s|m|h|d)?", text)
    return (
        None
        if match is None
        else int(match[1])
        * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, None: 1}[match[2]]
    )
