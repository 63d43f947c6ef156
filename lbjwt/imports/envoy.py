"""Envoy's static resources: listeners with an HTTP connection manager, their routes, and what the JWT and RBAC filters ask of each request."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final

from lbjwt.imports.common import host_of
from lbjwt.imports.draft import Draft, Noted, closed, shut
from lbjwt.imports.envoy_cluster import Clusters
from lbjwt.imports.envoy_jwt import JwtRules
from lbjwt.imports.envoy_match import Match, read_match
from lbjwt.imports.envoy_rbac import RbacRules
from lbjwt.imports.envoy_values import HARMLESS, config_of, duration, written
from lbjwt.imports.errors import ImportFailure
from lbjwt.imports.findings import Findings
from lbjwt.imports.matching import Decision, Request, host_covers, host_rank
from lbjwt.imports.path_change import PathChange
from lbjwt.imports.reading import Value, read_yaml

_RESTRICTING: Final = (
    "ext_authz", "basic_auth", "api_key_auth", "oauth2", "lua", "wasm", "golang", "ext_proc", "ratelimit", "local_ratelimit", "gcp_authn",
    "csrf",
)  # fmt: skip
"""Filters that may refuse a request. Without them the result would let more through."""

_RETRY_ON: Final[dict[str, list[Any]]] = {
    "5xx": [500, 502, 503, 504, "timeout", "reset", "connect_failure"],
    "gateway-error": [502, 503, 504],
    "reset": ["reset"],
    "connect-failure": ["connect_failure"],
    "refused-stream": ["refused"],
    "unavailable": ["grpc_unavailable"],
}


def read(path: FilePath, draft: Draft, findings: Findings) -> None:
    """
    Read a bootstrap file.

    Raises:
        ImportFailure: It cannot be read, or has no static resources with an HTTP listener.
    """
    root = read_yaml(path)
    static = root.get("static_resources") or root
    clusters = Clusters({one.text("name"): one for one in static.members("clusters")}, draft, findings)
    managers = [
        (listener, manager) for listener in static.members("listeners") for manager in _managers(listener, findings)
    ]
    if not managers:
        raise ImportFailure(f"{path}:{root.line}: has no static listener with an HTTP connection manager")
    first = _chosen(managers)
    for listener, manager in managers:
        if listener is first[0]:
            continue
        listener.skip()
        if _redirects_only(manager):
            continue
        if manager.data != first[1].data:
            findings.left_out(
                listener.place,
                f"the listener {listener.text('name')}: all listeners of lbjwt have the same routes; import it by itself into a second file",
            )
            continue
        _listener(listener, manager, draft, findings)
    _listener(*first, draft, findings)
    for listener, manager in managers:
        if listener is not first[0] and _redirects_only(manager):
            findings.left_out(
                listener.place,
                "the redirect of plain http to https; lbjwt sends no redirects, so leave this listener where it is",
            )
    _Routing(first[1], draft, findings, clusters).run()
    for chain in first[0].members("filter_chains"):
        tls = config_of(chain.get("transport_socket"))
        asked = tls.get("require_client_certificate") if tls is not None else None
        if asked is not None and asked.data:
            findings.left_out(asked.place, "client certificates; every route is closed until you decide")
            draft.close_routes("client certificates were left out")
    _admin(root, draft)
    for key, value in root.unread(HARMLESS):
        if not key.startswith("static_resources.clusters"):
            findings.left_out(value.place, key.removeprefix("static_resources."))


def _managers(listener: Value, findings: Findings) -> list[Value]:
    found: list[Value] = []
    for chain in listener.members("filter_chains"):
        for one in chain.members("filters"):
            config = config_of(one)
            if config is not None and "http_connection_manager" in (
                one.text("name") + config.text("@type")
            ).lower().replace("httpconnectionmanager", "http_connection_manager"):
                found.append(config)
            else:
                findings.left_out(one.place, f"the network filter {one.text('name')}")
    for other in found[1:]:
        findings.left_out(
            other.place,
            "another filter chain of the listener; lbjwt has one set of routes: import it by itself into a second file",
        )
        other.skip()
    return found[:1]


def _chosen(managers: list[tuple[Value, Value]]) -> tuple[Value, Value]:
    """The listener whose routes are imported: the one that checks tokens, else the first that does more than redirect."""
    for pair in managers:
        if any("jwt_authn" in one.text("name") for one in pair[1].members("http_filters")):
            return pair
    return next((pair for pair in managers if not _redirects_only(pair[1])), managers[0])


def _redirects_only(manager: Value) -> bool:
    routes = [route for host in manager.members("route_config", "virtual_hosts") for route in host.members("routes")]
    return bool(routes) and all(isinstance(route.data, dict) and "redirect" in route.data for route in routes)


def _listener(listener: Value, manager: Value, draft: Draft, findings: Findings) -> None:
    socket = listener.get("address", "socket_address")
    if socket is None:
        findings.left_out(listener.place, "a listener without socket_address; lbjwt listens on HOST:PORT")
        return
    host = socket.text("address")
    address = f"[{host}]" if ":" in host else "" if host == "0.0.0.0" else host
    made: dict[str, Any] = {"address": f"{address}:{socket.text('port_value')}"}
    tls = next(
        (
            config
            for chain in listener.members("filter_chains")
            if (config := config_of(chain.get("transport_socket"))) is not None
        ),
        None,
    )
    if tls is not None:
        made["tls"] = _tls(tls, findings)
    elif manager.text("codec_type") == "HTTP2":
        made["h2c"] = True
    draft.listeners.append(made)


def _tls(tls: Value, findings: Findings) -> dict[str, Any]:
    certificates = tls.members("common_tls_context", "tls_certificates")
    for other in certificates[1:]:
        findings.left_out(other.place, "a second certificate; a listener of lbjwt has one")
    made: dict[str, Any] = {}
    for key, name, there in (
        ("certificate", "cert.pem", "certificate_chain"),
        ("private_key", "key.pem", "private_key"),
    ):
        file = certificates[0].text(there, "filename") if certificates else ""
        if not file:
            findings.left_out(
                tls.place, f"the {key.replace('_', ' ')} of the listener is in no file; write it to {name}"
            )
        made[key] = file or Noted(name, "write the file")
    for key in ("alpn_protocols", "tls_params"):
        tls.get("common_tls_context", key)
    return made


def _admin(root: Value, draft: Draft) -> None:
    socket = root.get("admin", "address", "socket_address")
    if socket is not None:
        draft.settings["admin"] = {"address": f"{socket.text('address')}:{socket.text('port_value')}"}


@dataclass(slots=True)
class _Rule:
    """One route of a virtual host, with the settings of filters for it: its own and those of its host."""

    match: Match
    settings: list[Value]
    target: Decision
    shut: str = ""


@dataclass(slots=True)
class _Host:
    domains: list[str]
    rules: list[_Rule] = field(default_factory=list)


class _Routing:
    """What the connection manager does with a request."""

    def __init__(self, manager: Value, draft: Draft, findings: Findings, clusters: Clusters) -> None:
        self._manager = manager
        self._draft = draft
        self._findings = findings
        self._clusters = clusters
        self._filters: list[tuple[str, Callable[[Request, Decision, list[Value]], Decision]]] = []
        self._matches: list[Match] = []
        self._tokens = False  # the filter for tokens is there

    def run(self) -> None:
        hosts = [self._host(value) for value in self._manager.members("route_config", "virtual_hosts")]
        if self._manager.get("rds") is not None:
            self._findings.left_out(
                self._manager.place, "routes from a management server (rds); import a dump of the running configuration"
            )
        self._read_filters()

        def decide(request: Request) -> Decision | None:
            fitting = [(domain, host) for host in hosts for domain in host.domains if host_covers(domain, request.host)]
            if not fitting:
                return None
            _, host = max(fitting, key=lambda pair: host_rank(pair[0]))
            rule = next((rule for rule in host.rules if rule.match.covers(request)), None)
            if rule is None:
                return None
            decision = dict(rule.target)
            for _, apply in self._filters:
                if "rules" in decision and "refusals" in decision:
                    break  # closed already
                decision = apply(request, decision, rule.settings)
            if rule.shut:
                decision = shut(decision, 403, f"{rule.shut} was left out")
            if not self._tokens and "public" not in decision and "rules" not in decision:
                decision["public"] = True
            return decision

        self._draft.set_routes(
            [domain for host in hosts for domain in host.domains if domain],
            [path for match in self._matches for path in match.paths],
            [method for match in self._matches for method in match.methods],
            decide,
            beginnings={text: match.place for match in self._matches for text in match.beginnings},
        )
        self._settings()

    def _host(self, value: Value) -> _Host:
        host = _Host([])
        for domain in value.members("domains"):
            name = "" if domain.data == "*" else host_of(str(domain.data), self._findings, domain.place)
            if name is not None:
                host.domains.append(name)
        for route in value.members("routes"):
            match = read_match(route.get("match"), self._findings)
            if match is None or match.unknown:
                self._findings.left_out(
                    route.place, f"a route that asks for {match.unknown if match else 'something else than a path'}"
                )
                continue
            self._matches.append(match)
            settings = [one for level in (route, value) if (one := level.get("typed_per_filter_config")) is not None]
            host.rules.append(_Rule(match, settings, self._target(route, match), self._own_filters(settings)))
        return host

    def _target(self, route: Value, match: Match) -> Decision:
        """Where a route sends a request."""
        action = route.get("route")
        if action is None:
            return self._answer(route)
        target: Decision = {}
        name = action.text("cluster")
        weighted = action.members("weighted_clusters", "clusters")
        if name:
            target["cluster"] = self._clusters.label(name, action.place)
        elif weighted:
            shares = {self._clusters.label(one.text("name"), one.place): one.whole("weight") or 0 for one in weighted}
            target["cluster"] = {"split": shares} if len(shares) > 1 else next(iter(shares))
        else:
            self._findings.left_out(action.place, "a route whose cluster depends on a header; the route is closed")
            return closed(404, "its cluster depended on a header")
        if policy := next(iter(action.members("hash_policy")), None):
            self._clusters.hash_on(target["cluster"], policy)
        if (value := action.get("host_rewrite_literal")) is not None:
            self._findings.left_out(
                value.place, "host_rewrite_literal; backends of lbjwt get the host that the client sent"
            )
        for key in ("prefix_rewrite", "regex_rewrite"):
            if (value := action.get(key)) is None or value.data == route.text("match", "prefix"):
                continue
            change = self._change(key, value, route, match)
            if change is not None and all(change.rewrite_of(path) is not None for path in match.paths):
                target["rewrite"] = change
            else:
                value.skip()
                self._findings.left_out(
                    value.place,
                    f"{key}, which rewrite of a route cannot do: it replaces the whole path, or whole segments",
                )
        self._retries(action, target)
        return target

    @staticmethod
    def _change(key: str, value: Value, route: Value, match: Match) -> PathChange | None:
        """What backends get in place of the client's path; None where no route of lbjwt can do the same."""
        if key == "regex_rewrite":
            value.get("pattern", "google_re2")
            return PathChange.of_pattern(value.text("pattern", "regex"), value.text("substitution"), all_of_it=False)
        if all(how == "exact" for _, how in match.meant):
            return PathChange.of_path(match.paths[0].text, str(value.data))
        start = route.text("match", "prefix") or route.text("match", "path_separated_prefix")
        return PathChange.of_prefix(start, str(value.data)) if start else None

    def _answer(self, route: Value) -> Decision:
        answer, redirect = route.get("direct_response"), route.get("redirect")
        status = answer.whole("status") or 404 if answer is not None else 404
        if answer is not None and 400 <= status < 500:
            answer.get("body")
            return closed(status, f"{status} there")
        at = answer or redirect or route
        self._findings.left_out(at.place, "a route that answers by itself; lbjwt answers 404 there")
        at.skip()
        return closed(404, "the other program answers by itself")

    def _retries(self, action: Value, target: Decision) -> None:
        retry: dict[str, Any] = {}
        policy = action.get("retry_policy")
        timeout = duration(action.get("timeout"))
        if policy is not None:
            told = [word.strip() for word in policy.text("retry_on").split(",")]
            causes = [cause for word in told for cause in _RETRY_ON.get(word, [])]
            causes += [
                code.data
                for code in policy.members("retriable_status_codes")
                if "retriable-status-codes" in told and code.data in (429, 500, 501, 502, 503, 504)
            ]
            retry["attempts"] = min(policy.whole("num_retries") if policy.get("num_retries") is not None else 1, 10)  # type: ignore[type-var]
            retry["on"] = list(dict.fromkeys(causes)) or ["connect_failure"]
            each = duration(policy.get("per_try_timeout"))
            if each:
                retry["try_timeout"] = written(each)
                if timeout and timeout > each:
                    target["timeout"] = written(timeout)
                timeout = None
        if timeout is not None and timeout != 15:
            retry["try_timeout"] = Noted("1h", "no limit there") if timeout == 0 else written(timeout)
        if retry:
            target["retry"] = retry

    def _read_filters(self) -> None:
        for one in self._manager.members("http_filters"):
            name, config = one.text("name"), config_of(one)
            kind = name.rpartition(".")[2]
            if kind == "jwt_authn" and config is not None:
                rules = JwtRules(config, self._draft, self._findings, self._clusters)
                self._matches += rules.matches
                self._filters.append((kind, rules.apply))
                self._tokens = True
            elif kind == "rbac" and config is not None:
                rbac = RbacRules(config, self._findings)
                self._matches += rbac.matches
                self._filters.append((kind, rbac.apply))
            elif kind in _RESTRICTING:
                self._findings.left_out(
                    one.place,
                    f"the filter {name}, which may refuse requests; so every route is closed: decide, then remove their rules called closed",
                )
                self._filters.append((kind, partial(_shut_for, f"{kind} was left out")))
            elif kind == "cors":
                self._findings.left_out(
                    one.place, "the filter cors; let the application answer preflight requests, and make OPTIONS public"
                )
            elif kind not in ("router", "health_check", "grpc_stats", "buffer"):
                self._findings.left_out(one.place, f"the filter {name}")

    def _own_filters(self, settings: list[Value]) -> str:
        """A filter that may refuse requests of one route or host only; "" if there is none."""
        shut = ""
        for level in settings:
            for name, config in level.items():
                kind = name.rpartition(".")[2]
                if kind == "jwt_authn":
                    continue
                self._findings.left_out(config.place, f"the settings of {name} for some routes")
                if kind in (*_RESTRICTING, "rbac") and config.data.get("disabled") is not True:
                    shut = name
                config.skip()
        return shut

    def _settings(self) -> None:
        for log in self._manager.members("access_log"):
            path = (config_of(log) or log).text("path")
            self._findings.approximated(log.place, "the access log has the fields of lbjwt (docs/operations.md)")
            self._draft.settings["access_log"] = {"path": "-" if not path or path.startswith("/dev/") else path}
            break
        if (hops := self._manager.get("xff_num_trusted_hops")) is not None and hops.data:
            self._findings.left_out(
                hops.place, "xff_num_trusted_hops; write the networks of the proxies as trusted_proxies"
            )


def _shut_for(remark: str, request: Request, decision: Decision, settings: list[Value]) -> Decision:
    return shut(decision, 403, remark)
