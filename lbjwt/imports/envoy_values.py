"""Values as Envoy's configuration writes them."""

import re
from typing import Final

from lbjwt.imports.reading import Value
from lbjwt.units import format_duration

HARMLESS: Final = {
    "@type", "name", "stat_prefix", "codec_type", "use_remote_address", "normalize_path", "merge_slashes",
    "path_with_escaped_slashes_action", "strip_any_host_port", "strip_matching_host_port", "generate_request_id", "server_name", "node",
    "layered_runtime", "overload_manager", "upgrade_configs", "common_http_protocol_options", "http_protocol_options",
    "http2_protocol_options", "http3_protocol_options", "priority", "per_connection_buffer_limit_bytes", "dns_lookup_family",
    "respect_dns_ttl", "load_stats_config", "access_log_path", "profile_path", "typed_config", "stats_config", "stats_sinks",
    "stats_flush_interval", "jwt_cache_config", "stat_name", "metadata", "decorator", "server_header_transformation", "common_lb_config",
    "alpn_protocols", "tls_params", "traffic_direction", "listener_filters", "locality", "reuse_port", "enable_reuse_port", "protocol",
    "validate_clusters", "ignore_port_in_host_matching", "preserve_external_request_id", "always_set_request_id_in_response",
    "cluster_name", "stream_idle_timeout", "request_timeout", "suppress_envoy_headers", "header_prefix", "payload_in_metadata",
    "header_in_metadata", "failed_status_in_metadata", "normalize_payload_in_metadata",
}  # fmt: skip
"""Keys that change nothing which a user of lbjwt would write."""


def config_of(value: Value | None) -> Value | None:
    """The typed configuration of a filter or transport socket."""
    return None if value is None else value.get("typed_config") or value.get("config")


def duration(value: Value | None) -> float | None:
    """Seconds, from ``1.5s`` or from a mapping with seconds and nanos; None when there is none."""
    if value is None:
        return None
    if isinstance(value.data, dict):
        return (value.whole("seconds") or 0) + (value.whole("nanos") or 0) / 1e9
    match = re.fullmatch(r"([0-9.]+)s", str(value.data))
    return float(match[1]) if match else None


def written(seconds: float) -> str:
    """A duration as lbjwt writes it, to the millisecond."""
    return format_duration(round(seconds, 3))
