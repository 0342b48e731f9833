"""Builds the one compiled part, the mesh renderer sim3dr. Everything else is in pyproject.toml."""

import sys

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

optimise = [] if sys.platform == "win32" else ["-O3"]  # MSVC has no such flag and optimises by default
setup(ext_modules=[Pybind11Extension("sim3dr._core", ["sim3dr/core.cpp"], cxx_std=17, extra_compile_args=optimise)])
