"""nginx: servers and their locations as routes."""

import re
from pathlib import Path as FilePath
from typing import Any, Final

from lbjwt.imports.common import claim_path, identity_header, seconds, usable_path, usable_stem
from lbjwt.imports.draft import Draft, closed, shut
from lbjwt.imports.errors import ImportFailure
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.literals import beginning, paths_of, stem_of
from lbjwt.imports.matching import METHODS, Decision, Path, Request, host_covers, host_rank, is_open
from lbjwt.imports.nginx_file import Directive, Levels, bytes_of, inherited, read_file, seconds_of, setting
from lbjwt.imports.nginx_guards import is_guarded, names_in, restriction
from lbjwt.imports.nginx_jwt import Tokens
from lbjwt.imports.nginx_server import Location, Server, read_server, serving
from lbjwt.imports.nginx_upstream import Upstreams
from lbjwt.imports.path_change import PathChange
from lbjwt.units import format_size

_KNOWN: Final = {
    "server", "location", "upstream", "map", "listen", "server_name", "proxy_pass", "grpc_pass", "proxy_set_header", "grpc_set_header",
    "internal", "set", "auth_jwt", "auth_jwt_key_file", "auth_jwt_key_request", "auth_jwt_require", "auth_jwt_require_claim",
    "auth_jwt_require_header", "auth_jwt_leeway", "auth_jwt_type", "auth_jwt_claim_set", "auth_jwt_header_set", "auth_jwt_key_cache",
    "auth_jwt_validate_exp", "auth_jwt_validate_sig", "auth_jwt_validate_alg", "auth_jwt_revocation_list_sub",
    "auth_jwt_revocation_list_kid", "auth_jwt_phase", "auth_jwt_allow_nested", "return", "ssl_certificate", "ssl_certificate_key",
    "proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout", "grpc_read_timeout", "proxy_next_upstream",
    "proxy_next_upstream_tries", "proxy_next_upstream_timeout", "client_max_body_size", "limit_except", "allow", "deny", "auth_basic",
    "auth_basic_user_file", "auth_request", "auth_request_set", "satisfy", "if", "error_page", "root", "index", "try_files", "alias",
    "ssl_verify_client", "ssl_client_certificate", "keepalive_timeout", "access_log", "http2", "grpc_ssl_verify", "rewrite",
}  # fmt: skip
"""Directives that are read below, or that matter only beside one that is."""

_SILENT: Final = re.compile(
    r"(?:proxy_ssl_.*|(?:proxy|fastcgi|uwsgi|scgi)_temp_path|proxy_http_version|proxy_buffer.*|proxy_busy.*|proxy_request_buffering|proxy_max_temp.*|proxy_headers_hash.*|proxy_pass_request_.*|"
    r"ssl_protocols|ssl_ciphers|ssl_session.*|ssl_prefer.*|ssl_dhparam|ssl_stapling.*|ssl_trusted_certificate|ssl_ecdh.*|ssl_buffer.*|ssl_early.*|"
    r"sendfile.*|tcp_no.*|types.*|default_type|server_tokens|client_body.*|client_header_.*|large_client.*|send_timeout|reset_timed.*|keepalive_.*|"
    r"log_format|error_log|resolver.*|open_file.*|include|charset.*|server_names_hash.*|map_hash.*|variables_hash.*|underscores_in_headers|"
    r"proxy_cache_path|http2_.*|status_zone|log_not_found|log_subrequest|recursive_error_pages|lingering.*|absolute_redirect|port_in_redirect|"
    r"server_name_in_redirect|proxy_redirect|ignore_invalid_headers|merge_slashes|zone|aio.*|directio.*|output_buffers|postpone_output|etag|if_modified_since|"
    r"max_ranges|read_ahead|msie.*|chunked_transfer.*|disable_symlinks|expires|geo|split_clients)"
)
"""Directives that change nothing which a user of lbjwt would write, or have no meaning for a balancer."""

