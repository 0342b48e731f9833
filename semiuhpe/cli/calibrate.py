"""``semiuhpe calibrate``: how far off may predictions be? Found on labeled heads, and kept beside the checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.options import ModelOptions
from semiuhpe.data.experiment import DataOptions, open_labeled
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributed import pick_device
from semiuhpe.errors import ConfigError, require
from semiuhpe.evaluation.conformal import RELIABLE_DEG, fit_reliability
from semiuhpe.evaluation.evaluation_page import reliability_table
from semiuhpe.evaluation.provenance import store_facts
from semiuhpe.evaluation.run import ROLES, evaluate_heads, heads_to_evaluate, load_roles
from semiuhpe.evaluation.tables import aligned
from semiuhpe.foreign import files_of, locate_model, model_sha256
from semiuhpe.models.reliability import SHARE, calibration_file, write_calibration
from semiuhpe.options import PositiveInt, option


@dataclass(frozen=True)
class CalibrateOptions(ModelOptions):
    """The options of ``semiuhpe calibrate``."""

    on: str | None = option(
        None, "labeled heads that no training has seen: a store, or a dataset's name", metavar="STORE"
    )
    check: str | None = option(None, "other labeled heads, to see whether it holds on them", metavar="STORE")
    reliable_deg: float = option(
        RELIABLE_DEG, f"predictions are reliable that hold the truth within so many degrees, to {SHARE:.0%}"
    )
    network: str | None = option(None, "network, where the checkpoint doesn't tell it")
    eval_batch_size: PositiveInt = option(64, "heads at a time")
    gpu_ids: str | None = option(None, "GPU to compute on; the first, or the CPU, if not given")
    exps_dir: str = option("exps", "folder of all runs", metavar="DIR")


def main(argv: Sequence[str]) -> int:
    options = parse_group(
        "semiuhpe calibrate",
        "Finds on labeled heads how far off a model's predictions may be, and writes it beside the checkpoint.",
        CalibrateOptions, argv,
    )  # fmt: skip
    require(options.on is not None, "--on is not given: name labeled heads that no training has seen")
    require(
        0.0 < options.reliable_deg <= 180.0, f"--reliable_deg {options.reliable_deg}: must lie in (0, 180], in degrees"
    )
    path = locate_model(options.checkpoint, options.exps_dir)
    target = calibration_file(files_of(path)[0])
    models = load_roles(path, tuple(ROLES), options.network, options.convention, calibrated=False)
    first = next(iter(models.values()))
    store, _ = heads_to_evaluate(_opened("on", options.on), first)
    checked = None if options.check is None else heads_to_evaluate(_opened("check", options.check), first)[0]
    if checked is not None and checked.path.resolve() == store.path.resolve():
        raise ConfigError(f"--check {options.check}: is the store of --on, where it holds by itself; name another")
    device = pick_device(options.gpu_ids)
    found = fit_reliability(models, store, device, options.eval_batch_size, options.reliable_deg, progress=True)
    heads = {"path": str(store.path), "heads": len(store), **store_facts(store)}
    write_calibration(target, model_sha256(path), found, heads)
    for role, each in found.items():
        print(f"{role}: temperature {each.temperature:.3f}, found on {len(store)} heads of {store.path}")
    print(f"written to {target}; image.py, video.py and eval.py use it from now on")
    if checked is not None:
        calibrated = load_roles(path, tuple(ROLES), options.network, options.convention)
        results = evaluate_heads(
            calibrated, checked, path, {"test_set": options.check}, device, options.eval_batch_size, progress=True
        )
        columns, rows = reliability_table(results.summary)
        print(f"\non {len(checked)} other heads, {checked.path}\n\n{aligned([columns, *rows])}")
    return 0


def _opened(role: str, name: str | None) -> HeadStore:
    return open_labeled(DataOptions(), role, name, whole=True)
