"""From configuration to working parts: every key of the configuration arrives where it takes effect."""

import pickle
import time
from pathlib import Path
from typing import Any

import pytest

from lbjwt import Configuration, DenyReason
from lbjwt.address import Address
from lbjwt.assembly.backend_tls import peer_of
from lbjwt.assembly.cluster import Clusters, forwarding_trust, new_policy
from lbjwt.assembly.issuers import issuer_instances, trusted_issuers
from lbjwt.assembly.issuers import new_verifier as verifier_of
from lbjwt.assembly.rows import row_names
from lbjwt.assembly.sources import key_ring_of, local_keys, place_of_keys
from lbjwt.auth.verifier import Verifier
from lbjwt.config.load import load_text
from lbjwt.jose.keyring import KeyRing
from lbjwt.net.certificate import BackendTls, BackendTlsSettings
from lbjwt.observe._board import Board
from lbjwt.observe.rows import RowNumbers

BASE = """
listeners: [{address: "127.0.0.1:0"}]
clusters:
  main:
    endpoints: [{address: "127.0.0.1:9001", weight: 3}, {address: "unix:/run/app.sock"}, {address: "[::1]:9002"}]
    response_timeout: 7s
    idle_timeout: 8s
    max_idle_connections: 9
    max_connections: 10
    retries: 2
    retry_budget: 10%
"""


def configuration(issuer: str = "jwks_file: jwks.json", rest: str = "", directory: Path = Path("/")) -> Configuration:
    return load_text(f"{BASE}\nissuers: {{main: {{issuer: a, audiences: [b], {issuer}}}}}\n{rest}", directory)


def new_verifier(made: Configuration) -> Verifier:
    return verifier_of(made, issuer_instances(made))


def test_the_policy_of_the_issuer_arrives_whole() -> None:
    """Each rule of the issuer section and the two of the cache are those of the verifier; without keys it says so."""
    made = configuration(
        "jwks_file: j, algorithms: [ES256], clock_skew: 7s, require_expiration: false, required_claims: [x], max_lifetime: 1h, "
        "typ: at+jwt, required_scopes: [s], allow_padding: true",
        "limits: {max_token: 2KiB}\ntoken_cache: {max_bytes: 1MiB, max_entries: 5}\nclaim_to_headers: [{claim: sub, header: X-Sub}]",
    )
    verifier = new_verifier(made)
    policy = verifier.policy
    assert (policy.issuer, policy.audiences, policy.algorithms) == ("a", ("b",), ("ES256",))
    assert (policy.clock_skew, policy.require_expiration, policy.required_claims) == (7.0, False, ("x",))
    assert (policy.max_lifetime, policy.typ, policy.required_scopes) == (3600.0, "at+jwt", ("s",))
    assert (policy.allow_padding, policy.max_token, verifier.gate.max_token) == (True, 2048, 2048)
    assert (verifier.gate.cache.max_bytes, verifier.gate.cache.max_entries) == (1 << 20, 5)
    assert verifier.verify("a.b.c").reason is DenyReason.KEYS_UNAVAILABLE


def test_any_audience_and_any_issuer_are_none() -> None:
    """What was waived aloud is no rule at all, not an empty one."""
    text = BASE + "\nissuers: {main: {any_issuer: true, any_audience: true, jwks_file: j}}"
    policy = new_verifier(load_text(text, Path("/"))).policy
    assert policy.issuer is None and policy.audiences is None


@pytest.mark.parametrize(
    ("issuer", "place"),
    [
        ("jwks_file: k", "/k"),
        ("secret_files: [k, l], algorithms: [HS256]", "/k, /l"),
        ('remote_jwks: {uri: "https://issuer.example/jwks?secret=1"}', "https://issuer.example/jwks"),
        ("jwks: {keys: []}", "issuers.main.jwks"),
        ("secret_env: SECRET, algorithms: [HS256]", "the environment variable SECRET"),
    ],
)
def test_messages_name_the_key_source(issuer: str, place: str) -> None:
    """A URL without its query, which may hold a secret."""
    (instance,) = issuer_instances(configuration(issuer))
    assert place_of_keys(instance) == place


