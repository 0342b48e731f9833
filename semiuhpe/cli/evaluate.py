"""``eval.py``: evaluates a checkpoint on a labelled store."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from semiuhpe.cli.options import experiment_parser
from semiuhpe.config import parse, require
from semiuhpe.data.experiment import open_labelled
from semiuhpe.distributed import pick_device
from semiuhpe.evaluation.protocols import Reader, evaluate
from semiuhpe.models import load_checkpoint, network_spec
from semiuhpe.training.run_folder import find_checkpoint

COLUMNS = {
    "geodesic_mean_deg": "geodesic mean",
    "geodesic_median_deg": "median",
    "frobenius_mean": "Frobenius",
    "pitch_mae_deg": "pitch",
    "yaw_mae_deg": "yaw",
    "roll_mae_deg": "roll",
    "euler_mae_deg": "Euler MAE",
    "kept_ratio": "kept",
    "kept_error_deg": "kept error",
}


def main(argv: Sequence[str]) -> int:
    parser = experiment_parser("eval.py", "Evaluates a checkpoint on a labelled head store.")
    parser.add_argument("checkpoint", help="a checkpoint file, or EXP_DETAIL/DATE/best of a run")
    parser.add_argument("--output", metavar="FILE", help="eval_<test_set>.json beside the checkpoint if not given")
    parser.set_defaults(network=None)
    options = parse(parser, argv)
    if options.network:
        network_spec(options.network)
    path = find_checkpoint(options.checkpoint, options.exps_dir)
    networks = {"student": load_checkpoint(path, teacher=False), "teacher": load_checkpoint(path)}
    model = networks["student"]
    require(
        options.network in (None, model.network),
        f"--network {options.network}: {path} is a checkpoint of {model.network}",
    )
    store = open_labelled(options, "test_set")
    output = Path(options.output) if options.output else path.parent / f"eval_{Path(options.test_set).stem}.json"
    writable = output.parent.is_dir() and os.access(output.parent, os.W_OK)
    require(writable, f"--output {output}: can't be written; name another")
    device = pick_device(options.gpu_ids)
    reader = Reader(model.description)
    results = {
        role: evaluate(loaded.model.to(device), reader, store, device, options.eval_batch_size, progress=True).summary
        for role, loaded in networks.items()
    }
    print(f"{path} on {store.path} ({len(store)} heads; degrees)")
    print(table(results))
    output.write_text(json.dumps({"checkpoint": str(path), "store": str(store.path), "results": results}, indent=1))
    print(f"written to {output}")
    return 0


def table(results: dict[str, dict[str, float]]) -> str:
    """Rows of named summaries as an aligned text table; columns that no row has are left out."""
    columns = [name for name in COLUMNS if any(name in row for row in results.values())]
    cells = [["", *(COLUMNS[name] for name in columns)]]
    for role, row in results.items():
        cells.append([role, *(f"{row[name]:.3f}" if name in row else "" for name in columns)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    return "\n".join(lines)
