"""``semiuhpe embedding``: is near in a model's embedding near in rotation?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semiuhpe.cli.checkpoint_options import (
    BESIDE,
    bind_trained,
    load_models,
    parse_for_run,
    results_folder,
    trained_parser,
)
from semiuhpe.cli.config import bind
from semiuhpe.cli.options import CheckpointOptions
from semiuhpe.cli.outputs import check_outputs, store_files
from semiuhpe.data.experiment import open_labeled, store_path
from semiuhpe.distributed import pick_device
from semiuhpe.errors import require
from semiuhpe.evaluation.embedding import evenly_spread
from semiuhpe.evaluation.embedding_page import embedded, write_embedding
from semiuhpe.evaluation.tables import aligned
from semiuhpe.evaluation.transformed_store import turned_at_random
from semiuhpe.models.roles import STUDENT
from semiuhpe.options import OptionGroup, option

HEADS = 1000
"""So many heads at most: all their pairs are looked at."""


@dataclass(frozen=True)
class EmbeddingOptions(OptionGroup):
    """The options of ``semiuhpe embedding`` beside those of the checkpoint."""

    output: Path | None = option(
        None, f"page to write; embedding_<test_set>.html, {BESIDE} if not given", metavar="FILE"
    )


def main(argv: Sequence[str]) -> int:
    help_text = "Compares distances in a model's embedding with geodesic ones on turned test heads."
    groups = (CheckpointOptions, EmbeddingOptions)
    parser = trained_parser("semiuhpe embedding", help_text, groups, ("test_set", "eval_batch_size"))
    parsed, path = parse_for_run(parser, argv)
    trained, options = bind_trained(parsed), bind(parsed, EmbeddingOptions)
    loaded, data = load_models(trained, path, (STUDENT,))[STUDENT], trained.data
    store = turned_at_random(evenly_spread(open_labeled(data, "test_set"), HEADS), flips=True)
    require(len(store) > 2, f"--test_set {data.test_set}: has {len(store)} heads, which is too few to compare")
    test_set = Path(data.test_set or "").stem  # open_labeled has refused None
    output = options.output or results_folder(path) / f"embedding_{test_set}.html"
    require(output.suffix == ".html", f"--output {output}: has to end in .html")
    require(output.parent.is_dir(), f"--output {output}: there is no such folder")
    check_outputs([("--output", output)], [path, trained.config, *store_files(store_path(data, "test_set"))])
    device = pick_device(trained.run.gpu_ids)
    found = embedded(loaded.model.to(device), store, loaded.image_size, device, trained.training.eval_batch_size)
    write_embedding(output, {path.parent.parent.name or path.stem: found}, store)
    rows = [
        ["", f"{len(store)} heads"],
        ["rank correlation of embedding and geodesic distance", f"{found.without_self().rank_correlation():.3f}"],
        ["nearest other head is off by (degrees)", f"{found.neighbor_error_deg():.2f}"],
        ["the nearest in rotation by", f"{found.least_error_deg():.2f}"],
    ]
    print(f"{aligned(rows)}\n\nwritten to {output}")
    return 0
