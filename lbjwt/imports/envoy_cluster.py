"""Envoy's clusters."""

from collections.abc import Mapping
from typing import Any, Final

from lbjwt.imports.common import seconds
from lbjwt.imports.draft import Draft, Noted, no_endpoints
from lbjwt.imports.envoy_values import HARMLESS, config_of, duration
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.reading import Value

_METHODS: Final = {"ROUND_ROBIN": "round_robin", "LEAST_REQUEST": "power_of_two", "RANDOM": "random"}


class Clusters:
    """The clusters of a file. One becomes part of the result when something refers to it."""

    def __init__(self, by_name: Mapping[str, Value], draft: Draft, findings: Findings) -> None:
        self._by_name = by_name
        self._draft = draft
        self._findings = findings
        self._labels: dict[str, str] = {}

    def label(self, name: str, place: Place) -> str:
        """The label of the cluster with this name."""
        if name not in self._labels:
            value = self._by_name.get(name)
            if value is None:
                self._findings.left_out(
                    place, f"the cluster {name}, which this file does not have; write its endpoints"
                )
                made: dict[str, Any] = {"endpoints": no_endpoints(f"the endpoints of {name}")}
            else:
                made = self._cluster(value)
            self._labels[name] = self._draft.add_cluster(name, made)
        return self._labels[name]

    def fetch_address(self, name: str) -> str:
        """HOST:PORT of the only endpoint of a cluster; "" when there are several, or it has none."""
        value = self._by_name.get(name)
        found = [] if value is None else self._endpoints(value, tls=False)
        return str(found[0]["address"]) if len(found) == 1 else ""

    def authorities(self, name: str) -> str:
        """The file with the authorities that a cluster trusts; "" for those of the system."""
        value = self._by_name.get(name)
        tls = config_of(value.get("transport_socket")) if value is not None else None
        return tls.text("common_tls_context", "validation_context", "trusted_ca", "filename") if tls is not None else ""

    def hash_on(self, cluster: Any, policy: Value) -> None:
        """Take over what a route says of how endpoints are picked."""
        key = ""
        if header := policy.text("header", "header_name"):
            key = f"header:{header}"
        elif cookie := policy.text("cookie", "name"):
            key = f"cookie:{cookie}"
        elif policy.get("connection_properties", "source_ip") is not None:
            key = "client_address"
        if (
            not key
            or not isinstance(cluster, str)
            or self._draft.clusters[cluster].get("balancing", {}) != {"method": "hash", "hash_on": "client_address"}
        ):
            self._findings.left_out(
                policy.place, "this hash policy; write balancing: {method: hash, hash_on: …} in the cluster"
            )
            return
        self._draft.clusters[cluster]["balancing"] = {"method": "hash", "hash_on": key}

    def _cluster(self, value: Value) -> dict[str, Any]:
        tls = config_of(value.get("transport_socket"))
        made: dict[str, Any] = {"endpoints": self._endpoints(value, tls=tls is not None)}
        if value.text("type") in ("EDS", "ORIGINAL_DST") or not made["endpoints"]:
            self._findings.left_out(
                value.place,
                f"the endpoints of {value.text('name')}, which come from elsewhere; write them, or endpoints_file",
            )
            made["endpoints"] = no_endpoints()
        self._balancing(value, made)
        timeout = duration(value.get("connect_timeout"))
        made["connect_timeout"] = seconds(5.0 if timeout is None else timeout, 0.01, 60)
        if (
            "HTTP2" in value.text("protocol_selection")
            or value.get("http2_protocol_options") is not None
            or self._explicit_http2(value)
        ):
            made["protocol"] = "http2"
        self._limits(value, made)
        self._health(value, made)
        if tls is not None:
            self._tls(tls, made)
        for key, inner in value.unread(HARMLESS):
            self._findings.left_out(inner.place, f"{key} of the cluster {value.text('name')}")
        return made

    def _endpoints(self, value: Value, *, tls: bool) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for group in value.members("load_assignment", "endpoints"):
            group.get("locality")
            group.get("load_balancing_weight")
            backup = (group.whole("priority") or 0) > 0
            for one in group.members("lb_endpoints"):
                socket, pipe = (
                    one.get("endpoint", "address", "socket_address"),
                    one.text("endpoint", "address", "pipe", "path"),
                )
                if socket is not None:
                    host, port = socket.text("address"), socket.text("port_value")
                    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                    entry: dict[str, Any] = {"address": f"https://{authority}" if tls else authority}
                elif pipe:
                    entry = {"address": f"unix:{pipe}"}
                else:
                    continue
                weight = one.whole("load_balancing_weight")
                if weight is not None and weight != 1:
                    entry["weight"] = min(weight, 1000)
                if backup:
                    entry["backup"] = True
                if entry["address"] not in [other["address"] for other in found]:
                    found.append(entry)
        return found

    def _balancing(self, value: Value, made: dict[str, Any]) -> None:
        policy = value.text("lb_policy") or "ROUND_ROBIN"
        value.get("type")
        value.get("cluster_type")
        for key in ("least_request_lb_config", "ring_hash_lb_config", "maglev_lb_config", "round_robin_lb_config"):
            value.get(key)
        if policy in ("RING_HASH", "MAGLEV"):
            made["balancing"] = {"method": "hash", "hash_on": "client_address"}
        elif policy in _METHODS:
            made["balancing"] = _METHODS[policy]

    def _explicit_http2(self, value: Value) -> bool:
        options = value.get("typed_extension_protocol_options")
        for _, option in options.items() if options is not None else ():
            if option.get("explicit_http_config", "http2_protocol_options") is not None:
                return True
        return False

    def _limits(self, value: Value, made: dict[str, Any]) -> None:
        for threshold in value.members("circuit_breakers", "thresholds"):
            if threshold.text("priority") in ("", "DEFAULT", "0"):
                for there, here, most in (
                    ("max_connections", "max_connections", 65_536),
                    ("max_pending_requests", "max_pending", 65_536),
                    ("max_requests", "max_requests", 10_000_000),
                ):
                    if (number := threshold.whole(there)) is not None and number != 1024:
                        made[here] = min(max(number, 1), most)
                threshold.get("max_retries")
        outlier = value.get("outlier_detection")
        if outlier is None:
            return
        rules: dict[str, Any] = {}
        if (number := outlier.whole("consecutive_5xx")) is not None and number != 5:
            rules["consecutive_5xx"] = min(number, 1000)
        if (base := duration(outlier.get("base_ejection_time"))) is not None:
            rules["base_time"] = seconds(base, 0.1, 300)
        if (share := outlier.whole("max_ejection_percent")) is not None:
            rules["max_ejected"] = f"{max(1, min(share, 100))}%"
        if (interval := duration(outlier.get("interval"))) is not None:
            rules["interval"] = seconds(interval, 1, 3600)
        if rules:
            made["ejection"] = rules
        outlier.skip()

    def _health(self, value: Value, made: dict[str, Any]) -> None:
        checks = value.members("health_checks")
        if not checks:
            return
        check = checks[0]
        rules: dict[str, Any] = {}
        http, grpc = check.get("http_health_check"), check.get("grpc_health_check")
        if http is not None:
            rules["path"] = http.text("path") or "/"
            if host := http.text("host"):
                rules["host"] = host
            http.get("expected_statuses")
            if statuses := http.members("expected_statuses"):
                rules["statuses"] = ", ".join(_range(one) for one in statuses)
            else:
                rules["statuses"] = 200
        elif grpc is not None and made.get("protocol") == "http2":
            rules = {"type": "grpc", **({"service": service} if (service := grpc.text("service_name")) else {})}
        else:
            rules["type"] = "tcp"
            check.get("tcp_health_check")
        for there, here, least, most in (("interval", "interval", 0.1, 3600), ("timeout", "timeout", 0.01, 60)):
            if (time := duration(check.get(there))) is not None:
                rules[here] = seconds(time, least, most)
        for there, here in (("healthy_threshold", "rise"), ("unhealthy_threshold", "fall")):
            if (number := check.whole(there)) is not None:
                rules[here] = max(1, min(number, 100))
        made["health_check"] = rules

    def _tls(self, tls: Value, made: dict[str, Any]) -> None:
        rules: dict[str, Any] = {}
        common = tls.get("common_tls_context")
        if name := tls.text("sni"):
            rules["server_name"] = name
        authorities = common.text("validation_context", "trusted_ca", "filename") if common is not None else ""
        if authorities:
            rules["ca"] = authorities
        elif common is None or common.get("validation_context") is None:
            self._findings.unsafe(
                tls.place, "certificates of the endpoints are not verified; write ca instead of verify: false"
            )
            rules["verify"] = Noted(False, "unsafe: write ca: FILE")
        for certificate in tls.members("common_tls_context", "tls_certificates"):
            rules["certificate"] = certificate.text("certificate_chain", "filename")
            rules["private_key"] = certificate.text("private_key", "filename")
        if rules:
            made["tls"] = rules


def _range(value: Value) -> str:
    start, end = value.whole("start") or 200, value.whole("end") or 201
    return f"{start}-{end - 1}" if end - 1 > start else str(start)
