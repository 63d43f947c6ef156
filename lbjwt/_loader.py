"""Imports the compiled modules, which share one library (`setup.py` says why): Python itself looks for a file of each module's own."""

import sys
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType

_LIBRARY = f"{__package__}._compiled"


class _CompiledLoader(ExtensionFileLoader):
    """Makes one module of the library; executing it is left to Python."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from lbjwt import _compiled

        return _compiled.create(spec)


class CompiledFinder:
    """A finder for `sys.meta_path` that knows the modules of the library."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a compiled module of lbjwt; None for any other."""
        if not name.startswith(f"{__package__}.") or name == _LIBRARY:
            return None
        from lbjwt import _compiled

        if name not in _compiled.NAMES:
            return None
        spec = ModuleSpec(name, _CompiledLoader(name, _compiled.__file__), origin=_compiled.__file__)
        spec.has_location = True
        return spec


def install() -> None:
    """Ask the finder before Python's own, once for each process."""
    if CompiledFinder not in sys.meta_path:
        sys.meta_path.insert(0, CompiledFinder)
