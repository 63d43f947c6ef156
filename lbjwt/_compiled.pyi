from importlib.machinery import ModuleSpec
from types import ModuleType

NAMES: tuple[str, ...]

def create(spec: ModuleSpec, /) -> ModuleType: ...
