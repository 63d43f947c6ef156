"""Unsafe configurations of issuers: who is believed, for how long, with which keys, and where tokens are found."""

from tests.unit.unsafe_cases import Case, remote

__all__ = ["CASES"]

SECRET = {"issuers.main.jwks_file": ..., "issuers.main.algorithms": ["HS256"]}
OTHER = {"issuer": "https://other.example", "audiences": ["api"], "remote_jwks": {"uri": "https://other.example/jwks"}}


def _aws() -> dict[str, object]:
    """Keys of AWS load balancers."""
    uri = "https://public-keys.auth.elb.eu-west-1.amazonaws.com/{kid}"
    return {"issuers.main.jwks_file": ..., "issuers.main.remote_keys": {"uri": uri}}


CASES = [
    # --- who is believed, and for what -------------------------------------------------------------------------------------
    Case("any issuer", "any-issuer", "issuers.main.any_issuer", {"issuers.main.issuer": ..., "issuers.main.any_issuer": True}, {}),
    Case(
        "any audience", "any-audience", "issuers.main.any_audience",
        {"issuers.main.audiences": ..., "issuers.main.any_audience": True}, {},
    ),
    Case(
        "a route without audience, of an issuer without", "any-audience", "issuers.main.any_audience",
        {"issuers.main.audiences": ..., "issuers.main.any_audience": True, "forward_token": False, "routes": [{"name": "a", "prefix": "/a",
         "audiences": ["a"]}, {"name": "b", "prefix": "/b"}]},
        {"issuers.main.audiences": ..., "issuers.main.any_audience": True, "forward_token": True, "routes": [{"name": "a", "prefix": "/a",
         "audiences": ["a"]}, {"name": "b", "prefix": "/b", "audiences": ["b"]}]},
    ),
    Case(
        "any audience, of some clients, without a scope of the API", "any-audience", "issuers.main.any_audience",
        {"issuers.main.audiences": ..., "issuers.main.any_audience": True, "issuers.main.clients": ["web"]},
        {"issuers.main.audiences": ..., "issuers.main.any_audience": True, "issuers.main.clients": ["web"],
         "issuers.main.required_scopes": ["orders/read"]},
    ),
    Case(
        "two issuers, one key set", "keys-shared", "issuers.other.remote_jwks",
        {**remote(), "issuers.other": {**OTHER, "remote_jwks": {"uri": "https://issuer.example/jwks"}}}, {**remote(), "issuers.other": OTHER},
    ),
    Case(
        "one key set of two issuers, and not of two entries of one", "keys-shared", "issuers.other.remote_jwks",
        {**remote(), "issuers.other": {**OTHER, "remote_jwks": {"uri": "https://issuer.example/jwks"}}},
        {**remote(), "issuers.other": {**OTHER, "issuer": "https://issuer.example", "audiences": ["other"],
         "remote_jwks": {"uri": "https://issuer.example/jwks"}}},
    ),
    # --- how long tokens are good --------------------------------------------------------------------------------------------
    Case("leeway over the bound", "invalid", "issuers.main.clock_skew", {"issuers.main.clock_skew": "301s"}, {"issuers.main.clock_skew": "60s"}),
    Case("tokens without end", "expiration-optional", "issuers.main.require_expiration", {"issuers.main.require_expiration": False}, {}),
    Case(
        "tokens without end, but not of much life", "expiration-optional", "issuers.main.require_expiration",
        {"issuers.main.require_expiration": False}, {"issuers.main.require_expiration": False, "issuers.main.max_remaining": "1h"},
    ),
    Case(
        "load balancers of strangers", "signer-unchecked", "issuers.main.remote_keys.uri", {**_aws()},
        {**_aws(), "issuers.main.required_headers": {"signer": "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/main/1"}},
    ),
    # --- algorithms and keys -------------------------------------------------------------------------------------------------
    Case("none", "algorithm-none", "issuers.main.algorithms[0]", {"issuers.main.algorithms": ["none"]}, {"issuers.main.algorithms": ["ES256"]}),
    Case(
        "a weak RSA key", "key-file", "issuers.main.pem_file",
        {"issuers.main.jwks_file": ..., "issuers.main.pem_file": "weak.pem"},
        {"issuers.main.jwks_file": ..., "issuers.main.pem_file": "public.pem"},
    ),
    Case("a weak key among good ones", "key-left-out", "issuers.main.jwks_file", {"issuers.main.jwks_file": "mixed.json"}, {}),
    Case("keys that everybody may write", "key-file-writable", "issuers.main.jwks_file", {"issuers.main.jwks_file": "writable.json"}, {}),
    Case(
        "a weak key written here", "key-left-out", "issuers.main.jwks.keys[1]",
        {"issuers.main.jwks_file": ..., "issuers.main.jwks": "MIXED"}, {"issuers.main.jwks_file": ..., "issuers.main.jwks": "GOOD"},
    ),
    Case(
        "only a weak key written here", "key-inline", "issuers.main.jwks",
        {"issuers.main.jwks_file": ..., "issuers.main.jwks": "WEAK"}, {"issuers.main.jwks_file": ..., "issuers.main.jwks": "GOOD"},
    ),
    Case(
        "a private key written here", "invalid", "issuers.main.jwks.keys[0].d",
        {"issuers.main.jwks_file": ..., "issuers.main.jwks": "PRIVATE"}, {"issuers.main.jwks_file": ..., "issuers.main.jwks": "GOOD"},
    ),
    Case(
        "a secret that everybody may read", "secret-open", "issuers.main.secret_file",
        {**SECRET, "issuers.main.secret_file": "open.bin"}, {**SECRET, "issuers.main.secret_file": "secret.bin"},
    ),
    Case(
        "a secret that is too short", "key-file", "issuers.main.secret_file",
        {**SECRET, "issuers.main.secret_file": "short.bin"}, {**SECRET, "issuers.main.secret_file": "secret.bin"},
    ),
    Case(
        "a secret that was typed", "secret-guessable", "issuers.main.secret_file",
        {**SECRET, "issuers.main.secret_file": "typed.bin"}, {**SECRET, "issuers.main.secret_file": "secret.bin"},
    ),
    Case(
        "a secret with a line break", "secret-line-break", "issuers.main.secret_file",
        {**SECRET, "issuers.main.secret_file": "line.bin"}, {**SECRET, "issuers.main.secret_file": "secret.bin"},
    ),
    Case(
        "an old secret that everybody may read", "secret-open", "issuers.main.secret_files[1]",
        {**SECRET, "issuers.main.secret_files": ["secret.bin", "open.bin"]}, {**SECRET, "issuers.main.secret_files": ["secret.bin"]},
    ),
    Case(
        "a new secret that was typed", "secret-guessable", "issuers.main.secret_files[0]",
        {**SECRET, "issuers.main.secret_files": ["typed.bin", "secret.bin"]}, {**SECRET, "issuers.main.secret_files": ["secret.bin"]},
    ),
    Case(
        "a set of secrets that everybody may read", "secret-open", "issuers.main.jwks_file",
        {**SECRET, "issuers.main.jwks_file": "open.json"}, {**SECRET, "issuers.main.jwks_file": "oct.json"},
    ),
    Case(
        "a set with a secret that was typed", "secret-guessable", "issuers.main.jwks_file",
        {**SECRET, "issuers.main.jwks_file": "typed.json"}, {**SECRET, "issuers.main.jwks_file": "oct.json"},
    ),
    Case(
        "secrets that are asked for by no algorithm", "key-file", "issuers.main.jwks_file",
        {"issuers.main.jwks_file": "oct.json"}, {**SECRET, "issuers.main.jwks_file": "oct.json"},
    ),
    Case(
        "a private key where public ones belong", "key-file", "issuers.main.pem_file",
        {"issuers.main.jwks_file": ..., "issuers.main.pem_file": "key.pem"},
        {"issuers.main.jwks_file": ..., "issuers.main.pem_file": "public.pem"},
    ),
    Case(
        "no secret in the environment", "secret-env", "issuers.main.secret_env",
        {**SECRET, "issuers.main.secret_env": "LBJWT_TEST_NOTHING"},
        {**SECRET, "issuers.main.secret_file": "secret.bin"},
    ),
    Case(
        "a short secret in the environment", "secret-env", "issuers.main.secret_env",
        {**SECRET, "issuers.main.secret_env": "LBJWT_TEST_SHORT"},
        {**SECRET, "issuers.main.secret_file": "secret.bin"},
    ),
    # --- fetching keys ---------------------------------------------------------------------------------------------------------
    Case(
        "keys over http", "jwks-plain-http", "issuers.main.remote_jwks.uri",
        remote(uri="http://issuer.example/jwks", allow_http=True), remote(),
    ),
    Case(
        "an address of keys that a token fills in", "invalid", "issuers.main.remote_jwks.uri",
        remote(uri="https://issuer.example/{tenant}/jwks"),
        {**remote(uri="https://issuer.example/{tenant}/jwks"), "issuers.main.issuer": "https://issuer.example/{tenant}",
         "issuers.main.tenants": {"names": ["a", "b"]}},
    ),
    Case(
        "keys of nobody in particular", "invalid", "issuers.main.discovery",
        {"issuers.main.jwks_file": ..., "issuers.main.issuer": ..., "issuers.main.any_issuer": True, "issuers.main.discovery": {}},
        {"issuers.main.jwks_file": ..., "issuers.main.discovery": {}},
    ),
    Case("keys over http without a word", "invalid", "issuers.main.remote_jwks.uri", remote(uri="http://issuer.example/jwks"), remote()),
    Case("keys from the metadata of a cloud", "invalid", "issuers.main.remote_jwks.uri", remote(uri="https://169.254.169.254/jwks"), remote()),
    Case(
        "discovery over http", "jwks-plain-http", "issuers.main.discovery.allow_http",
        {"issuers.main.jwks_file": ..., "issuers.main.issuer": "http://issuer.example", "issuers.main.discovery": {"allow_http": True}},
        {"issuers.main.jwks_file": ..., "issuers.main.discovery": {}},
    ),
    Case(
        "an authority that everybody may write", "key-file-writable", "issuers.main.remote_jwks.ca_file",
        remote(ca_file="writable.pem"), remote(ca_file="cert.pem"),
    ),
    Case("an authority that is none", "tls-files", "issuers.main.remote_jwks.ca_file", remote(ca_file="jwks.json"), remote(ca_file="cert.pem")),
    Case(
        "a client key that everybody may read", "secret-open", "issuers.main.remote_jwks.client_key",
        remote(client_certificate="cert.pem", client_key="open.pem"), remote(client_certificate="cert.pem", client_key="key.pem"),
    ),
    Case(
        "a client key that is not there", "unreadable", "issuers.main.remote_jwks.client_key",
        remote(client_certificate="cert.pem", client_key="none.pem"), remote(client_certificate="cert.pem", client_key="key.pem"),
    ),
    Case(
        "a client key of another certificate", "tls-files", "issuers.main.remote_jwks.client_key",
        remote(client_certificate="cert.pem", client_key="weak.key"), remote(client_certificate="cert.pem", client_key="key.pem"),
    ),
    Case(
        "a bearer token that is none", "bearer-token", "issuers.main.remote_jwks.bearer_token_file",
        remote(bearer_token_file="jwks.json"), remote(bearer_token_file="token"),
    ),
    Case(
        "keys lapse between fetches", "jwks-stale-short", "issuers.main.remote_jwks.max_stale",
        remote(max_stale="10m"), remote(max_stale="10m", max_refresh="10m"),
    ),
    # --- where tokens are found ------------------------------------------------------------------------------------------------
    Case(
        "a cookie of any host", "cookie-without-prefix", "issuers.main.from_cookies[0].name",
        {"issuers.main.from_cookies": [{"name": "token"}]}, {"issuers.main.from_cookies": [{"name": "__Host-token"}]},
    ),
    Case("a token in the URL", "query-token", "issuers.main.from_params[0]", {"issuers.main.from_params": [{"name": "access_token"}]}, {}),
    Case(
        "passwords read as tokens", "authorization-without-scheme", "issuers.main.from_headers[0].scheme",
        {"issuers.main.from_headers": [{"name": "Authorization", "scheme": ""}]},
        {"issuers.main.from_headers": [{"name": "X-Token", "scheme": ""}]},
    ),
]  # fmt: skip
