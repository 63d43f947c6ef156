"""What each mapping of the configuration looks like, for the person who wrote something else in its place."""

from typing import Final

EXAMPLES: Final = {
    "AccessLog": '{path: "-"}',
    "Admin": '{address: "127.0.0.1:9900"}',
    "ClaimHeader": "{claim: sub, header: X-Jwt-Sub}",
    "Cluster": '{endpoints: [{address: "127.0.0.1:9001"}]}',
    "Discovery": "{}",
    "Endpoint": '{address: "127.0.0.1:9001"}',
    "FailLimit": "{failures: 100}",
    "FromCookie": "{name: __Host-token}",
    "FromHeader": "{name: X-Token}",
    "FromParam": "{name: access_token}",
    "Health": "{path: /ready}",
    "Issuer": '{issuer: "https://issuer.example", audiences: [api], discovery: {}}',
    "Limits": "{max_token: 8KiB}",
    "Listener": '{address: "127.0.0.1:8080"}',
    "Refusals": "{format: json}",
    "RemoteJwks": '{uri: "https://issuer.example/jwks.json"}',
    "Require": "{issuer: main}",
    "Resource": '{identifier: "https://api.example"}',
    "Revocation": "{}",
    "Route": "{name: orders, prefix: /orders}",
    "RouteRule": "{claim: role, equals: clerk}",
    "Rule": "{claim: role, equals: clerk}",
    "Scopes": '{all: ["orders:read"]}',
    "Tenants": "{names: [one, two]}",
    "Timeouts": "{drain: 30s}",
    "Tls": "{certificate: cert.pem, private_key: key.pem}",
    "TokenCache": "{max_bytes: 64MiB}",
}
"""By the name of the section; what stands under labels has one label around it."""
