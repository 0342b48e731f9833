"""``semiuhpe embedding``: is near in a model's embedding near in rotation?"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from semiuhpe.cli.checkpoint_options import BESIDE, STUDENT, load_models, parse_for_run, results_folder, trained_parser
from semiuhpe.cli.config import bind
from semiuhpe.cli.outputs import check_outputs, named_files, store_files
from semiuhpe.data.experiment import DataOptions, open_labeled, store_path
from semiuhpe.distributed import pick_device
from semiuhpe.errors import require
from semiuhpe.evaluation.embedding import evenly_spread
from semiuhpe.evaluation.embedding_page import embedded, write_embedding
from semiuhpe.evaluation.tables import aligned
from semiuhpe.evaluation.transformed_store import turned_at_random

HEADS = 1000
"""So many heads at most: all their pairs are looked at."""


def main(argv: Sequence[str]) -> int:
    help_text = "Compares distances in a model's embedding with geodesic ones on turned test heads."
    parser = trained_parser("semiuhpe embedding", help_text, add_embedding, ("test_set", "eval_batch_size"))
    options, path = parse_for_run(parser, argv)
    loaded = load_models(options, path, (STUDENT,))[STUDENT]
    store = turned_at_random(evenly_spread(open_labeled(bind(options, DataOptions), "test_set"), HEADS), flips=True)
    require(len(store) > 2, f"--test_set {options.test_set}: has {len(store)} heads, which is too few to compare")
    name = f"embedding_{Path(options.test_set).stem}.html"
    output = Path(options.output) if options.output else results_folder(path) / name
    require(output.suffix == ".html", f"--output {output}: has to end in .html")
    require(output.parent.is_dir(), f"--output {output}: there is no such folder")
    inputs = [path, *named_files(options), *store_files(store_path(bind(options, DataOptions), "test_set"))]
    check_outputs([("--output", output)], inputs)
    device = pick_device(options.gpu_ids)
    found = embedded(loaded.model.to(device), store, loaded.image_size, device, options.eval_batch_size)
    write_embedding(output, {path.parent.parent.name or path.stem: found}, store)
    rows = [
        ["", f"{len(store)} heads"],
        ["rank correlation of embedding and geodesic distance", f"{found.without_self().rank_correlation():.3f}"],
        ["nearest other head is off by (degrees)", f"{found.neighbor_error_deg():.2f}"],
        ["the nearest in rotation by", f"{found.least_error_deg():.2f}"],
    ]
    print(f"{aligned(rows)}\n\nwritten to {output}")
    return 0


def add_embedding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", help=f"embedding_<test_set>.html, {BESIDE} if not given")
