"""The models that come with the package: on rendered heads, and on photographs."""

import numpy as np
import pytest
import torch
from support.paths import SHARED

from semiuhpe import HeadPoseEstimator
from semiuhpe.data.preparing import prepare
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation.run import evaluate_checkpoint
from semiuhpe.models import find_checkpoint
from semiuhpe.models.weights import DEFAULT_CHECKPOINT, SHIPPED
from semiuhpe.rotation import geodesic_deg
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store

AFLW2000 = SHARED / "real" / "AFLW2000-dev"


@pytest.mark.parametrize(("name", "range_", "most_deg"), [("heads-full", "full", 15), ("heads-front", "front", 10)])
def test_shipped_models_see_rendered_heads(name, range_, most_deg, tmp_path):
    write_store(SyntheticSet(60, "wild", range_, 99, 96, test=True), tmp_path / "heads.lmdb")
    store = HeadStore(tmp_path / "heads.lmdb")
    estimator = HeadPoseEstimator.from_checkpoint(name)
    assert estimator.description.full_range == (range_ == "full")
    poses = estimator.predict_crops([store.image(i) for i in range(len(store))])
    errors = geodesic_deg(torch.from_numpy(poses.rotations), torch.from_numpy(store.rotation)).numpy()
    assert np.median(errors) < most_deg
    sure = poses.confidence >= np.median(poses.confidence)
    assert errors[sure].mean() < errors[~sure].mean()


def test_shipped_models_are_small_and_one_is_the_default():
    sizes = [find_checkpoint(name).stat().st_size for name in SHIPPED]
    assert sum(sizes) <= 12_000_000
    assert HeadPoseEstimator.from_checkpoint(device="cpu").path == find_checkpoint(DEFAULT_CHECKPOINT)


@pytest.mark.skipif(not AFLW2000.is_dir(), reason="needs the photographs in ../shared/real/AFLW2000-dev")
@pytest.mark.parametrize(("name", "most_mae", "most_deg"), [("heads-full", 9, 15), ("heads-front", 7, 11)])
def test_shipped_models_work_on_photographs(name, most_mae, most_deg, tmp_path):
    """Every second picture of AFLW2000-3D, none of which a training has seen."""
    prepare("AFLW2000", AFLW2000, tmp_path / "photographs.lmdb", size=96)
    results = evaluate_checkpoint(name, tmp_path / "photographs.lmdb").summary
    found = results["results"]["teacher"]
    assert found["euler_mae_deg"] <= most_mae and found["geodesic_mean_deg"] <= most_deg
    assert results["calibration"]["teacher"]["confidence"]["ece"] <= 0.1
