"""Builds the one compiled part, the mesh renderer sim3dr. Everything else is in pyproject.toml."""

import sys
from glob import glob

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

# Nothing depends on the machine. The two -fno flags give up only what nobody reads, errno and floating point traps, and
# let compilers use vector instructions for square roots and choices. MSVC optimises by default and has no such flags.
if sys.platform == "win32":
    compile_args, link_args = [], []
else:
    compile_args = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-pthread"]
    link_args = ["-pthread"]

setup(
    ext_modules=[
        Pybind11Extension(
            "sim3dr._core",
            sorted(glob("sim3dr/csrc/*.cpp")),
            depends=sorted(glob("sim3dr/csrc/*.h")),
            cxx_std=17,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
    ]
)
