"""
What docs/comparison.md says of other programs, tried on the programs themselves: `python -m bench.compared`.

Every cell of its table is in a trial's row, or in `READ` with the place where it was read.
"""

from __future__ import annotations

from bench.compared import envoy, haproxy, nginx

PROGRAMS = {"envoy": envoy, "haproxy": haproxy, "nginx": nginx}

_JWT_AUTHN = "Envoy API v3, extensions.filters.http.jwt_authn.v3: no field for it"
_CONVERTERS = "HAProxy 2.6 configuration manual, section 7.3.1, jwt_verify: nothing of it"
READ = {
    ("revocation before `exp`", "envoy"): _JWT_AUTHN,
    ("keys by discovery", "haproxy"): _CONVERTERS,
    ("unknown key id", "haproxy"): _CONVERTERS,
    ("keys when the URL fails", "haproxy"): _CONVERTERS,
    ("verified tokens remembered", "haproxy"): _CONVERTERS,
}
"""
Where cells of Envoy and HAProxy that could not be tried were read, by row and program. Those of NGINX Plus were all read, at nginx.org, in
the reference of ngx_http_auth_jwt_module.
"""
