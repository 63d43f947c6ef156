"""What refuses requests in nginx besides tokens, such as rules on addresses and directives of other modules: lbjwt closes the routes of these."""

import re
from typing import Final

from lbjwt.imports.findings import Findings
from lbjwt.imports.nginx_file import Directive, Levels, inherited, setting

_RESTRICTING: Final = ("allow", "deny", "auth_basic", "auth_request", "satisfy", "ssl_verify_client")
_OF_MODULES: Final = re.compile(
    r"auth_(?!delay|jwt|basic|request).*|auth_jwt_enabled|(?:access|rewrite)_by_.*|js_access|modsecurity|secure_link"
)
"""Directives of other modules that may refuse requests."""
_REFUSES_NOBODY: Final = re.compile(
    r"\$(?:scheme|https?_host|host|https|server_\w+|request_uri|uri|request_method|http_x_forwarded_proto|http_origin|http_user_agent|ssl_protocol)\b"
)
"""Variables of conditions that send clients to another address of the same site, or answer their preflight requests."""
_HARMLESS_INCLUDES: Final = re.compile(r"(?:.*/)?(?:mime\.types|[a-z]+_params|fastcgi\.conf)")
"""Files that are included for their types and variables."""


def restriction(levels: Levels, findings: Findings) -> str:
    """A directive that refuses requests of a location and that lbjwt does not have, with a finding; "" if there is none."""
    for name in _RESTRICTING:
        for told in inherited(levels, name):
            if told.args[:1] in (("off",), ("all",)) and name != "deny":
                continue
            findings.left_out(
                told.place,
                f"{told}; its routes are closed until you decide: remove the rule called closed once something else protects them",
            )
            return str(told.name)
    for block in levels:
        for one in block.block:
            if _may_refuse(block, one):
                findings.left_out(
                    one.place, f"{one}, which may refuse requests; its routes are closed until you decide"
                )
                return str(one.name)
        for one in block.all("if"):
            answer = one.first("return")
            if answer is not None and (
                answer.args[0][:1] in ("4", "5") or not _REFUSES_NOBODY.search(" ".join(one.args))
            ):
                findings.left_out(one.place, f"{one}, which refuses requests; its routes are closed until you decide")
                return "if"
            findings.left_out(one.place, str(one))
    return ""


def is_guarded(levels: Levels) -> bool:
    """Whether nginx refuses some requests of a location, by their token or otherwise."""
    told = setting(levels, "auth_jwt")
    return (
        (told is not None and told.args[:1] != ("off",))
        or bool({"auth_jwt", *_RESTRICTING} & names_in(levels[-1]))
        or any(inherited(levels, name) for name in _RESTRICTING)
        or any(_may_refuse(block, one) for block in levels for one in block.block)
    )


def names_in(block: Directive) -> set[str]:
    """The names of all directives in a block."""
    return {block.name}.union(*map(names_in, block.block))


def _may_refuse(block: Directive, one: Directive) -> bool:
    if one.name == "include":  # a file that is not there: nobody knows what it asks for
        return block.name != "http" and not _HARMLESS_INCLUDES.fullmatch(one.args[0])
    return _OF_MODULES.fullmatch(one.name) is not None and one.args[:1] != ("off",)