_OWN_HEADERS: Final = {
    "host", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "connection", "upgrade",
    "x-forwarded-scheme", "x-forwarded-server", "x-scheme", "forwarded", "x-request-id", "x-original-uri",
}  # fmt: skip


def read(path: FilePath, draft: Draft, findings: Findings) -> None:
    """
    Read ``nginx.conf`` with the files that it includes, or one of those.

    Raises:
        ImportFailure: It cannot be read, or has no server.
    """
    http = read_file(path, findings)
    servers = [read_server(block, findings) for block in http.all("server")]
    if not servers:
        raise ImportFailure(f"{path}:{http.place.line}: has no server")
    _Reader(http, path.absolute().parent, servers, draft, findings).run()


class _Reader:
    def __init__(
        self, http: Directive, directory: FilePath, servers: list[Server], draft: Draft, findings: Findings
    ) -> None:
        self._http = http
        self._directory = directory
        self._servers = servers
        self._draft = draft
        self._findings = findings
        self._upstreams = Upstreams(http, directory, draft, findings)
        self._tokens = Tokens(http, directory, draft, findings)
        self._identity: dict[str, list[Directive]] = {}
        # Locations that mean less than everything below a path; true: they count only where requests would pass otherwise
        self._guesses: dict[Place, bool] = {}

    def run(self) -> None:
        address = self._chosen()
        here = [server for server in self._servers if address in server.addresses]
        for server in here:
            self._locations((self._http, server.block), server)
        self._tokens.make_issuers()
        self._timeouts([location for server in here for location in server.locations])
        default = next((server for server in here if server.default), here[0])

        def decide(request: Request) -> Decision | None:
            fitting = [(name, server) for server in here for name in server.names if host_covers(name, request.host)]
            server = max(fitting, key=lambda pair: host_rank(pair[0]))[1] if fitting else default
            found = self._of(server, request)
            if not fitting and is_open(found):
                # hosts that an expression means may need more
                others = (self._of(other, request) for other in here if other.has_patterns)
                return next((other for other in others if other is not None and not is_open(other)), found)
            return found

        places = [path for server in here for one in server.locations for path, _ in one.meant]
        beginnings = {
            one.text: one.levels[-1].place
            for server in here for one in server.locations if one.kind in ("", "^~") and not one.text.endswith("/")
        }  # fmt: skip
        methods = [method for server in here for one in server.locations for method in one.methods]
        self._draft.set_routes(
            [name for server in here for name in server.names], places, methods, decide, beginnings=beginnings
        )
        tokens = sum(one.need is not None for server in here for one in server.locations)
        for name, told in self._identity.items():
            if len(told) < tokens:
                self._findings.approximated(told[0].place, f"{name} is set on every route that verifies a token")
        self._listeners(address, here)
        self._limits(here)
        self._unknown([self._http, *(server.block for server in here)])

    def _chosen(self) -> str:
        """The address whose servers are imported: one that asks for tokens, else with TLS, else the first that does more than redirect."""

        def wanted(server: Server) -> tuple[bool, bool, bool]:
            tokens = "auth_jwt" in names_in(server.block)
            return not server.redirects, tokens, any("ssl" in options for _, options in server.listens)

        best = max(self._servers, key=wanted)
        return next((address for address, options in best.listens if "ssl" in options), best.listens[0][0])

    def _timeouts(self, locations: list[Location]) -> None:
        """The read timeout of most locations is that of their cluster; the others have their own."""
        told: dict[str, list[tuple[Location, float]]] = {}
        for location in locations:
            if "cluster" in location.target:
                read = setting(location.levels, "proxy_read_timeout") or setting(location.levels, "grpc_read_timeout")
                time = seconds_of(read.args[0]) if read is not None else 60.0
                told.setdefault(location.target["cluster"], []).append((location, 60.0 if time is None else time))
        for label, pairs in told.items():
            times = [time for _, time in pairs]
            usual = max(times, key=times.count)
            self._draft.clusters[label]["response_timeout"] = seconds(usual, 0.01, 3600)
            for location, time in pairs:
                if time != usual:
                    location.target["retry"] = {"try_timeout": seconds(time, 0.01, 3600)}

    def _of(self, server: Server, request: Request) -> Decision | None:
        location = serving(server, request.path)
        if location is not None and location.uncertain:
            certain = serving(server, request.path, certain=True)
            found = None if certain is None else self._decision(certain, request)
            if not is_open(found):
                return found
        return None if location is None else self._decision(location, request)

    def _decision(self, location: Location, request: Request) -> Decision:
        decision = dict(location.target)
        if location.methods and request.method not in location.methods:
            return shut(decision, 403, "limit_except denies other methods")
        if "rules" in decision:
            return decision
        if location.need is None:
            return {**decision, "public": True}
        if location.need.impossible:
            return shut(decision, 401, location.need.impossible)
        return self._tokens.apply(location.need, decision)

    def _locations(self, levels: Levels, server: Server) -> None:
        whole = levels[-1].name == "server"
        for rewrite in levels[-1].all("rewrite") if whole else ():
            self._findings.left_out(rewrite.place, f"{rewrite}; write rewrite in the routes whose path it changes")
        if whole and levels[-1].first("return") is not None:
            self._rest(levels, server)  # before nginx looks for a location
            return
        for block in levels[-1].all("location"):
            kind = block.args[0] if len(block.args) > 1 else ""
            text = block.args[-1]
            inner = (*levels, block)
            if text.startswith("@"):
                continue
            if block.first("internal") is not None:
                self._internal(kind, text, inner, server)
                continue
            self._unknown([block])
            meant = self._meant(kind, text, inner)
            if meant:
                target = self._target(inner, text, meant)
                need = self._tokens.need(inner, server.block)
                guess = self._guesses.get(block.place)
                kind = "~" if kind.startswith("~") or guess is not None else kind
                location = Location(inner, kind, text, meant, target, need, self._methods(block), bool(guess))
                server.locations.append(location)
                self._headers(inner)
            self._locations(inner, server)
        if whole and not any(one.text == "/" and one.kind in ("", "^~") for one in server.locations):
            self._rest(levels, server)

    def _internal(self, kind: str, text: str, levels: Levels, server: Server) -> None:
        """A location that clients cannot reach."""
        meant = (paths_of(text) or []) if kind.startswith("~") else self._meant(kind, text, levels)
        kind = "~" if kind.startswith("~") else kind
        server.locations.append(Location(levels, kind, text, meant, closed(404, "internal")))

    def _rest(self, levels: Levels, server: Server) -> None:
        """What a server does where it has no location."""
        answer = levels[-1].first("return")
        if (
            answer is None
            and levels[-1].first("proxy_pass") is None
            and levels[-1].first("root", "index", "try_files") is None
        ):
            return
        server.locations.append(
            Location(
                levels,
                "",
                "/",
                [(Path("/"), "tree")],
                self._target(levels, "/", [(Path("/"), "tree")]),
                self._tokens.need(levels, server.block),
            )
        )

    def _meant(self, kind: str, text: str, levels: Levels) -> list[tuple[Path, str]]:
        block = levels[-1]
        if kind.startswith("~"):
            found = paths_of(text) if kind == "~" else None
            if found is not None:
                return found
            return self._stem(levels, f"location {kind} {text}", stem_of(text), True)
        if not usable_path(text.rstrip("/") or "/", self._findings, block.place):
            return self._stem(levels, f"location {text}", Path(usable_stem(text)), False)
        if kind == "=":
            return [(Path(text, True), "exact")]
        return beginning(text)

    def _stem(self, levels: Levels, what: str, stem: Path, certain: bool) -> list[tuple[Path, str]]:
        """What a location means that no route can mean: nothing, or everything below a path if nginx refuses requests there."""
        block, answer = levels[-1], levels[-1].first("return")
        refuses = is_guarded(levels[-1:]) or (answer is not None and answer.args[0][:1] == "4" and stem.text != "/")
        what = f"{what}: write path or prefix for what it matches"
        if not refuses and not is_guarded(levels):
            self._findings.left_out(block.place, what)
            return []
        self._guesses[block.place] = not (certain and refuses)
        self._findings.left_out(block.place, f"{what}; until then, everything below {stem.text} is treated as it is")
        return [(stem, "tree")]

    def _target(self, levels: Levels, text: str, meant: list[tuple[Path, str]]) -> Decision:
        """Where the requests of a location go, whatever their token."""
        block = levels[-1]
        reason = restriction(levels, self._findings)
        passed, answer = block.first("proxy_pass", "grpc_pass"), block.first("return")
        if passed is None or answer is not None:  # nginx answers before it would pass the request on
            return self._answer(block, answer)
        found = self._upstreams.cluster(passed.args[0], passed.place, levels)
        if found is None:
            return closed(404, "its backend was chosen by a variable")
        label, path = found
        change = self._change(block, passed, path, meant)
        if reason:
            return {"cluster": label, **closed(403, f"{reason} was left out")}
        return {"cluster": label, **({"rewrite": change} if change is not None else {})}

    def _change(
        self, block: Directive, passed: Directive, path: str, meant: list[tuple[Path, str]]
    ) -> PathChange | None:
        """What backends get in place of the client's path; None if that stays, or, with a finding, if lbjwt cannot do the same."""
        rewrites = block.all("rewrite") if block.name == "location" else []
        if len(rewrites) == 1 and rewrites[0].args[2:] == ("break",):
            change = PathChange.of_pattern(rewrites[0].args[0], rewrites[0].args[1], all_of_it=True)
            if change is not None and all(change.rewrite_of(one) is not None for one, _ in meant):
                return change  # nginx then ignores the path of proxy_pass
        for rewrite in rewrites:
            self._findings.left_out(rewrite.place, f"{rewrite}; write rewrite in the routes whose path it changes")
        text = block.args[-1] if block.name == "location" else "/"
        if rewrites or not path or path == text:
            return None
        change = PathChange.of_path(text, path) if block.args[0] == "=" else PathChange.of_prefix(text, path)
        if change is None or "$" in path:
            self._findings.left_out(
                passed.place,
                f"{passed}: {path} replaces {text} there, which rewrite of a route cannot do: it replaces whole segments",
            )
            return None
        return change

    def _answer(self, block: Directive, answer: Directive | None) -> Decision:
        status = (
            int(answer.args[0])
            if answer is not None and answer.args[0].isdigit()
            else 302
            if answer is not None
            else 404
        )
        if answer is not None and 400 <= status < 500:
            if status not in (401, 403, 404):
                self._findings.approximated(answer.place, f"return {status} is 403 here")
            return closed(status, f"return {status}")
        what = (
            f"return {status}"
            if answer is not None
            else "files"
            if block.first("root", "alias", "try_files", "index")
            else "a location without proxy_pass"
        )
        self._findings.left_out(
            (answer or block).place, f"{what}; lbjwt only passes requests on, and answers 404 there"
        )
        return closed(404, "nginx answers by itself")

    def _methods(self, block: Directive) -> tuple[str, ...]:
        """The methods that ``limit_except`` allows, where it denies all others."""
        limit = block.first("limit_except")
        if limit is None:
            return ()
        if [str(one) for one in limit.block] != ["deny all"] or not all(method in METHODS for method in limit.args):
            self._findings.left_out(
                limit.place, f"{limit} with other rules than deny all; all other methods are refused here"
            )
        named = [method for method in limit.args if method in METHODS]
        return tuple(dict.fromkeys([*named, *(["HEAD"] if "GET" in named else [])]))

    def _headers(self, levels: Levels) -> None:
        for told in [*inherited(levels, "proxy_set_header"), *inherited(levels, "grpc_set_header")]:
            name, value = told.args[0], told.args[-1]
            claim = self._tokens.claim_of(value)
            if claim is not None:
                identity_header(self._draft, self._findings, told.place, name, {"claim": claim_path(claim)})
                self._identity.setdefault(name, []).append(told)
            elif name.lower() == "authorization" and value == "":
                self._draft.settings["forward_token"] = False
            elif name.lower() == "authorization" and value == "$http_authorization":
                pass
            elif (name.lower() == "host" and value in ("$proxy_host", "$upstream_host")) or (
                name.lower() == "host" and not value.startswith("$")
            ):
                self._findings.approximated(
                    told.place, f"Host {value}; backends of lbjwt get the host that the client sent"
                )
            elif name.lower() not in _OWN_HEADERS:
                self._findings.left_out(
                    told.place,
                    f"the header {name} for backends, who get that of the client; set it in the application, or as claim_to_headers if it is a claim",
                )

    def _listeners(self, address: str, here: list[Server]) -> None:
        names = {id(server) for server in here}
        told: set[str] = set()
        for server in self._servers:
            for other, options in server.listens:
                same = {id(one) for one in self._servers if other in one.addresses} == names
                if other == address or same:
                    self._add_listener(other, options, server)
                elif other not in told and not (told.add(other)):  # type: ignore[func-returns-value]
                    if all(one.redirects for one in self._servers if other in one.addresses):
                        self._findings.left_out(
                            server.block.place,
                            f"the redirect of {other} to https; lbjwt sends no redirects, so leave this server where it is",
                        )
                    else:
                        self._findings.left_out(
                            server.block.place,
                            f"the servers of {other}: all listeners of lbjwt have the same routes; import them by themselves into a second file",
                        )

    def _add_listener(self, address: str, options: tuple[str, ...], server: Server) -> None:
        tls = None
        if "ssl" in options or setting((self._http, server.block), "ssl") is not None:
            certificate, key = (
                setting((self._http, server.block), name) for name in ("ssl_certificate", "ssl_certificate_key")
            )
            if certificate is not None and key is not None:
                tls = {
                    "certificate": str(self._directory / certificate.args[0]),
                    "private_key": str(self._directory / key.args[0]),
                }
        made: dict[str, Any] = {"address": address, **({"tls": tls} if tls else {})}
        there = next((one for one in self._draft.listeners if one["address"] == address), None)
        if there is None:
            self._draft.listeners.append(made)
        elif tls is not None and there.get("tls") != tls:
            self._findings.left_out(
                server.block.place,
                f"the certificate of {' '.join(server.names)}; a listener of lbjwt has one, so write one certificate for all names",
            )

    def _limits(self, here: list[Server]) -> None:
        sizes = set()
        for server in here:
            for levels in [(self._http, server.block), *(location.levels for location in server.locations)]:
                told = setting(levels, "client_max_body_size")
                sizes.add(1 << 20 if told is None else bytes_of(told.args[0]) or 0)
        most = 0 if 0 in sizes else max(sizes)
        if most:
            self._draft.settings["limits"] = {"max_request_body": format_size(most)}
        if len(sizes) > 1:
            limit = format_size(most) if most else "here none"
            self._findings.approximated(
                here[0].block.place, f"client_max_body_size differs between locations; lbjwt has one limit, {limit}"
            )
        keep = setting((self._http, here[0].block), "keepalive_timeout")
        if keep is not None and (time := seconds_of(keep.args[0])) is not None and time != 60:
            self._draft.settings["timeouts"] = {"keep_alive": seconds(time, 0, 3600)}
        log = setting((self._http, here[0].block), "access_log")
        if (
            log is not None
            and log.args[0] != "off"
            and "$" not in log.args[0]
            and not log.args[0].startswith("syslog:")
        ):
            self._findings.approximated(log.place, "the access log has the fields of lbjwt (docs/operations.md)")
            self._draft.settings["access_log"] = {"path": "-" if log.args[0].startswith("/dev/") else log.args[0]}

    def _unknown(self, blocks: list[Directive]) -> None:
        for block in blocks:
            for one in block.block:
                if one.name not in _KNOWN and not _SILENT.fullmatch(one.name):
                    self._findings.left_out(one.place, str(one))
