"""
What is dangerous in a legal configuration, whatever its files hold: the service, its issuers, its routes, and text that is compared as it stands.

Opens no file, asks no clock and changes nothing. `codes` has the sentences.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Final

from lbjwt.auth.rules import path_text
from lbjwt.checks.codes import warning
from lbjwt.config.claim_header import ClaimHeader
from lbjwt.config.fields import is_variable
from lbjwt.config.issuer import Issuer
from lbjwt.config.model import AccessLog, Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.route import Route, Scopes
from lbjwt.config.rule import Rule
from lbjwt.config.section import leaves
from lbjwt.config.url import is_loopback_url
from lbjwt.routing._router import Router
from lbjwt.routing.table import RouteMatch

_NO_HOST: Final = "host.invalid"  # RFC 6761 §6.4: what no route names
_BELOW: Final = "/lbjwt-check"  # a step that no route is likely to name

_AWS_KEYS: Final = re.compile(
    r"^https://(public-keys\.auth\.elb|s3-us-gov-[a-z]+-1\.amazonaws\.com/aws-elb-public-keys)"
)
_OF_FORWARDING: Final = ("rewrite", "cluster", "timeout", "retry", "end_streams", "stream_grace")
"""Keys of a route that say what becomes of a request that is forwarded."""
_PATTERN: Final = re.compile(r"\*|/:[A-Za-z_]")
_DOTTED: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+", re.ASCII)
# A name that is a host, forwards (kubernetes.io) or backwards (com.example.roles), is the name of one claim: RFC 7519 §2, Collision-Resistant Name.
_DOMAINS: Final = frozenset([
    "app", "cloud", "com", "dev", "edu", "example", "gov", "info", "int", "io", "local", "me", "mil", "net", "org", "test",
])  # fmt: skip


# Claims of OpenID Connect Core §5.1 and of well-known issuers that say who somebody is. `sub` may, too, but without it a log is of no use.
_PERSONAL: Final = frozenset([
    "address", "birthdate", "email", "family_name", "gender", "given_name", "middle_name", "name", "nickname", "phone_number", "picture",
    "preferred_username", "profile", "unique_name", "upn", "website",
])  # fmt: skip


def warnings(configuration: Configuration) -> list[Problem]:
    """Return the warnings of a configuration, without places in a text."""
    return [
        *_service(configuration),
        *_clusters(configuration),
        *_issuers(configuration),
        *_routes(configuration),
        *_forwarding(configuration),
        *_literals(configuration),
    ]


def _service(configuration: Configuration) -> Iterator[Problem]:
    for at, listener in enumerate(configuration.listeners):
        if listener.tls is None and not listener.address.is_loopback:
            yield warning(("listeners", at), "listener-plain")
        asked = listener.authorize
        if asked is not None and listener.address.is_unix and listener.path_mode & 0o002 and asked.secret_file is None:
            yield warning(("listeners", at, "socket_mode"), "asked-by-every-user")
        if asked is not None and asked.secret_file is None and any(one.prefixlen == 0 for one in asked.trusted_peers):
            yield warning(("listeners", at, "authorize", "trusted_peers"), "asked-by-everyone")
    for at, network in enumerate(configuration.trusted_proxies):
        if network.prefixlen == 0:
            yield warning(("trusted_proxies", at), "trust-everyone")
    for label, cluster in configuration.clusters.items():
        if cluster.tls is not None and not cluster.tls.verify:
            yield warning(("clusters", label, "tls", "verify"), "backend-unverified")
    if configuration.header_names == "allow":
        yield warning(("header_names",), "header-names-allow")
    headers = configuration.claim_to_headers
    for at, header in enumerate(headers):
        told = any((one.payload or one.claim == ("iss",)) and one.issuer in (None, header.issuer) for one in headers)
        if header.claim == ("sub",) and not told and _has_several_issuers(configuration, header):
            yield warning(("claim_to_headers", at), "identity-without-issuer", at_key=True)
    if configuration.access_log is not None:
        yield from _logged(configuration.access_log)
    admin, revocation = configuration.admin, configuration.revocation
    if admin is not None and not admin.address.is_loopback and admin.remote_access == "full":
        yield warning(("admin", "address"), "admin-exposed")
    if revocation is not None and admin is not None and configuration.state_directory is None:
        yield warning(("revocation",), "revocation-forgotten", at_key=True)


def _logged(log: AccessLog) -> Iterator[Problem]:
    if log.payload:
        yield warning(("access_log", "payload"), "log-payload")
    for at, claim in enumerate(log.claims):
        if claim[-1] in _PERSONAL:
            yield warning(("access_log", "claims", at), "log-personal-data", claim=path_text(claim))


def _clusters(configuration: Configuration) -> Iterator[Problem]:
    for label, cluster in configuration.clusters.items():
        if cluster.protocol == "auto" and not cluster.uses_tls and cluster.endpoints_file is None:
            yield warning(("clusters", label, "protocol"), "auto-without-tls")
        check = cluster.health_check
        if check is not None and check.timeout is not None and check.timeout >= check.interval:
            yield warning(("clusters", label, "health_check", "timeout"), "check-overlaps")


def _has_several_issuers(configuration: Configuration, header: ClaimHeader) -> bool:
    """True when the tokens that a header comes from may have more than one `iss`."""
    of = [issuer for label, issuer in configuration.issuers.items() if header.issuer in (None, label)]
    tenants = [issuer.tenants for issuer in of if issuer.tenants is not None]
    many = any(tenant.names is None or len(tenant.names) > 1 for tenant in tenants)
    return len(of) > 1 or many or any(issuer.any_issuer for issuer in of)


def _issuers(configuration: Configuration) -> Iterator[Problem]:
    sources: dict[tuple[str, str], tuple[str, Issuer]] = {}
    for label, issuer in configuration.issuers.items():
        path: KeyPath = ("issuers", label)
        if issuer.any_issuer:
            yield warning((*path, "any_issuer"), "any-issuer")
        # Tokens of AWS load balancers have no audience, but their header tells who they are for. Access tokens of Amazon Cognito have none either:
        # their client and their scopes, which begin with the name of the API, tell it.
        bound = not issuer.required_headers.keys().isdisjoint(("signer", "client"))
        bound = bound or bool(issuer.clients and issuer.required_scopes)
        if issuer.any_audience and not bound and _opens_unasked(label, configuration):
            yield warning((*path, "any_audience"), "any-audience")
        # the other two ask for exp, too
        if not issuer.require_expiration and issuer.max_lifetime is None and issuer.max_remaining is None:
            yield warning((*path, "require_expiration"), "expiration-optional")
        if (
            issuer.remote_keys is not None
            and _AWS_KEYS.search(issuer.remote_keys.uri)
            and "signer" not in issuer.required_headers
        ):
            yield warning((*path, "remote_keys", "uri"), "signer-unchecked")
        yield from _fetch(path, issuer)
        yield from _locations(path, issuer)
        key = issuer.key_source
        held = repr(issuer.remote_jwks.uris) if issuer.remote_jwks is not None else repr(getattr(issuer, key))
        first, other = sources.setdefault((key, held), (label, issuer))
        if first != label and issuer.discovery is None and issuer.issuer != other.issuer:
            yield warning((*path, key), "keys-shared", at_key=True, other=first)
        if configuration.revocation is not None and issuer.max_lifetime is None:
            yield warning(path, "revocation-without-lifetime", at_key=True)


def _opens_unasked(label: str, configuration: Configuration) -> bool:
    """Whether its tokens open something that asks for no audience itself."""
    unasked = [route for route in configuration.routes if not route.public and not route.audiences]
    return not configuration.routes or any(one.require is None or label in one.require.labels for one in unasked)


def _fetch(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    fetch = issuer.fetch
    if fetch is None:
        return
    here: KeyPath = (*path, issuer.key_source)
    given = issuer.remote_jwks or issuer.remote_keys
    uris = (
        issuer.remote_jwks.uris
        if issuer.remote_jwks is not None
        else (given.uri if given is not None else issuer.issuer or "",)
    )
    if any(uri.startswith("http:") and not is_loopback_url(uri) for uri in uris):
        yield warning((*here, "uri" if given is not None else "allow_http"), "jwks-plain-http")
    if fetch.max_stale < fetch.longest_interval:
        yield warning((*here, "max_stale"), "jwks-stale-short")


def _locations(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    """Where a token is looked for: what would take one by mistake, let others plant one, or leak it."""
    for at, header in enumerate(issuer.from_headers or ()):
        if header.name.lower() == "authorization" and not header.scheme:
            yield warning((*path, "from_headers", at, "scheme"), "authorization-without-scheme")
    for at, cookie in enumerate(issuer.from_cookies):
        if not cookie.name.startswith(("__Host-", "__Secure-")):
            yield warning((*path, "from_cookies", at, "name"), "cookie-without-prefix")
    for at in range(len(issuer.from_params)):
        yield warning((*path, "from_params", at), "query-token")


def _routes(configuration: Configuration) -> Iterator[Problem]:
    routes = configuration.routes
    if routes and all(route.public for route in routes):
        yield warning(("routes",), "nothing-protected", at_key=True)
    for at, route in enumerate(routes):
        path: KeyPath = ("routes", at)
        yield from _let_through(path, route)
        redirect = route.refusals.redirect or ""
        if redirect.startswith("http:") and not is_loopback_url(redirect):
            yield warning((*path, "refusals", "redirect"), "redirect-plain-http")
    used = {label for route in routes for label in route.clusters}
    for label in configuration.clusters:
        if routes and label not in used and len(configuration.clusters) > 1:
            yield warning(("clusters", label), "cluster-unused", at_key=True)
    yield from _emails(configuration)
    yield from _opened(routes)
    yield from _rewritten(configuration)


def _forwarding(configuration: Configuration) -> Iterator[Problem]:
    """Settings of requests that are forwarded, where none is: the operator may believe that they hold for the proxy that asks."""
    if any(listener.mode != "authorize" for listener in configuration.listeners):
        return
    for at, route in enumerate(configuration.routes):
        given = [key for key in _OF_FORWARDING if key in route.model_fields_set]
        if given:
            what = f"{' and '.join(given)} {'have' if len(given) > 1 else 'has'}"
            yield warning(
                ("routes", at, given[0]), "forwarding-unused", at_key=True, what=what, it="them" if given[1:] else "it"
            )
    if configuration.clusters:
        yield warning(("clusters",), "forwarding-unused", at_key=True, what="clusters have", it="them")


def _comparisons(route: int, rules: Sequence[Rule]) -> Iterator[tuple[KeyPath, Rule]]:
    """Every rule of a route that compares a claim, however deep inside other rules, with its path."""
    waiting: list[tuple[KeyPath, Rule]] = [(("routes", route, "rules", at), rule) for at, rule in enumerate(rules)]
    while waiting:
        path, rule = waiting.pop(0)
        if rule.claim is not None:
            yield path, rule
        waiting += [((*path, "all", at), inner) for at, inner in enumerate(rule.all or ())]
        waiting += [((*path, "any", at), inner) for at, inner in enumerate(rule.any or ())]
        waiting += [((*path, "not"), rule.not_)] if rule.not_ is not None else []


def _let_through(path: KeyPath, route: Route) -> Iterator[Problem]:
    everything = route.place == ("/", False) and not route.hosts
    if route.public and everything:
        yield warning((*path, "public"), "public-everything")
    if route.allow_missing and everything:
        yield warning((*path, "allow_missing"), "optional-everything")
    asked = [key for key in ("audiences", "scopes", "rules") if key in route.model_fields_set]
    if route.allow_missing and asked:
        yield warning((*path, "allow_missing"), "optional-skips-rules", keys=" and ".join(asked))
    if route.report_only:
        yield warning((*path, "report_only"), "report-only")
    if not route.end_streams:
        yield warning((*path, "end_streams"), "streams-outlive-token")


def _emails(configuration: Configuration) -> Iterator[Problem]:
    for at, route in enumerate(configuration.routes):
        compared = list(_comparisons(at, route.rules))
        if not any(rule.claim == ("email_verified",) for _, rule in compared):
            for path, rule in compared:
                if rule.claim == ("email",) and rule.exists is None:
                    yield warning((*path, "claim"), "email-unverified")


def _opened(routes: Sequence[Route]) -> Iterator[Problem]:
    """
    Open routes that win requests for the paths of a protected one, by their host or because it names its methods.

    The router itself is asked who wins, with one request for each host and method below the protected route.
    """
    router = _router(routes)
    named = {method for route in routes for method in route.methods}
    unnamed = next(method for method in ("DELETE", "PUT", "POST", "PATCH", "GET", "PROPFIND") if method not in named)
    told: set[tuple[int, int]] = set()
    for at, route in enumerate(routes):
        if route.public:
            continue
        path, exact = route.place
        target = (path if exact else path.rstrip("/") + _BELOW).encode()
        alone = _router([route.model_copy(update={"methods": ()})])
        opened = [other for other in routes if other.public and path.startswith(other.place[0])]
        hosts = {*(route.hosts or [_NO_HOST]), *(host for other in opened for host in other.hosts)}
        for host, method in itertools.product(sorted(hosts) if opened else (), [*sorted(named), unnamed]):
            request = method.encode(), host.replace("*", "any").encode(), target
            number = router.find(*request)[0]
            if number < 0 or not routes[number].public or alone.find(*request)[0] != 0:
                continue
            covered, winner = route.covers(method), routes[number]
            if winner.place == route.place and (covered or winner.methods):
                continue  # an exception for the very same paths was meant so
            place = (number if covered else at, number)
            if place in told:
                continue
            told.add(place)
            if covered:
                yield warning(("routes", number), "public-over-protected", at_key=True, host=host, route=route.name)
            else:
                yield warning(("routes", at, "methods"), "methods-left-open", method=method, route=winner.name)


def _rewritten(configuration: Configuration) -> Iterator[Problem]:
    """Routes whose requests reach a path of the endpoints that another route protects by rules that they do not have."""
    routes = configuration.routes
    router = _router(routes)
    for at, route in enumerate(routes):
        if route.rewrite is None or route.rewrite.template.claims:
            continue
        place, whole = route.place
        start = route.rewrite.path.rstrip("/")
        for other in routes:
            behind, exact = other.place
            if other is route or other.rewrite is not None or behind == "/" or not _asks_more(other, route):
                continue
            if other.cluster != route.cluster:
                continue
            if _is_under(behind, start) and not whole:
                target = behind
            elif _is_under(start, behind) and not (exact and start != behind):
                target = start
            else:
                continue
            path = place if whole else place.rstrip("/") + target.removeprefix(start) or "/"
            method = next(iter(route.methods), "GET")
            host = next(iter(route.hosts), _NO_HOST).replace("*", "any")
            if router.find(method.encode(), host.encode(), path.encode())[0] == at:
                yield warning(
                    ("routes", at, "rewrite"),
                    "rewrite-around-route",
                    at_key=True,
                    asked=path,
                    target=target,
                    route=other.name,
                )
                break


def _is_under(path: str, start: str) -> bool:
    return path == start or path.startswith(f"{start}/")


def _asks_more(one: Route, other: Route) -> bool:
    """Whether a request that passes on the other route might be refused on this one."""
    if one.public or one.report_only:
        return False
    if other.public or other.report_only or (other.allow_missing and not one.allow_missing):
        return True
    asked = [(getattr(one, key), getattr(other, key)) for key in ("require", "audiences", "scopes", "rules")]
    return any(here not in (None, (), Scopes()) and here != there for here, there in asked)


def _router(routes: Sequence[Route]) -> Router:
    return Router([RouteMatch(route.hosts, route.path, route.prefix, route.methods) for route in routes])


def _literals(configuration: Configuration) -> Iterator[Problem]:
    """Text that matches nothing, or not what was meant."""
    for path, value in leaves(configuration):
        text = value.name if isinstance(value, PurePath) else value
        if isinstance(text, str) and is_variable(text):
            yield warning(path, "variable-as-text")
    claims: list[tuple[KeyPath, tuple[str, ...] | None]] = [
        (("claim_to_headers", at, "claim"), pair.claim) for at, pair in enumerate(configuration.claim_to_headers)
    ]
    if configuration.access_log is not None:
        claims += [(("access_log", "claims", at), claim) for at, claim in enumerate(configuration.access_log.claims)]
    for label, issuer in configuration.issuers.items():
        claims += [
            (("issuers", label, "required_claims", at), (name,)) for at, name in enumerate(issuer.required_claims)
        ]
    for at, route in enumerate(configuration.routes):
        claims += [((*path, "claim"), rule.claim) for path, rule in _comparisons(at, route.rules)]
        if route.rewrite is not None:
            claims += [(("routes", at, "rewrite", "path"), claim) for claim in route.rewrite.template.claims]
        for key in ("path", "prefix"):
            if _PATTERN.search(getattr(route, key) or ""):
                yield warning(("routes", at, key), "path-with-star")
    for path, claim in claims:
        if claim is not None and len(claim) == 1 and _DOTTED.fullmatch(claim[0]):
            steps = claim[0].split(".")
            if not _DOMAINS & {steps[0].lower(), steps[-1].lower()}:
                yield warning(path, "claim-with-dots", steps=", ".join(steps))
