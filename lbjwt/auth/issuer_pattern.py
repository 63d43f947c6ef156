"""
Issuers that differ in one word: `https://login.example/{tenant}/v2.0`. No regular expression: the text around the tenant is
compared exactly, and the tenant is one of a list, or a word of a named class up to a maximum length.

No class has `/`, `.`, `%`, `@` or `:` in it, so a tenant cannot change the rest of an address (THREATS C7, C15).
"""

import re
import string
from dataclasses import dataclass

from lbjwt.errors import ConfigurationError

TENANT_CLASSES = {
    "digits": frozenset(string.digits),
    "hex": frozenset("0123456789abcdef"),
    "uuid": frozenset("0123456789abcdef-"),  # and of its form, see below
    "alphanumeric": frozenset(string.ascii_letters + string.digits),
    "name": frozenset(string.ascii_letters + string.digits + "-_"),
}
LENGTH = 64  # characters of a tenant of a class, by default
MAX_LENGTH = 128  # characters of a tenant
MAX_LISTED = 1000  # tenants in a list
TENANTS = 1000  # of a class, by default
MAX_TENANTS = 100_000  # of a class: each is remembered, and is a line in counters by issuer

TENANT = "{tenant}"  # in an issuer and in the URL of its keys
LISTED = rf"[A-Za-z0-9][A-Za-z0-9._~-]{{0,{MAX_LENGTH - 1}}}"  # may stand in the URL of the keys, in one path segment
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_tenant(tenant: str) -> str:
    """Return the name of a tenant; ConfigurationError for any other text."""
    if not re.fullmatch(LISTED, tenant):
        raise ConfigurationError(
            f"a tenant must start with a letter or digit, contain only letters, digits and . _ ~ -, and have at most {MAX_LENGTH} characters"
        )
    return tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerPattern:
    """
    The issuers of one template. Exactly one of `tenants` and `tenant_class` is given.

    Attributes:
        template: The issuer with `{tenant}` in place of the tenant, once, and something before it.
        tenants: The exact names.
        tenant_class: `digits`, `hex` (lower case), `uuid` (lower case, with hyphens), `alphanumeric`, or `name` (those, `-` and `_`).
        max_length: Maximum length of a tenant of a class, in characters.
        max_tenants: Maximum number of tenants of a class per process; tokens of further tenants are WRONG_ISSUER. Only accepted tokens
            count. This bounds memory and counters if the issuer lets anybody be a tenant.

    Raises:
        ConfigurationError: An invalid value.
    """

    template: str
    tenants: tuple[str, ...] | None = None
    tenant_class: str | None = None
    max_length: int = LENGTH
    max_tenants: int = TENANTS

    def __post_init__(self) -> None:
        before, place, after = self.template.partition(TENANT)
        if not place or not before or set("{}") & set(before + after):
            raise ConfigurationError(
                f"issuer must contain {TENANT} exactly once, not at its beginning, and no other braces", "issuer"
            )
        if (self.tenants is None) is (self.tenant_class is None):
            raise ConfigurationError("give tenants or tenant_class, not both")
        if self.tenants is not None:
            if not 1 <= len(self.tenants) <= MAX_LISTED:
                raise ConfigurationError(f"the list must have 1 to {MAX_LISTED} tenants")
            for tenant in self.tenants:
                check_tenant(tenant)
            if len(set(self.tenants)) < len(self.tenants):
                raise ConfigurationError("the list contains a tenant twice")
        elif self.tenant_class not in TENANT_CLASSES:
            raise ConfigurationError(
                f"{self.tenant_class!r} is not a tenant_class; the classes are {', '.join(TENANT_CLASSES)}"
            )
        if not 1 <= self.max_length <= MAX_LENGTH:
            raise ConfigurationError(f"max_length is {self.max_length} characters; 1 to {MAX_LENGTH} are accepted")
        if not 1 <= self.max_tenants <= MAX_TENANTS:
            raise ConfigurationError(f"max_tenants is {self.max_tenants}; 1 to {MAX_TENANTS} are accepted")

    def issuer_of(self, tenant: str) -> str:
        """The issuer of one tenant, whether or not the pattern accepts that tenant."""
        return self.template.replace(TENANT, tenant)

    def tenant_of(self, issuer: str) -> str | None:
        """The tenant whose issuer this is; None when it is no issuer of the pattern."""
        before, _, after = self.template.partition(TENANT)
        if len(issuer) <= len(before) + len(after) or not (issuer.startswith(before) and issuer.endswith(after)):
            return None
        tenant = issuer[len(before) : len(issuer) - len(after)]
        if self.tenants is not None:
            return tenant if tenant in self.tenants else None
        if len(tenant) > self.max_length or not TENANT_CLASSES[self.tenant_class or ""].issuperset(tenant):
            return None
        return tenant if self.tenant_class != "uuid" or _UUID.fullmatch(tenant) else None


def may_be_one(one: str | IssuerPattern, other: str | IssuerPattern) -> bool:
    """True when a token could come from both of two issuers."""
    if isinstance(one, str):
        return one == other if isinstance(other, str) else other.tenant_of(one) is not None
    if isinstance(other, str):
        return one.tenant_of(other) is not None
    for listed, wider in ((one, other), (other, one)):
        if listed.tenants is not None:
            return any(wider.tenant_of(listed.issuer_of(tenant)) is not None for tenant in listed.tenants)
    # For two classes the answer need not be exact: templates that could overlap count as one issuer.
    (before, _, after), (start, _, end) = one.template.partition(TENANT), other.template.partition(TENANT)
    return (before.startswith(start) or start.startswith(before)) and (after.endswith(end) or end.endswith(after))
