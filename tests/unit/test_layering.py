"""The floors of docs/design/house.md, read from the imports and cimports of every module.

Imports go down only; rooms on one floor do not know each other; nothing goes round in a circle; the low floors know no I/O. An import inside a
function counts like one at the top: it is knowledge all the same.
"""

import ast
import graphlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import lbjwt

PACKAGE = Path(lbjwt.__file__).parent

FLOORS = {
    1: {"address", "errors", "files", "units", "url", "version", "_error_reason", "_fastverify", "_grants", "_compact", "_compiled", "_loader"},
    2: {"jose", "http1"},
    3: {"auth", "routing", "http2", "spop", "ext_authz"},
    4: {"net", "observe"},
    5: {"keys", "revocation", "upstream"},
    6: {"config"},
    7: {"proxy", "admin"},
    8: {"service", "assembly", "verifier", "web", "asgi", "wsgi", "fastapi"},
    9: {"process", "demo", "explain", "checks", "imports"},
    10: {"cli", "__main__", ""},  # "": lbjwt itself, its lazy re-exports
}  # fmt: skip
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
NEIGHBOURS_MAY_TALK = {1, 8, 10}  # words, what is assembled for a service or a program, and doors

IO = {"asyncio", "socket", "select", "selectors", "ssl", "uvloop", "aiohttp", "subprocess", "multiprocessing", "threading", "signal",
      "concurrent", "http.client", "http.server", "urllib.request", "posix", "<sys/socket.h>", "<unistd.h>"}  # fmt: skip
CLOCK = {"time", "libc.time", "<time.h>", "posix.time"}
KNOWS_NO = {
    1: IO,
    2: IO | CLOCK,
    3: IO,
    6: IO | CLOCK,
    8: {"signal", "logging.config"},
}

CYTHON_IMPORT = re.compile(
    r"""^[ \t]*(?:
        from[ \t]+(?P<source>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n#]+)
      | c?import[ \t]+(?P<modules>[\w., \t]+)
      | cdef[ \t]+extern[ \t]+from[ \t]+["'](?P<header><?[\w./]+>?)["']
    )""",
    re.MULTILINE | re.VERBOSE,
)
CYTHON_TEXT = re.compile(r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'|#[^\n]*')


