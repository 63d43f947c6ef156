"""The edge of an HAProxy frontend: its addresses, the headers that it sets, its time limits."""

import re
from collections.abc import Collection
from typing import Any, Final

from lbjwt.imports.common import claim_path, identity_header, seconds
from lbjwt.imports.draft import Draft, Noted
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.haproxy_backend import milliseconds
from lbjwt.imports.haproxy_file import Line, Section, pairs, split_condition
from lbjwt.imports.haproxy_token import Variables, expand, token_place

_SILENT: Final = {
    "bind", "mode", "acl", "http-request", "use_backend", "default_backend", "http-response", "log", "log-format", "maxconn", "description",
    "id", "server", "default-server", "balance", "http-reuse", "cookie", "retries", "retry-on", "log-tag", "unique-id-format",
    "unique-id-header", "http-after-response", "server-template", "http-check", "errorfile",
}  # fmt: skip

_OWN_HEADERS: Final = {
    "x-forwarded-proto", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-real-ip", "x-ssl", "host",
}  # fmt: skip

_SILENT_ACTIONS: Final = {
    "capture", "set-log-level", "set-tos", "set-mark", "set-nice", "unset-var", "set-src", "set-priority-class", "normalize-uri",
}  # fmt: skip

PATH_CHANGES: Final = ("set-path", "replace-path", "set-uri", "replace-uri", "set-pathq", "replace-pathq")
"""Actions after which conditions on the path see another one."""

_REFUSING: Final = (
    "reject",
    "deny",
    "silent-drop",
    "tarpit",
    "block",
    "reqdeny",
    "reqideny",
    "reqtarpit",
    "reqitarpit",
)


