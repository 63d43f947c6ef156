"""
The compiled modules: Cython translates them one by one, and one shared library holds them all. Everything else stands in pyproject.toml.

Why one library: a request runs through some thirty modules. A library for each spreads their code and tables over more pages than the processor
remembers translations of, and a hot request took 15 % more time. `lbjwt/_loader.py` finds the modules in it.

Translating waits until something is really compiled, so an sdist needs no compiler and carries the .pyx sources. Only what is older than
its sources is translated and compiled again, on all cores.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

JOBS = os.cpu_count() or 1
SOURCES = {".".join(path.with_suffix("").parts): path.as_posix() for path in sorted(Path("lbjwt").rglob("*.pyx"))}
TRANSLATED = Path("build/cython")
TABLE = TRANSLATED / "modules.h"  # what lbjwt/_compiled.c includes
FLAGS = ["-O2", "-g0", "-fno-strict-aliasing", "-fvisibility=hidden"]
DIRECTIVES = {
    "language_level": 3,
    "auto_pickle": False,
    "binding": False,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "embedsignature": False,
}


def entry_point(module: str) -> str:
    """The C function that makes a module. Cython names it by the last name alone, which two modules may share."""
    return f"PyInit_{module.replace('.', '_')}"


class BuildExtensions(build_ext):
    """Translate the .pyx files in parallel, compile those that changed in parallel, and link."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if (
            self.inplace
        ):  # an editable install would compile in a directory that goes away: here the next build finds it
            self.build_lib = self.build_temp = f"build/{sys.implementation.cache_tag}"

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *SOURCES.values()]

    def build_extensions(self) -> None:
        from Cython.Build import cythonize

        modules = [Extension(name, [source]) for name, source in SOURCES.items()]
        translated = cythonize(
            modules, nthreads=JOBS, build_dir=str(TRANSLATED), compiler_directives=DIRECTIVES, force=self.force
        )
        table = "".join(f'MODULE("{name}", {entry_point(name)})\n' for name in SOURCES)
        if not TABLE.exists() or TABLE.read_text() != table:
            TABLE.write_text(table)
        (library,) = self.extensions
        with ThreadPoolExecutor(JOBS) as pool:
            library.extra_objects = list(pool.map(self.compile_module, translated))
        library.depends = [str(TABLE), *library.extra_objects]
        super().build_extensions()

    def compile_module(self, module: Extension) -> str:
        """The object file of one translated module."""
        (compiled,) = self.compiler.object_filenames(module.sources, output_dir=self.build_temp)
        if self.force or newer_group([*module.sources, "setup.py"], compiled):
            last = module.name.rpartition(".")[2]
            self.compiler.compile(
                module.sources,
                output_dir=self.build_temp,
                macros=[(f"PyInit_{last}", entry_point(module.name))],
                extra_postargs=FLAGS,
            )
        return str(compiled)


setup(
    cmdclass={"build_ext": BuildExtensions},
    ext_modules=[
        Extension(
            "lbjwt._compiled",
            ["lbjwt/_compiled.c"],
            include_dirs=[str(TRANSLATED)],
            extra_compile_args=FLAGS,
        )
    ],
)
