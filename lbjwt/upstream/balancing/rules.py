"""The names of balancing rules, as the configuration has them."""

from __future__ import annotations

from lbjwt.upstream.balancing._balancing import Balancing
from lbjwt.upstream.balancing._cookie import Cookie
from lbjwt.upstream.balancing._hash import Hash
from lbjwt.upstream.balancing._key import KeySource
from lbjwt.upstream.balancing._least_requests import LeastRequests
from lbjwt.upstream.balancing._least_time import LeastTime
from lbjwt.upstream.balancing._power_of_two import PowerOfTwo
from lbjwt.upstream.balancing._random import Random
from lbjwt.upstream.balancing._round_robin import RoundRobin

MAX_LOAD = 1.25
"""Times its share of the requests in flight that an endpoint may have under `hash`."""
PLAIN = {
    "least_requests": LeastRequests,
    "least_time": LeastTime,
    "power_of_two": PowerOfTwo,
    "round_robin": RoundRobin,
    "random": Random,
}


def balancing_rule(
    method: str, *, hash_on: str = "", max_load: float = MAX_LOAD, cookie: str = "", cookie_key: bytes = b""
) -> Balancing:
    """
    Make the rule of a cluster.

    Args:
        method: A name in `PLAIN`, `hash` or `cookie`.
        hash_on: For `hash`: `client_address`, or `header:NAME`, `cookie:NAME`, `claim:NAME`.
        max_load: For `hash`: times its share of the requests in flight that an endpoint may have, 1 or more.
        cookie: For `cookie`: its name.
        cookie_key: For `cookie`: a secret, the same in all workers.
    """
    if method == "hash":
        kind, _, name = hash_on.partition(":")
        return Hash(KeySource(kind, name), max_load)
    if method == "cookie":
        return Cookie(cookie, cookie_key)
    return PLAIN[method]()
