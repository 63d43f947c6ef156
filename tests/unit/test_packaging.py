"""What the installed package promises: cheap to import, typed, complete. Runs in the source tree and against the installed wheel."""

import importlib
import importlib.metadata
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import lbjwt
from lbjwt import _compiled
from lbjwt._loader import CompiledFinder

PACKAGE = Path(lbjwt.__file__).parent


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_is_cheap():
    """Importing lbjwt loads neither the event loop, nor the parser, nor any third-party library."""
    heavy = [
        "uvloop",
        "httptools",
        "asyncio",
        "aiohttp",
        "cryptography",
        "joserfc",
        "pydantic",
        "click",
        "ruamel",
        "prometheus_client",
    ]
    assert run(f"import sys, lbjwt; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_middleware_needs_no_framework():
    """The middleware loads neither a framework nor what only the balancer needs."""
    others = ["fastapi", "starlette", "aiohttp", "uvloop"]
    code = f"import sys, lbjwt.asgi, lbjwt.wsgi; print([name for name in {others} if name in sys.modules])"
    assert run(code) == "[]"


def test_version_is_that_of_the_distribution():
    """`lbjwt.__version__` is what pip shows."""
    assert lbjwt.__version__ == importlib.metadata.version("lbjwt")


def test_public_names_are_there():
    """Every name that lbjwt announces can be had, and dir() shows it."""
    assert {"LoadBalancer", "Verifier", "TrustedIssuer", "IssuerPolicy", "KeyRing"} <= set(lbjwt.__all__)
    for name in lbjwt.__all__:
        assert getattr(lbjwt, name) is not None
        assert name in dir(lbjwt)


def test_several_issuers_are_within_reach():
    """A verifier of several issuers needs nothing but what lbjwt announces, and loads neither event loop nor configuration."""
    code = (
        "import sys; from lbjwt import IssuerPolicy, KeyRing, TrustedIssuer, Verifier; "
        "rules = [IssuerPolicy(issuer=name, audiences=('api',)) for name in ('a', 'b')]; "
        "verifier = Verifier.for_issuers([TrustedIssuer(policy=one) for one in rules]); "
        "verifier.publish(KeyRing.from_secret(bytes(32), algorithms=('HS256',)), 1); "
        "print(verifier.keys_of(0), len(verifier.keys_of(1)), [n for n in ('asyncio', 'pydantic') if n in sys.modules])"
    )
    assert run(code) == "None 1 []"


def test_types_are_shipped():
    """The package is marked as typed, the stub of what users import is there, and every compiled module carries its shape."""
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_fastverify.pyi").is_file()
    assert _compiled.NAMES, "no compiled module found"
    for name in _compiled.NAMES:
        assert (PACKAGE.parent / name.replace(".", "/")).with_suffix(".pxd").is_file(), f"{name} has no .pxd"


def test_compiled_modules_load():
    """Every compiled module can be imported by its name, and comes from the one library."""
    for name in _compiled.NAMES:
        module = importlib.import_module(name)
        assert module.__name__ == name
        assert module.__file__ == _compiled.__file__


def test_other_names_are_not_found():
    """The finder of the compiled modules leaves every other name to Python."""
    for name in ("lbjwt.proxy._nothing", "lbjwt.service", "json", "lbjwt"):
        assert CompiledFinder.find_spec(name) is None
    with pytest.raises(ModuleNotFoundError, match=r"lbjwt\.proxy\._nothing"):
        importlib.import_module("lbjwt.proxy._nothing")
    with pytest.raises(ImportError, match="no compiled module 'json'"):
        _compiled.create(ModuleSpec("json", None))


def test_the_command_is_installed():
    """The command `lbjwt` leads to the same door as `python -m lbjwt`."""
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="lbjwt")
    assert callable(script.load())
    version = subprocess.run(
        [sys.executable, "-m", "lbjwt", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(rf"\b{re.escape(lbjwt.__version__)}\b", version)
