"""Envoy's listeners: which one is imported, its address and certificate, and what it asks of connections."""

from typing import Any

from lbjwt.imports.draft import Draft, Noted
from lbjwt.imports.envoy_filters import HARMLESS_CHAINS, HARMLESS_ON_CONNECTIONS, kind_of
from lbjwt.imports.envoy_values import config_of
from lbjwt.imports.findings import Findings
from lbjwt.imports.reading import Value


def managers(listener: Value, findings: Findings) -> list[Value]:
    found: list[Value] = []
    for chain in listener.members("filter_chains"):
        for one in chain.members("filters"):
            config = config_of(one)
            if config is not None and kind_of(one.text("name"), config) == "http_connection_manager":
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


def chosen(managers: list[tuple[Value, Value]]) -> tuple[Value, Value]:
    """The listener whose routes are imported: the one that checks tokens, else the first that does more than redirect."""
    for pair in managers:
        if any(kind_of(one.text("name"), config_of(one)) == "jwt_authn" for one in pair[1].members("http_filters")):
            return pair
    return next((pair for pair in managers if not redirects_only(pair[1])), managers[0])


def close_for(chain: Value, draft: Draft, findings: Findings) -> None:
    """Close every route if connections are refused by a rule that was left out."""
    match = chain.get("filter_chain_match")
    for key, value in match.items() if match is not None else ():
        if key not in HARMLESS_CHAINS:
            findings.left_out(value.place, f"{key} of filter_chain_match; every route is closed until you decide")
            draft.close_routes(f"{key} was left out")
    for one in chain.members("filters"):
        kind = kind_of(one.text("name"), config_of(one))
        if kind not in HARMLESS_ON_CONNECTIONS:
            draft.close_routes(f"the network filter {one.text('name')} was left out")


def redirects_only(manager: Value) -> bool:
    routes = [route for host in manager.members("route_config", "virtual_hosts") for route in host.members("routes")]
    return bool(routes) and all(isinstance(route.data, dict) and "redirect" in route.data for route in routes)


def add_listener(listener: Value, manager: Value, draft: Draft, findings: Findings) -> None:
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


def add_admin(root: Value, draft: Draft) -> None:
    socket = root.get("admin", "address", "socket_address")
    if socket is not None:
        draft.settings["admin"] = {"address": f"{socket.text('address')}:{socket.text('port_value')}"}
