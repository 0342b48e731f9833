"""``semiuhpe export``: writes a model as an ONNX or a TorchScript file, or as a checkpoint of the model alone."""

from collections.abc import Sequence
from pathlib import Path

from semiuhpe.cli.config import FLAG, make_parser
from semiuhpe.cli.options import add_checkpoint
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.errors import require
from semiuhpe.inference.export import (
    check_distribution,
    check_onnx_packages,
    check_place,
    export_onnx,
    export_torchscript,
)
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
    targets = {f"--{name}": path for name in ("onnx", "torchscript", "weights") if (path := getattr(options, name))}
    require(bool(targets), "none of --onnx, --torchscript and --weights is given: the file to write")
    if options.network:
        network_spec(options.network)
    loaded = load_checkpoint(
        options.checkpoint,
        teacher=not options.student,
        network=options.network,
        convention=options.convention,
        exps_dir=options.exps_dir,
    )
    finds_heads = network_spec(loaded.network).detects
    check_targets(targets, loaded, finds_heads)
    exports = {"--onnx": export_onestage if finds_heads else export_onnx, "--torchscript": export_torchscript}
    for option, export in exports.items():
        if path := targets.get(option):
            print(f"writing {path}: {loaded.network}, {loaded.image_size} px ...", flush=True)
            differences = export(loaded, path)
            message = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
            print(f"{path} written; largest differences from PyTorch: {message}")
    if path := targets.get("--weights"):
        save_weights(loaded, path)
        print(f"{path} written: the weights and description of {loaded.path}")
    return 0


def check_targets(targets: dict[str, Path], loaded: LoadedModel, finds_heads: bool) -> None:
    """Raises ConfigError, before anything is written, unless each option can be done and names a file of its own."""
    for option, path in targets.items():
        check_place(option, path)
    check_outputs(targets.items(), [loaded.path])
    if "--torchscript" in targets:
        require(not finds_heads, f"--torchscript: {loaded.network} finds heads; it is exported with --onnx")
    if "--onnx" in targets:
        check_onnx_packages()
    if targets.keys() != {"--weights"}:
        check_distribution(loaded)
