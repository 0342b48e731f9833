"""``semiuhpe export``: writes a model as an ONNX or a TorchScript file, or as a checkpoint of the model alone."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from semiuhpe.cli.options import add_checkpoint
from semiuhpe.config import FLAG, make_parser, require
from semiuhpe.inference.export import export_onnx, export_torchscript
from semiuhpe.inference.export_onestage import export_onestage
from semiuhpe.models import LoadedModel, load_checkpoint, network_choices, network_spec
from semiuhpe.models.checkpoint import save_weights


def main(argv: Sequence[str]) -> int:
    parser = make_parser("semiuhpe export", "Writes a model, from head crops to poses, as ONNX or TorchScript.", [])
    add_checkpoint(parser)
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="ONNX file to write")
    parser.add_argument("--torchscript", type=Path, metavar="FILE", help="TorchScript file to write")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="checkpoint of the model alone to write (.pth)")
    parser.add_argument("--student", help="the student instead of the teacher", **FLAG)
    parser.add_argument("--network", help=f"where the checkpoint doesn't tell it: {network_choices()}")
    parser.add_argument("--exps_dir", metavar="DIR", default="exps", help="where run folders are")
    options = parser.parse_args(argv)
    require(
        options.onnx or options.torchscript or options.weights,
        "none of --onnx, --torchscript and --weights is given: the file to write",
    )
    if options.network:
        network_spec(options.network)
    loaded = load_checkpoint(
        options.checkpoint,
        teacher=not options.student,
        network=options.network,
        convention=options.convention,
        exps_dir=options.exps_dir,
    )
    if options.weights:
        save_weights(loaded, options.weights)
        print(f"{options.weights} written: the weights and description of {loaded.path}")
    if network_spec(loaded.network).detects:
        if options.onnx or options.torchscript:
            _export_onestage(options, loaded)
        return 0
    for path, export in ((options.onnx, export_onnx), (options.torchscript, export_torchscript)):
        if path:
            print(f"writing {path}: {loaded.network}, {loaded.image_size} px ...", flush=True)
            differences = export(loaded, path)
            told = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
            print(f"{path} written; largest differences from PyTorch: {told}")
    return 0


def _export_onestage(options: argparse.Namespace, loaded: LoadedModel) -> None:
    require(not options.torchscript, f"--torchscript: {loaded.network} finds heads; it is exported with --onnx")
    print(f"writing {options.onnx}: {loaded.network}, {loaded.image_size} px ...", flush=True)
    differences = export_onestage(loaded, options.onnx)
    told = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    print(f"{options.onnx} written; largest differences from PyTorch: {told}")
