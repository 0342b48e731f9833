"""Pictures of the heads that a network sees in training, for TensorBoard."""

import cv2
import numpy as np

from semiuhpe.augment.views import denormalize
from semiuhpe.drawing.axes import contact_sheet, draw_axes
from semiuhpe.methods.base import Preview

PREVIEW_HEADS = 8
_KEPT, _DROPPED = (40, 170, 60), (220, 40, 40)
_PREVIEW_PX = 128


def preview_sheet(preview: Preview) -> np.ndarray:
    """Return (H, W, 3) uint8: heads with predicted axes; a green rim marks kept pseudo labels, a red one dropped."""
    pictures = (denormalize(preview.image.float()) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    rotations = preview.rotation.float().cpu().numpy()
    kept = [None] * len(pictures) if preview.kept is None else preview.kept.tolist()
    drawn = []
    for picture, rotation, keep in zip(pictures, rotations, kept, strict=True):
        picture = cv2.resize(picture, (_PREVIEW_PX, _PREVIEW_PX), interpolation=cv2.INTER_LINEAR)
        if np.isfinite(rotation).all():
            picture = draw_axes(picture, rotation)
        if keep is not None:
            cv2.rectangle(picture, (1, 1), (_PREVIEW_PX - 2, _PREVIEW_PX - 2), _KEPT if keep else _DROPPED, 3)
        drawn.append(picture)
    return contact_sheet(drawn, PREVIEW_HEADS // 2, _PREVIEW_PX)