def module_name(path: Path) -> str:
    """`lbjwt/http1/_request.pyx` is `lbjwt.http1._request`; an `__init__` is its package."""
    parts = [*path.relative_to(PACKAGE.parent).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def python_imports(text: str, package: str) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []
        elif isinstance(node, ast.ImportFrom):
            yield absolute("." * node.level + (node.module or ""), package), [alias.name for alias in node.names]


def cython_imports(text: str, package: str) -> Iterator[tuple[str, list[str]]]:
    for match in CYTHON_IMPORT.finditer(CYTHON_TEXT.sub("", text)):
        if match["header"]:
            yield match["header"], []
        elif match["modules"]:
            for module in match["modules"].split(","):
                yield module.split()[0], []
        else:
            yield (
                absolute(match["source"], package),
                [name.split()[0] for name in match["names"].strip("()\n ").split(",") if name.strip()],
            )


def absolute(source: str, package: str) -> str:
    """Resolve leading dots against the package the import stands in."""
    dots = len(source) - len(source.lstrip("."))
    if not dots:
        return source
    base = package.split(".")
    return ".".join([*base[: len(base) - dots + 1], *filter(None, [source.lstrip(".")])])


def imports(modules: Mapping[str, tuple[str, str]]) -> dict[str, set[str]]:
    """Map each module to the modules it names. `modules`: name -> (file suffix and kind, text)."""
    graph: dict[str, set[str]] = {}
    for name, (kind, text) in modules.items():
        package = name if kind.startswith("__init__") else name.rpartition(".")[0]
        read = cython_imports if kind.endswith((".pyx", ".pxd")) else python_imports
        found = graph.setdefault(name.removesuffix("#pxd").removesuffix("#pyi"), set())
        for source, names in read(text, package):
            below = {f"{source}.{name}" for name in names} & modules.keys()
            found |= below
            # `from lbjwt.http1 import _request` names the module, not what the package re-exports
            if len(below) < len(names) or not names:
                found.add(source)
    return graph


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def knows(module: str, forbidden: set[str]) -> bool:
    return any(module == word or module.startswith(f"{word}.") for word in forbidden)


def violations(modules: Mapping[str, tuple[str, str]]) -> list[str]:
    """Every import that breaks a rule of the house, as one sentence each."""
    graph = imports(modules)
    found = []
    for module, targets in sorted(graph.items()):
        if room(module) not in FLOOR_OF:
            found.append(f"{module}: the room {room(module)!r} is on no floor")
            continue
        floor = FLOOR_OF[room(module)]
        for target in sorted(targets):
            if target != "lbjwt" and not target.startswith("lbjwt."):
                if knows(target, KNOWS_NO.get(floor, set())):
                    found.append(f"{module}: floor {floor} knows no {target}")
            elif room(target) not in FLOOR_OF:
                found.append(f"{module}: imports {target}, which is on no floor")
            elif room(target) != room(module):
                below = FLOOR_OF[room(target)]
                if below > floor:
                    found.append(f"{module}: imports {target}, which is {below - floor} floors up")
                elif below == floor and floor not in NEIGHBOURS_MAY_TALK:
                    found.append(f"{module}: imports its neighbour {target}")
    try:
        graphlib.TopologicalSorter(
            {module: targets & graph.keys() - {module} for module, targets in graph.items()}
        ).prepare()
    except graphlib.CycleError as error:
        found.append(f"goes round in a circle: {' <- '.join(error.args[1])}")
    return found


def the_house() -> dict[str, tuple[str, str]]:
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py*")):
        if path.suffix in {".py", ".pyx", ".pxd", ".pyi"} and "__pycache__" not in path.parts:
            # a .pxd or .pyi is the same module as its .pyx, read as a file of its own
            mark = (
                f"#{path.suffix[1:]}" if path.suffix in {".pxd", ".pyi"} and path.with_suffix(".pyx").exists() else ""
            )
            modules[module_name(path) + mark] = (path.name, path.read_text())
    return modules


def test_the_house_keeps_its_floors():
    """No import of the package goes up, sideways, round in a circle, or into I/O where a floor knows none."""
    modules = the_house()
    assert len(modules) > 10, "the package was not found"
    assert violations(modules) == []


@pytest.mark.parametrize(
    ("module", "kind", "text", "complaint"),
    [
        ("lbjwt.http1._request", "_request.pyx", "from lbjwt.jose.keys cimport Key", "neighbour lbjwt.jose.keys"),
        ("lbjwt.http1._request", "_request.pyx", "    from lbjwt.jose import keys", "neighbour lbjwt.jose.keys"),
        ("lbjwt.http1._request#pxd", "_request.pxd", "from ..auth cimport _gate", "lbjwt.auth._gate, which is 1 floors up"),
        ("lbjwt.jose.keys", "keys.py", "def late():\n    import lbjwt.service\n", "lbjwt.service, which is 6 floors up"),
        ("lbjwt.jose.keys", "keys.py", "def late():\n    from lbjwt import service\n", "lbjwt.service, which is 6 floors up"),
        ("lbjwt.auth.claims", "claims.py", "from .. import LoadBalancer", "lbjwt, which is 7 floors up"),
        ("lbjwt.auth.claims", "claims.py", "import asyncio.events", "floor 3 knows no asyncio.events"),
        ("lbjwt.auth.claims", "claims.py", "from asyncio import sleep", "floor 3 knows no asyncio"),
        ("lbjwt._fastverify", "_fastverify.pyx", "cimport posix.unistd as u, libc.math", "floor 1 knows no posix.unistd"),
        ("lbjwt.http1._request", "_request.pyx", 'cdef extern from "<sys/socket.h>":\n    pass', "floor 2 knows no <sys/socket.h>"),
        ("lbjwt.http1.least", "least.py", "from time import monotonic", "floor 2 knows no time"),
        ("lbjwt.service", "service.py", "import signal", "floor 8 knows no signal"),
        ("lbjwt.attic.trunk", "trunk.py", "", "the room 'attic' is on no floor"),
        ("lbjwt.proxy.tunnel", "tunnel.py", "from lbjwt.admin import server", "neighbour lbjwt.admin"),
    ],
)  # fmt: skip
def test_a_planted_violation_is_found(module: str, kind: str, text: str, complaint: str):
    """Each rule of the house speaks up when one module breaks it."""
    house = {
        "lbjwt.jose.keys": ("keys.py", ""),
        "lbjwt.service": ("service.py", ""),
        "lbjwt.auth._gate": ("_gate.pyx", ""),
    }
    found = violations(house | {module: (kind, text)})
    assert len(found) == 1, found
    assert complaint in found[0]


def test_a_planted_circle_is_found():
    """Two modules of one room that import each other are found, also when one of the imports hides in a .pxd."""
    house = {
        "lbjwt.proxy._a": ("_a.pyx", ""),
        "lbjwt.proxy._a#pxd": ("_a.pxd", "from lbjwt.proxy._b cimport B"),
        "lbjwt.proxy._b": ("_b.pyx", "from lbjwt.proxy import _a"),
    }
    assert [complaint for complaint in violations(house) if "circle" in complaint]


def test_words_in_docstrings_are_no_imports():
    """Text that reads like an import does not count, so that a docstring may show one."""
    text = '"""Use it so:\n\nfrom lbjwt.service import LoadBalancer\n"""\n# import asyncio\n'
    for kind in ("_request.pyx", "_request.py"):
        assert violations({"lbjwt.http1._request": (kind, text)}) == []
