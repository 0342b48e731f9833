"""Builds the one compiled part, the mesh renderer sim3dr, and puts settings, the models and sample heads into the
package.

Everything else is in pyproject.toml.
"""

import sys
from glob import glob
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup
from setuptools.command.build_py import build_py

# Nothing depends on the machine. The two -fno flags give up only what nobody reads, errno and floating point traps, and
# let compilers use vector instructions for square roots and choices. MSVC optimizes by default and has no such flags.
if sys.platform == "win32":
    compile_args, link_args = [], []
else:
    compile_args = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-pthread"]
    link_args = ["-pthread"]

# These lie at the top of the repository, where commands name them, and inside the installed package, where
# semiuhpe.settings.settings_file, semiuhpe.models.weights and semiuhpe.inference.samples look for them.
SHIPPED = [
    *glob("settings/*.yml"),
    *glob("examples/heads/*"),
    "weights/README.md",
    "weights/heads-full.safetensors",
    "weights/heads-front.safetensors",
    "weights/heads-detector.safetensors",
]


class BuildWithFiles(build_py):
    """Copies :data:`SHIPPED` into the package. An editable install finds them in the repository."""

    def run(self) -> None:
        super().run()
        for source, target in self._copies().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._copies().values()]

    def get_output_mapping(self) -> dict[str, str]:
        return {**super().get_output_mapping(), **{target: source for source, target in self._copies().items()}}

    def _copies(self) -> dict[str, str]:
        paths = [] if self.editable_mode else SHIPPED
        return {path: str(Path(self.build_lib) / "semiuhpe" / path) for path in paths}


setup(
    cmdclass={"build_py": BuildWithFiles},
    ext_modules=[
        Pybind11Extension(
            "sim3dr._core",
            sorted(glob("sim3dr/csrc/*.cpp")),
            depends=sorted(glob("sim3dr/csrc/*.h")),
            cxx_std=17,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
    ],
)
