"""The Cython extension modules; everything else stands in pyproject.toml.

Translating waits until something is really compiled, so an sdist needs no compiler and carries the .pyx sources. Only what is older than
its sources is translated and compiled again, on all cores.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

JOBS = os.cpu_count() or 1
DIRECTIVES = {
    "language_level": 3,
    "auto_pickle": False,
    "binding": False,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "embedsignature": False,
}


class BuildExtensions(build_ext):
    """Translate the .pyx files first, in parallel; setuptools then compiles the C files, in parallel too."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if (
            self.inplace
        ):  # an editable install would compile in a directory that goes away: here the next build finds it
            self.build_lib = self.build_temp = f"build/{sys.implementation.cache_tag}"

    def build_extensions(self) -> None:
        from Cython.Build import cythonize

        translated = cythonize(
            self.extensions, nthreads=JOBS, build_dir="build/cython", compiler_directives=DIRECTIVES, force=self.force
        )
        by_name = {extension.name: extension for extension in translated}
        for extension in self.extensions:
            extension.sources = by_name[extension.name].sources
            extension.depends = by_name[extension.name].depends
        super().build_extensions()


setup(
    cmdclass={"build_ext": BuildExtensions},
    options={"build_ext": {"parallel": JOBS}},
    ext_modules=[
        Extension(
            ".".join(source.with_suffix("").parts),
            [source.as_posix()],
            extra_compile_args=["-O2", "-g0", "-fno-strict-aliasing"],
        )
        for source in sorted(Path("lbjwt").rglob("*.pyx"))
    ],
)