class Edge:
    """Takes over what a frontend says beside its rules on requests; after the routes are made."""

    def __init__(self, section: Section, draft: Draft, findings: Findings) -> None:
        self._section = section
        self._draft = draft
        self._findings = findings

    def listeners(self) -> None:
        binds = self._section.all("bind")
        told_apart = any("ssl_fc" in word for line in self._section.lines for word in line.words)
        for line in binds:
            if told_apart and "ssl" not in line.words and any("ssl" in other.words for other in binds):
                self._findings.left_out(
                    line.place,
                    f"{line}, as rules on ssl_fc treat plain http differently; leave this address where it is",
                )
                continue
            for address in line.words[1].split(","):
                made = self._listener(address, line)
                if made is not None and made["address"] not in [one["address"] for one in self._draft.listeners]:
                    self._draft.listeners.append(made)

    def _listener(self, address: str, line: Line) -> dict[str, Any] | None:
        address = re.sub(r"^(ipv4@|ipv6@)", "", address)
        host, _, port = address.rpartition(":")
        if not port.isdigit() or address.startswith(("unix@", "/", "abns@", "fd@")):
            self._findings.left_out(line.place, f"{line}; lbjwt listens on HOST:PORT")
            return None
        host = "" if host in ("*", "0.0.0.0", "::", "[::]") else host
        made: dict[str, Any] = {"address": f"{host}:{port}"}
        values = dict(pairs(line.words))
        if "ssl" in line.words:
            file: Any = values.get("crt", "")
            if line.words.count("crt") > 1 or "crt-list" in values or not file or file.endswith("/"):
                self._findings.left_out(line.place, "several certificates; a listener of lbjwt has one: write its file")
                file = (
                    file if file and not file.endswith("/") else Noted("site.pem", "write the certificate and its key")
                )
            made["tls"] = {"certificate": file, "private_key": file}
            if values.get("verify") == "required":
                self._findings.left_out(
                    line.place, "client certificates (verify required); every route is closed until you decide"
                )
                self._draft.close_routes("client certificates were left out")
        elif values.get("proto") == "h2":
            made["h2c"] = True
        if "accept-proxy" in line.words:
            self._findings.left_out(
                line.place, "accept-proxy; lbjwt takes the client's address from X-Forwarded-For of trusted_proxies"
            )
        return made

    def headers(self, section: Section, variables: Variables, not_taken: Collection[Place]) -> None:
        """
        Args:
            not_taken: Places of changes of the path that are not in the routes as they stand.
        """
        for line in section.all("http-request"):
            action = line.words[1] if len(line.words) > 1 else ""
            rule, _, _ = split_condition(line.words)
            if action in ("set-header", "add-header") and len(rule) > 3:
                self._header(variables, line, rule[2], " ".join(rule[3:]))
            elif action == "del-header" and len(rule) > 2:
                self._deleted(line, rule[2])
            elif action in PATH_CHANGES:
                if line.place in not_taken:
                    self._findings.left_out(line.place, f"{line}; write rewrite in the routes whose path it changes")
            elif action == "set-method":
                self._findings.left_out(line.place, f"{line}; backends of lbjwt get the method of the client")
            elif action not in _SILENT_ACTIONS and not action.startswith(
                ("set-var", "deny", "reject", "tarpit", "silent-drop", "return", "auth", "allow", "redirect")
            ):
                self._findings.left_out(line.place, str(line))

    def _deleted(self, line: Line, name: str) -> None:
        if name.lower() == "authorization":
            self._draft.settings["forward_token"] = False
        elif name.lower() not in [entry["header"].lower() for entry in self._draft.claim_to_headers] and not any(
            name.lower() == other.words[2].lower() for other in self._section.all("http-request", "set-header")
        ):
            self._findings.left_out(
                line.place,
                f"{line}; backends get the one that the client sent, as lbjwt removes only headers that claim_to_headers names",
            )

    def _header(self, variables: Variables, line: Line, name: str, value: str) -> None:
        match = re.fullmatch(r"%\[([^\]]+(?:\[[^\]]*\][^\]]*)*)\]", value)
        steps = expand(match[1], variables) if match else []
        place = token_place(steps)
        if place is not None and len(steps) > place[1] and steps[place[1]][0] == "jwt_payload_query":
            query = steps[place[1]][1].split(",")[0].strip().strip("\"'")
            claim = re.findall(r"[A-Za-z0-9_-]+", query) if re.fullmatch(r"\$(?:\.[A-Za-z0-9_-]+)+", query) else None
            if claim is not None:
                identity_header(self._draft, self._findings, line.place, name, {"claim": claim_path(claim)})
                if any(route.get("public") for route in self._draft.routes):
                    self._findings.unsafe(
                        line.place,
                        f"{name} also comes from tokens that nobody verified, where no rule asks for one; lbjwt sends it for verified tokens only",
                    )
                return
        if name.lower() not in _OWN_HEADERS:
            self._findings.left_out(
                line.place,
                f"{line}; backends get the one that the client sent: set it in the application, or as claim_to_headers if it is a claim",
            )

    def settings(self) -> None:
        head, keep = self._section.last("timeout", "http-request"), self._section.last("timeout", "http-keep-alive")
        timeouts: dict[str, Any] = {}
        for line, key, most in ((head, "request_head", 600), (keep, "keep_alive", 3600)):
            if line is not None and (time := milliseconds(line.words[2])) is not None:
                timeouts[key] = seconds(time / 1000, 0.1, most)
        if timeouts:
            self._draft.settings["timeouts"] = timeouts
        more = self._section.defaults.all_tcp() if self._section.defaults is not None else []
        for line in [*more, *self._section.lines]:
            if (
                line.words[0] not in _SILENT
                and not line.starts("timeout")
                and not line.starts("option")
                and not line.starts("redirect")
            ):
                self._findings.left_out(line.place, str(line))
                if {*_REFUSING} & {*line.words} and not any(
                    "sc_" in word or word.startswith("sc") for word in line.words
                ):
                    self._draft.close_routes(f"{line.words[0]} was left out")
