"""
The reference of the Python API, made from the docstrings so that it cannot say anything else.

``python -m docs.python_reference docs/python-reference.md`` rewrites the page; a test tells when it is due.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

HEAD: Final = """# Python reference

[In Python](python.md) shows how these go together. What is not here is no public interface and may change.

This page is made from the docstrings: `python -m docs.python_reference docs/python-reference.md`.
"""

# Each object with those of its methods that a program calls, in the order of their use.
PUBLIC: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (
        "lbjwt",
        "Verifier",
        (
            *("discover", "from_jwks_uri", "from_config", "from_jwks", "from_pem", "from_secret", "for_issuers"),
            *(
                "verify",
                "authorize",
                "averify",
                "aauthorize",
                "ready",
                "aready",
                "key_status",
                "max_wait",
                "close",
                "aclose",
            ),
            *("keys", "policy", "keys_of", "policy_of", "publish", "reload", "renew", "request_keys"),
        ),
    ),
    ("lbjwt", "Accepted", ("claims", "raise_if_refused")),
    ("lbjwt", "Refused", ("raise_if_refused",)),
    ("lbjwt.asgi", "JWTMiddleware", ()),
    ("lbjwt.fastapi", "JWTBearer", ()),
    ("lbjwt.wsgi", "JWTMiddleware", ()),
    ("lbjwt.web.protection", "Protection", ()),
    ("lbjwt", "IssuerPolicy", ()),
    ("lbjwt", "TrustedIssuer", ()),
    ("lbjwt", "KeyRing", ("from_jwks", "from_pem", "from_secret")),
    ("lbjwt", "load_config", ()),
    (
        "lbjwt",
        "LoadBalancer",
        ("start", "reload", "drain", "stop", "addresses", "admin_addresses", "set_endpoint", "wait_until_quiet"),
    ),
    ("lbjwt", "LbjwtError", ()),
    ("lbjwt", "TokenRefused", ()),
)

_SECTION: Final = re.compile(r"(Args|Attributes|Returns|Raises):")
_ITEM: Final = re.compile(r"(\*{0,2}\w+): (.*)", re.DOTALL)


def render() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for module, name, methods in PUBLIC:
        found = getattr(importlib.import_module(module), name)
        parts.append(f"## {module}.{name}\n\n{_entry(found, name)}")
        for method in methods:
            parts.append(f"### {name}.{method}\n\n{_entry(inspect.getattr_static(found, method), method)}")
    parts.append(f"## lbjwt.DenyReason\n\n{_reasons()}")
    return "\n".join(parts)


def _entry(found: Any, name: str) -> str:
    if isinstance(found, property):
        return _text(found.fget)
    if isinstance(found, classmethod):
        found = found.__func__
    return f"```python\n{_call(found, name)}\n```\n\n{_text(found)}"


def _call(found: Any, name: str) -> str:
    """A call with all parameters, one in a line if they are many."""
    if inspect.isclass(found) and issubclass(found, BaseException):
        return f"class {name}({found.__bases__[0].__name__})"
    signature = inspect.signature(found)
    parameters: list[str] = []
    keyword = False
    for one in signature.parameters.values():
        if one.name in ("self", "cls"):
            continue
        if one.kind is one.KEYWORD_ONLY and not keyword:
            parameters.append("*")
        keyword = keyword or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        parameters.append(str(one))
    plain = inspect.isclass(found) or signature.return_annotation is signature.empty
    result = "" if plain else str(signature).rpartition(")")[2]
    word = "await " if inspect.iscoroutinefunction(found) else ""
    parameters, result = [_bare(one) for one in parameters], _bare(result)
    line = f"{word}{name}({', '.join(parameters)}){result}"
    if len(line) <= 100:
        return line
    return f"{word}{name}(\n" + "".join(f"    {one},\n" for one in parameters) + f"){result}"


def _bare(text: str) -> str:
    """Types without quotes and the modules they are in."""
    return re.sub(r"\b(?:\w+\.)+(?=[A-Z])", "", re.sub(r"'([^']+)'", r"\1", text))


def _text(found: Any) -> str:
    """The docstring: its paragraphs, and a list for each of its sections."""
    paragraphs: list[str] = []
    for title, text in _sections(inspect.getdoc(found) or ""):
        if not title:
            paragraphs.append(text)
        elif title == "Returns":
            paragraphs.append(f"Returns: {_joined(text)}")
        else:
            paragraphs.append(f"{title}:\n\n" + "\n".join(f"- {item}" for item in _items(text)))
    return "\n\n".join(paragraphs) + "\n"


def _sections(text: str) -> Iterator[tuple[str, str]]:
    title, lines = "", list[str]()
    for line in [*text.split("\n"), "Args:"]:
        if _SECTION.fullmatch(line):
            if body := "\n".join(lines).strip("\n"):
                yield title, body
            title, lines = line[:-1], []
        elif title and line and not line.startswith(" "):
            yield title, "\n".join(lines)
            title, lines = "", [line]
        else:
            lines.append(line)


def _items(text: str) -> Iterator[str]:
    """`name: meaning`, which may go on in deeper lines."""
    for item in re.split(r"\n    (?! )", "\n" + text):
        if match := _ITEM.fullmatch(item.strip()):
            yield f"`{match[1].lstrip('*')}`: {_joined(match[2])}"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _reasons() -> str:
    from lbjwt import DenyReason
    from lbjwt.auth.refusals import status_of

    rows = [f"| `{reason.name}` | {status_of(reason)} |" for reason in DenyReason if reason]
    lead = "Why a token was refused, and the status of the answer. [Refusals](refusals.md) says what each means.\n\n"
    return lead + "\n".join(["| reason | status |", "| --- | ---: |", *rows]) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
