"""The heads of a scene store as head crops by their true boxes.

This way a one-stage model and a model for head crops learn from the same pictures and are tested on the same heads.
Heads that a one-stage model need not find are left out (:func:`semiuhpe.data.scene_labels.clip_and_filter`). A head is
named after its scene and its number in the scene; its attributes say whether it is ``masked`` and ``turned``.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import box_convert

from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.scene_labels import clip_and_filter
from semiuhpe.data.stores import SceneStore, is_store
from semiuhpe.errors import DataError, StoreError


class SceneHeads(Importer):
    """The heads of a scene store."""

    name = "scenes"
    splits = ("train", "test")
    full_range = True

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        if not is_store(source):
            raise DataError(
                f"--source {source}: is not a scene store; make one with `semiuhpe scenes --out STORE`, or of a raw "
                "dataset with `semiuhpe prepare DATASET --scenes --source RAW --out STORE`"
            )
        try:
            store = SceneStore(source)
        except StoreError as error:
            raise DataError(f"--source {source}: is not a readable scene store ({error})") from error
        return [
            Picture(
                str(name),
                partial(_image, store, scene),
                (store.heads(scene), store.extent[scene], store.turn_deg[scene]),
            )
            for scene, name in enumerate(store.names)
        ]

    def heads(self, picture: Picture) -> Iterator[RawHead | Dropped]:
        found, extent, turn_deg = picture.labels
        box, visible = box_convert(torch.from_numpy(found.box), "xywh", "xyxy"), torch.from_numpy(found.visible)
        _, wanted, _ = clip_and_filter(box[None], visible[None], torch.from_numpy(extent)[None].float())
        for row, seen in enumerate(wanted[0].tolist()):
            name = f"{picture.name}_{row}"
            if not seen:
                yield Dropped(name, "too small, cut off or covered")
                continue
            attributes = {"masked": str(int(found.masked[row])), "turned": str(int(turn_deg != 0))}
            yield RawHead(name, box=found.box[row], rotation=found.rotation[row], attributes=attributes)


def _image(store: SceneStore, scene: int) -> np.ndarray:
    try:
        return store.image(scene)
    except StoreError as error:
        raise DataError(str(error)) from error
