"""Which filter of Envoy is which, whatever it is called, and which of them may refuse requests."""

import re
from collections.abc import Mapping
from typing import Final

from lbjwt.imports.reading import Value

SILENT: Final = frozenset({"router", "health_check", "grpc_stats", "buffer"})
"""Filters that change nothing which a user of lbjwt would write."""

HARMLESS: Final = frozenset({
    "adaptive_concurrency", "alternate_protocols_cache", "cache", "compressor", "connect_grpc_bridge", "cors", "decompressor",
    "dynamic_forward_proxy", "dynamo", "fault", "grpc_http1_bridge", "grpc_http1_reverse_bridge", "grpc_json_transcoder", "grpc_web", "gzip",
    "header_mutation", "header_to_metadata", "ip_tagging", "json_to_metadata", "on_demand", "original_src", "set_metadata",
    "stateful_session", "tap",
})  # fmt: skip
"""Filters that refuse no request for what it is. Without any other one the result could let more through."""

HARMLESS_ON_CONNECTIONS: Final = frozenset({"connection_limit", "http_connection_manager", "set_filter_state"})
"""The same of connections."""

HARMLESS_CHAINS: Final = frozenset({"server_names", "application_protocols", "transport_protocol", "destination_port"})
"""Conditions of a filter chain that refuse nobody."""

_TYPE: Final = re.compile(r"filters?\.(?:http|network)\.([a-z0-9_]+)\.")


def kind_of(name: str, config: Value | None, named: Mapping[str, str] | None = None) -> str:
    """
    ``jwt_authn``, ``rbac`` and so on: from the type of a filter's configuration, or else from its name, which is free.

    Args:
        named: Kinds by names, for settings of routes, which have no type of their own.
    """
    match = _TYPE.search(config.text("@type")) if config is not None and isinstance(config.data, dict) else None
    if match is not None:
        return match[1]
    return (named or {}).get(name) or name.rpartition(".")[2]


def may_refuse(kind: str) -> bool:
    """Whether an HTTP filter may refuse a request."""
    return kind not in SILENT and kind not in HARMLESS
