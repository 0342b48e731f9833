"""A store and networks whose predictions are known: the picture of head i has the gray value i, and a network gives the
i-th row of its table for it."""

import numpy as np
import torch
from torch import nn

from semiuhpe.augment.views import denormalize
from semiuhpe.data import HeadStore
from semiuhpe.data.crop import HEAD_BOX, StoredCrop, encode
from semiuhpe.data.stores import StoredHead, StoreWriter, head_meta
from semiuhpe.evaluation.predict import evaluate_all
from semiuhpe.evaluation.results import collect
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import HEAD_TO_CAMERA, R_300WLP, euler_to_matrix, in_plane_rotation, to_300wlp

SIZE = 32
CONCENTRATION = torch.tensor([60.0, 40.0, 20.0])


class TableNetwork(nn.Module):
    """(B, 3, 32, 32) pictures of a store of this module to rows of an (N, 9) table."""

    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, image):
        number = (denormalize(image)[:, 0, 0, 0] * 255).round().long()
        return self.table[number]


def write_heads(path, rotations, euler_deg=None, full_range=True, attributes=None, scale=None, dataset="drawn"):
    """A test store, without labels if rotations are None.

    Heads take all of a crop; ``scale`` are crop pixels per source pixel, one for each.
    """
    meta = head_meta(
        dataset=dataset, split="test", size=SIZE, crop_rule=HEAD_BOX, loose=False, full_range=full_range,
        source="tests", settings={},
    )  # fmt: skip
    whole = np.array([0.0, 0.0, SIZE, SIZE])
    with StoreWriter(path, meta) as writer:
        for i, rotation in enumerate(rotations):
            picture = np.full((SIZE, SIZE, 3), i, dtype=np.uint8)
            crop = StoredCrop(encode(picture), whole, whole, 1.0 if scale is None else scale[i])
            euler = None if euler_deg is None else np.asarray(euler_deg[i])
            own = {key: values[i] for key, values in (attributes or {}).items()}
            writer.add(StoredHead(f"head{i:03d}", crop, None if rotation is None else np.asarray(rotation), euler, own))
    return path


def parameter(rotations, sharpness=1.0):
    """(N, 9) rows whose matrix Fisher mode is each rotation, at one concentration times ``sharpness``, (N,) or one."""
    sharpness = torch.as_tensor(sharpness, dtype=torch.float32).reshape(-1, 1)
    return (rotations.float() @ torch.diag_embed(CONCENTRATION * sharpness)).flatten(1)


def turned(rotations, angles_deg):
    """Rotations that are off by these angles."""
    return in_plane_rotation(torch.as_tensor(angles_deg, dtype=torch.float64)) @ rotations


def known_results(folder, truth, predicted):
    """The store and the evaluation of networks, one for each role, that predict given rotations; both in a folder."""
    store = HeadStore(write_heads(folder / "heads.lmdb", truth))
    checkpoint = folder / "best.pth"
    checkpoint.write_bytes(str(folder).encode())
    networks = {role: TableNetwork(parameter(rotations)) for role, rotations in predicted.items()}
    evaluations = evaluate_all(networks, PoseDecoder(description()), store, torch.device("cpu"), 32)
    return store, collect(evaluations, store, description(), checkpoint, {"test_set": "heads"})


def description(convention=HEAD_TO_CAMERA, full_range=True):
    return Description("plainnet", "matrixFisher", convention, full_range, SIZE, "300WLP", "")


def euler_grid(count, pitch=60, yaw=170, roll=120):
    """(count, 3) angles spread over the given ranges, never the same twice."""
    steps = torch.linspace(-1, 1, count, dtype=torch.float64)
    return torch.stack([pitch * torch.sin(7 * steps), yaw * steps, roll * torch.sin(3 * steps + 1)], dim=-1)


def as_300wlp(rows):
    """The same predictions by a network that predicts R_300wlp."""
    return to_300wlp(rows.unflatten(-1, (3, 3))).flatten(1)


__all__ = [
    "R_300WLP", "TableNetwork", "as_300wlp", "description", "euler_grid", "euler_to_matrix", "known_results",
    "parameter", "turned", "write_heads",
]  # fmt: skip
