"""``semiuhpe inspect`` for a store of whole scenes."""

import json
from pathlib import Path

import numpy as np
import torch

from semiuhpe.data.scene_labels import LEAST_VISIBLE
from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores.scenes import SceneHeads, SceneStore
from semiuhpe.drawing.axes import save_picture
from semiuhpe.drawing.scene_sheet import SHEET_SCENES, label_sheet
from semiuhpe.errors import StoreError
from semiuhpe.evaluation.tables import histograms, print_lines, quantiles
from semiuhpe.rotation import is_rotation, matrix_to_euler


def inspect(store: SceneStore, sheet: Path | None, verify: bool) -> int:
    """Says what is in a scene store and draws some of it, or checks every scene; returns the exit code.

    Raises:
        StoreError: the store has no scenes.
    """
    if not len(store):
        raise StoreError(f"{store.path}: has no scenes; make it again")
    if verify:
        return _verify(store)
    all_heads = [store.heads(scene) for scene in range(len(store))]
    joined = {name: np.concatenate([getattr(heads, name) for heads in all_heads]) for name in vars(all_heads[0])}
    heads = SceneHeads(**joined)
    angles = _angles(heads, store.meta["full_range"])
    lines = [*_provenance(store, heads), ""]
    sizes = _sizes(store, all_heads, heads)
    lines.append(quantiles(sizes | {f"{name}, degrees": values for name, values in angles.items()}))
    lines += ["", histograms(angles)] if len(heads) else []
    whole = store.path.resolve()
    sheet = sheet or whole.with_name(f"{whole.stem}_sheet.png")
    shown = evenly_spaced(len(store), SHEET_SCENES)
    save_picture(sheet, label_sheet(store.view(shown)), "--sheet")
    print_lines(
        [*lines, "", f"{len(shown)} of the scenes are drawn in {sheet}, heads that are mostly covered without a box"]
    )
    return 0


def _provenance(store: SceneStore, heads: SceneHeads) -> list[str]:
    meta, turned = store.meta, int((store.turn_deg != 0).sum())
    pose_range = "all of SO(3)" if meta["full_range"] else "front to profile"
    return [
        f"{store.path}: {len(store)} scenes with {len(heads)} heads",
        f"dataset    {meta['dataset']}, split {meta['split']}, {pose_range}",
        f"made from  {meta['source']}, with {json.dumps(meta['settings'], ensure_ascii=False)}",
        f"pictures   at most {meta['size']} px; {turned} turned",
        f"heads      {int(heads.masked.sum())} masked, {int((heads.visible < LEAST_VISIBLE).sum())} mostly covered",
    ]


def _sizes(store: SceneStore, by_scene: list[SceneHeads], heads: SceneHeads) -> dict[str, np.ndarray]:
    return {
        "heads of a scene": np.array([len(found) for found in by_scene], dtype=np.float64),
        "picture, longer side, px": store.extent.max(axis=1).astype(np.float64),
        "head box, side, px": np.sqrt(heads.box[:, 2:].astype(np.float64).clip(min=0).prod(axis=1)),
        "share that is visible": heads.visible.astype(np.float64),
        "landmarks, share that is known": np.isfinite(heads.landmarks).all(-1).mean(-1),
    }


def _angles(heads: SceneHeads, full_range: bool) -> dict[str, np.ndarray]:
    euler = matrix_to_euler(torch.from_numpy(heads.rotation).double(), full_range=full_range).numpy()
    return {name: euler[:, column] for column, name in ((1, "yaw"), (0, "pitch"), (2, "roll"))}


def _verify(store: SceneStore) -> int:
    """Decodes every picture and checks every rotation."""
    faults = []
    for scene in range(len(store)):
        try:
            store.image(scene)
        except StoreError as error:
            faults.append(f"{store.names[scene]}: {error}")
        heads = store.heads(scene)
        wrong = ~is_rotation(torch.from_numpy(heads.rotation)).numpy()
        faults += [f"{store.names[scene]}: head {row} has a label that is no rotation" for row in np.flatnonzero(wrong)]
    verdict = f"{len(faults)} faults; make the store again" if faults else "all scenes are sound"
    print_lines([*faults, f"{store.path}: {verdict}"])
    return 1 if faults else 0