def test_the_limits_of_a_remote_set_are_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """max_bytes and max_keys of remote_jwks bound what its document may be, and algorithms what its keys may do."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(KeyRing, "from_jwks", lambda document, **options: asked.update(options))
    made = configuration('remote_jwks: {uri: "https://i.example/j", max_bytes: 1KiB, max_keys: 2}, algorithms: [RS256]')
    key_ring_of(made.issuers["main"])(b"{}")
    limits = {"max_bytes": 1024, "max_keys": 2}
    assert asked == {"algorithms": ("RS256",), "allow_padding": False, "symmetric": False, **limits}


def test_endpoints_keep_their_order_addresses_and_weights() -> None:
    """The index of an endpoint is its place in the configuration and on the board."""
    made = configuration()
    rows = RowNumbers.in_order(row_names(made)).endpoints
    clusters = Clusters(Board(1, 3), lambda callback: None)
    clusters.use(made.clusters, clusters.named(made.clusters), {}, rows)
    (cluster,) = clusters.all
    assert [(one.row, one.host, one.port, one.path, one.weight) for one in cluster.endpoints] == [
        (0, "127.0.0.1", 9001, "", 3),
        (1, "", 0, "/run/app.sock", 1),
        (2, "::1", 9002, "", 1),
    ]
    assert [one.address for one in cluster.endpoints] == ["127.0.0.1:9001", "unix:/run/app.sock", "[::1]:9002"]
    assert (cluster.retries, cluster.retry_budget) == (2, 0.1)
    assert {(one.response_timeout, one.idle_timeout) for one in cluster.endpoints} == {(7.0, 8.0)}


def test_the_request_policy_is_that_of_the_file() -> None:
    """Limits, odd names, token, websocket and the scheme of the listener."""
    rest = "limits: {max_request_line: 1KiB, max_request_head: 16KiB, max_request_fields: 7}\nheader_names: reject\nforwarded_headers: both\n"
    made = configuration(rest=rest + "forward_token: false\nallow_websocket: false")
    policy = new_policy(made, https=True)
    assert (policy.max_request_line, policy.max_head, policy.max_fields) == (1024, 16384, 7)
    assert policy.x_forwarded and policy.forwarded
    assert (policy.header_names, policy.forward_token, policy.allow_websocket, policy.https) == (1, False, False, True)


def test_p12_only_the_named_networks_are_trusted() -> None:
    """An address is believed when a network holds it, of either family; a Unix peer and everybody else is not; without networks nobody."""
    assert forwarding_trust(configuration()) is None
    trusts = forwarding_trust(configuration(rest='trusted_proxies: [10.0.0.0/8, "fd00::/8"]'))
    assert trusts is not None
    believed = [
        peer for peer in ("10.1.2.3", "fd00::7", "11.0.0.1", "::1", "unix", "", "::ffff:10.0.0.1") if trusts(peer)
    ]
    assert believed == ["10.1.2.3", "fd00::7"]


def test_published_keys_reach_the_verifier(tmp_path: Path) -> None:
    """A secret file becomes the key of the issuer, and its tokens are judged from then on."""
    (tmp_path / "secret").write_bytes(b"0123456789abcdef0123456789abcdef")
    made = configuration("secret_file: secret, algorithms: [HS256]", directory=tmp_path)
    verifier = new_verifier(made)
    (instance,) = issuer_instances(made)
    keys = local_keys(instance, publish=verifier.publish, board=Board(1, 3))
    keys.load(0.0, 0.0)
    assert verifier.keys_of(0) is None
    keys.begin(0.0)
    assert verifier.keys is not None and len(verifier.keys) == 1
    assert verifier.verify("a.b.c", time.time()).reason is DenyReason.MALFORMED


# --- another configuration --------------------------------------------------------------------------------------------

TENANTS = """
listeners: [{address: "127.0.0.1:0"}]
clusters: {main: {endpoints: [{address: "127.0.0.1:9001"}]}}
issuers:
  one: {issuer: https://one.test, audiences: [x], remote_jwks: {uri: https://one.test/keys}}
  many: {issuer: "https://{tenant}.test", tenants: {names: [p, q]}, audiences: [x], remote_jwks: {uri: "https://{tenant}.test/keys"}}
"""


def test_issuers_have_the_rows_that_are_given() -> None:
    """By their names, in the order of the configuration; a verifier knows them by these rows."""
    made = load_text(TENANTS, Path("/"))
    rows = {"many/q": 0, "one": 4, "many/p": 9, "of before": 1}
    instances = issuer_instances(made, rows)
    assert [(one.name, one.index) for one in instances] == [("one", 4), ("many/p", 9), ("many/q", 0)]
    verifier = verifier_of(made, instances)
    assert [verifier.policy_of(row).issuer for row in (4, 9, 0)] == [
        f"https://{name}.test" for name in ("one", "p", "q")
    ]
    assert verifier.keys_of(1) is None
    assert [one.index for one in issuer_instances(made)] == [0, 1, 2]


def test_the_same_configuration_trusts_the_same_issuers() -> None:
    """Read twice, or sent to another process, it changes no issuer: no token of it is verified again."""
    made = load_text(TENANTS, Path("/"))
    trusted = trusted_issuers(made, issuer_instances(made))
    for same in (load_text(TENANTS, Path("/")), pickle.loads(pickle.dumps(made))):  # noqa: S301
        again = trusted_issuers(same, issuer_instances(same))
        assert again == trusted
        assert [one.key_source for one in again.values()] == [one.key_source for one in trusted.values()]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("jwks_file: one.json", "jwks_file: two.json"),
        ("jwks_file: one.json", "pem_file: one.json"),
        ("secret_files: [a, b], algorithms: [HS256]", "secret_files: [a], algorithms: [HS256]"),
        ("secret_env: A, algorithms: [HS256]", "secret_env: B, algorithms: [HS256]"),
        ("jwks: {keys: []}", "jwks: {keys: [{kty: x}]}"),
        ("remote_jwks: {uri: https://a.test/1}", "remote_jwks: {uri: https://a.test/2}"),
        ("remote_jwks: {uri: https://a.test/1}", "jwks_file: one.json"),
    ],
)
def test_another_place_of_keys_is_another_source(before: str, after: str) -> None:
    """Then a reload withdraws the keys; how often and through what they are fetched does not."""
    (one,), (other,) = (issuer_instances(configuration(text)) for text in (before, after))
    assert one.key_source != other.key_source
    (often,) = issuer_instances(configuration("remote_jwks: {uri: https://a.test/1, cooldown: 7s}"))
    (seldom,) = issuer_instances(configuration("remote_jwks: {uri: https://a.test/1}, clock_skew: 7s"))
    assert often.key_source == seldom.key_source


def test_each_tenant_has_keys_of_its_own() -> None:
    """The address with the tenant in it is the source, and with discovery the issuer's name."""
    discovered = TENANTS.replace('remote_jwks: {uri: "https://{tenant}.test/keys"}', "discovery: {}")
    for text in (TENANTS, discovered):
        sources = [one.key_source for one in issuer_instances(load_text(text, Path("/")))]
        assert len(set(map(repr, sources))) == 3


def test_the_name_to_verify_stays_the_configured_one():
    """Whatever a name was resolved to, its certificate must name it; a dot at the end and a zone are no part of the name."""
    tls = BackendTls(BackendTlsSettings(), key="clusters.main.tls")
    for address, name in (
        (Address("10.0.0.1", 443, https=True, resolved_from="app.internal"), "app.internal"),
        (Address("10.0.0.1", 443, https=True, resolved_from="host-1.internal", domain="app.internal"), "app.internal"),
        (Address("app.internal.", 443, https=True), "app.internal"),
        (Address("fe80::1%eth0", 443, https=True), "fe80::1"),
        (Address("10.0.0.1", 443, https=True), "10.0.0.1"),
    ):
        peer = peer_of(tls, address)
        assert peer is not None and peer.server_name == name
    assert peer_of(tls, Address("app.internal", 80)) is None
    other = BackendTls(BackendTlsSettings(server_name="else.test"), key="clusters.main.tls")
    assert peer_of(other, Address("10.0.0.1", 443, https=True)).server_name == "else.test"
    with pytest.raises(ValueError, match="no TLS for"):
        peer_of(None, Address("app.internal", 443, https=True))
