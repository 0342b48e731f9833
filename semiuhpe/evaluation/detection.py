"""Evaluation of detections and poses of a one-stage network on a scene store.

Average precision is COCO's, computed by pycocotools: the mean over IoU 0.5 to 0.95, and the value at 0.5. Rotation
errors are means over the heads that were found, with an IoU and a score of at least 0.5. A missed head is counted as
missed and has no rotation error. Heads that are too small, cut off or covered
(:func:`semiuhpe.data.scene_labels.clip_and_filter`) are ignored, whether found or not.

Beside them is the error as the method's source counts it (:func:`missed_as_zero`): there a missed head has pose 0.
"""

import contextlib
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import box_convert
from tqdm import tqdm

from semiuhpe.augment.scenes import plain_view
from semiuhpe.data.batches.scenes import ordered_scenes
from semiuhpe.data.scene_labels import clip_and_filter
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.distributed import Process
from semiuhpe.distributions import NonFiniteParameterError
from semiuhpe.errors import ConfigError, TrainingError
from semiuhpe.evaluation.metrics import pose_errors, summarize
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.onestage import anchor_boxes
from semiuhpe.models.onestage_decoding import MIN_SCORE, MOST_FOUND, find_heads
from semiuhpe.models.output import eval_mode
from semiuhpe.rotation import matrix_to_euler

DETECTION_METRICS = ("missed_ap50", "missed_ap", "geodesic_mean_deg", "missed_share")
"""Metrics that ``best`` can be selected by, lower is better. The first two are 1 minus the average precision."""
MATCHED_IOU = 0.5
LEAST_SCORE = 0.02
"""Detections with a lower score hardly change the average precision."""


@dataclass(frozen=True)
class Detected:
    """Heads found on the scenes of a store, on the CPU.

    Attributes:
        scene: (N,) the scene's position in the store's view.
        box: (N, 4) corners in pixels of the stored picture.
        score, entropy: (N,).
        landmarks: (N, 5, 2) pixels of the stored picture.
        rotation: (N, 3, 3) head to camera.
    """

    scene: Tensor
    box: Tensor
    score: Tensor
    landmarks: Tensor
    rotation: Tensor
    entropy: Tensor

    def on(self, scene: int, min_score: float = MIN_SCORE) -> "Detected":
        """Return the heads found on one scene."""
        chosen = (self.scene == scene) & (self.score >= min_score)
        return Detected(**{name: value[chosen] for name, value in vars(self).items()})


@torch.no_grad()
def detect(
    network: nn.Module, description: Description, store: SceneStore, device: torch.device, batch_size: int,
    num_workers: int = 0, progress: bool = False,
) -> Detected:  # fmt: skip
    """Return all heads that a network finds on a store's scenes, with scores of at least :data:`LEAST_SCORE`.

    Raises:
        StoreError: the store has no scenes.
        TrainingError: a prediction is not finite.
    """
    size = description.image_size
    anchors = anchor_boxes(size, size, device)
    rows: list[tuple[Tensor, ...]] = []
    total = math.ceil(len(store) / batch_size)
    batches = ordered_scenes(store, batch_size, num_workers)
    batches = tqdm(batches, total=total, desc="detecting", disable=None if progress else True)
    try:
        with eval_mode(network):
            for number, batch in enumerate(batches):
                batch = batch.to(device)
                outputs = network(plain_view(batch, size).image)
                found = find_heads(outputs, anchors, description.distribution, LEAST_SCORE)
                # A score that is not a number would pass for no head.
                if not all(values.isfinite().all() for values in (outputs.logit, found.box, found.rotation)):
                    raise TrainingError(f"{store.path}: the network predicts values that are not finite")
                scale = (batch.extent.amax(-1) / size)[found.picture]
                scene = found.picture + number * batch_size
                limit = batch.extent[found.picture].repeat(1, 2)
                box = (found.box * scale[:, None]).clamp(min=0.0).minimum(limit)
                landmarks = found.landmarks * scale[:, None, None]
                columns = (scene, box, found.score, landmarks, found.rotation, found.entropy)
                rows.append(tuple(column.cpu() for column in columns))
    except NonFiniteParameterError as error:
        raise TrainingError(f"{store.path}: the network predicts values that are not finite ({error})") from error
    return Detected(*(torch.cat(columns) for columns in zip(*rows, strict=True)))


@dataclass(frozen=True)
class TrueHeads:
    """The labeled heads of a store's view, those to be found and those to be ignored.

    Attributes:
        scene: (H,) the scene's position.
        box: (H, 4) corners, limited to the picture.
        wanted: (H,) bool, to be found; others are ignored.
        rotation: (H, 3, 3).
        masked: (H,) bool, wearing a drawn mask.
        turned: (H,) bool, in a turned picture.
    """

    scene: np.ndarray
    box: np.ndarray
    wanted: np.ndarray
    rotation: np.ndarray
    masked: np.ndarray
    turned: np.ndarray


def true_heads(store: SceneStore, size: int) -> TrueHeads:
    """Return the labeled heads of a store's view, as a network of this input size could see them."""
    rows: list[tuple[np.ndarray, ...]] = []
    for scene in range(len(store)):
        heads = store.heads(scene)
        extent = torch.from_numpy(store.extent[scene]).float()
        scale = size / float(extent.max())
        box, visible = box_convert(torch.from_numpy(heads.box), "xywh", "xyxy"), torch.from_numpy(heads.visible)
        box, wanted, ignored = clip_and_filter(box[None] * scale, visible[None], extent[None] * scale)
        there = (wanted | ignored)[0].numpy()
        turned = np.full(len(heads), store.turn_deg[scene] != 0)
        columns = (
            np.full(len(heads), scene), box[0].numpy() / scale, wanted[0].numpy(), heads.rotation, heads.masked, turned
        )  # fmt: skip
        rows.append(tuple(column[there] for column in columns))
    return TrueHeads(*(np.concatenate(columns) for columns in zip(*rows, strict=True)))


def subset_masks(truth: TrueHeads) -> dict[str, np.ndarray]:
    """Return (H,) bool masks of the subsets that are reported separately.

    Subsets that are empty or hold all heads are left out.
    """
    kinds = {"masked": truth.masked, "unmasked": ~truth.masked, "turned": truth.turned, "upright": ~truth.turned}
    return {name: kind for name, kind in kinds.items() if kind.any() and not kind.all()}


@dataclass(frozen=True)
class DetectionResult:
    """Results of one model on all heads or on one subset.

    Attributes:
        summary: detection and pose, as plain numbers.
        found: (H,) index of the detection of each head, -1 where it was missed.
    """

    summary: dict[str, float]
    found: np.ndarray


def evaluate_detection(
    detected: Detected, truth: TrueHeads, scenes: int, full_range: bool, chosen: np.ndarray | None = None
) -> DetectionResult:
    """Return the average precision and the pose errors of detections.

    Args:
        detected: the heads that a network found.
        truth: the labeled heads.
        scenes: number of scenes.
        full_range: range of the Euler angles to compare.
        chosen: (H,) bool, the heads that count; the others are ignored.
    """
    wanted = truth.wanted if chosen is None else truth.wanted & chosen
    coco = _coco(detected, truth, wanted, scenes)
    precision = coco.eval["precision"][:, :, 0, 0, 0]  # IoU, recall
    valid = precision > -1
    ap = float(precision[valid].mean()) if valid.any() else math.nan
    ap50 = float(precision[0][valid[0]].mean()) if valid[0].any() else math.nan
    found, false = _matched(coco, detected, len(truth.scene))
    hits = wanted & (found >= 0)
    count = int(wanted.sum())
    summary = {
        "ap50": ap50,
        "ap": ap,
        "missed_ap50": 1.0 - ap50,
        "missed_ap": 1.0 - ap,
        "heads": count,
        "missed_heads": count - int(hits.sum()),
        "missed_share": 1.0 - hits.sum() / count if count else math.nan,
        "false_heads": false,
    }
    if hits.any():
        summary |= summarize(errors_of_found(detected, truth, found, hits, full_range))
    else:
        summary |= dict.fromkeys(("geodesic_mean_deg", "geodesic_median_deg", "euler_mae_deg"), math.nan)
    summary["missed_as_zero_mae_deg"] = missed_as_zero(detected, truth, wanted)
    return DetectionResult(summary, found)


def missed_as_zero(detected: Detected, truth: TrueHeads, wanted: np.ndarray) -> float:
    """Return the mean absolute error of Euler angles as the one-stage method's source (Toward-Sparse-HPE) counts it.

    Its pictures have one head each, so only pictures with one head to find count here. The prediction is the detection
    with the highest score, of at least :data:`LEAST_SCORE`, wherever in the picture it is; without any it is pose 0.
    Each angle's difference is the least of itself and of those that are 180 or 360 degrees more or less, so a head
    that is turned round by half a turn has no error. Angles are those of the front range.

    Args:
        detected, truth: as :func:`evaluate_detection`.
        wanted: (H,) bool, the heads to find.

    Returns:
        Degrees; NaN if no picture has one head.
    """
    scene, counts = np.unique(truth.scene[wanted], return_counts=True)
    rows = np.flatnonzero(wanted & np.isin(truth.scene, scene[counts == 1]))
    if not rows.size:
        return math.nan
    order = np.lexsort((-detected.score.numpy(), detected.scene.numpy()))
    seen, first = np.unique(detected.scene.numpy()[order], return_index=True)
    _, place, found = np.intersect1d(truth.scene[rows], seen, return_indices=True)
    true = matrix_to_euler(torch.from_numpy(truth.rotation[rows]).double())
    predicted = torch.zeros_like(true)
    predicted[place] = matrix_to_euler(detected.rotation[order[first[found]]].double())
    difference = predicted - true
    turns = torch.tensor([0.0, 180.0, -180.0, 360.0, -360.0], dtype=torch.float64)
    return float((difference[..., None] + turns).abs().amin(-1).mean())


def errors_of_found(
    detected: Detected, truth: TrueHeads, found: np.ndarray, hits: np.ndarray, full_range: bool
) -> dict[str, Tensor]:
    """Return errors of poses as :func:`semiuhpe.evaluation.metrics.pose_errors`, of the heads that were found.

    Args:
        detected, truth, full_range: as :func:`evaluate_detection`.
        found: (H,) index of the detection of each head.
        hits: (H,) bool, the heads whose errors are returned; all were found.
    """
    predicted = detected.rotation[torch.from_numpy(found[hits])]
    true = torch.from_numpy(truth.rotation[hits])
    return pose_errors(predicted, true, matrix_to_euler(true.double(), full_range), full_range)


def require_pycocotools() -> None:
    """Raise ConfigError if pycocotools is not installed."""
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise ConfigError("--method onestage: needs pycocotools; run pip install 'semiuhpe[onestage]'") from error


def _coco(detected: Detected, truth: TrueHeads, wanted: np.ndarray, scenes: int) -> Any:
    """Return pycocotools' evaluation, accumulated."""
    require_pycocotools()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth_box = box_convert(torch.from_numpy(truth.box), "xyxy", "xywh").numpy().astype(np.float64)
    found_box = box_convert(detected.box, "xyxy", "xywh").double().numpy()
    true, found = COCO(), COCO()
    images, category = [{"id": i} for i in range(scenes)], [{"id": 1}]
    true.dataset = {
        "images": images,
        "categories": category,
        "annotations": [
            # Ids start at 1, because 0 means "not matched" to pycocotools. Ignored heads are its crowds.
            {"id": i + 1, "image_id": int(truth.scene[i]), "category_id": 1, "bbox": box.tolist(),
             "area": float(box[2] * box[3]), "iscrowd": int(not wanted[i])}
            for i, box in enumerate(truth_box)
        ],
    }  # fmt: skip
    found.dataset = {
        "images": images,
        "categories": category,
        "annotations": [
            {"id": i + 1, "image_id": int(detected.scene[i]), "category_id": 1, "bbox": box.tolist(),
             "area": float(box[2] * box[3]), "score": float(detected.score[i]), "iscrowd": 0}
            for i, box in enumerate(found_box)
        ],
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        true.createIndex()
        found.createIndex()
        evaluation = COCOeval(true, found, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST_FOUND]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _matched(coco: Any, detected: Detected, heads: int) -> tuple[np.ndarray, int]:
    """Return the detection (H,) of each head at :data:`MATCHED_IOU` and the score of shown heads, -1 where there is
    none; and the number of detections without a head."""
    found, false = np.full(heads, -1), 0
    scores = detected.score.numpy()
    level = int(np.flatnonzero(np.isclose(coco.params.iouThrs, MATCHED_IOU))[0])
    for result in filter(None, coco.evalImgs):
        pairs = zip(result["dtIds"], result["dtMatches"][level], result["dtIgnore"][level], strict=True)
        for detection, head, ignored in pairs:
            if scores[detection - 1] < MIN_SCORE:
                continue
            if head > 0:
                found[int(head) - 1] = detection - 1
            elif not ignored:
                false += 1
    return found, false


class DetectionValidation:
    """Validates networks on a scene store during training; every process gets the same results."""

    def __init__(
        self, description: Description, store: SceneStore, process: Process, batch_size: int, num_workers: int = 0
    ):
        self.description, self.process, self.store = description, process, store
        self._loading = batch_size, num_workers
        self._truth = true_heads(store, description.image_size)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        detected = self._detect(network)
        result = evaluate_detection(detected, self._truth, len(self.store), self.store.meta["full_range"])
        return {name: float(value) for name, value in result.summary.items()}

    def _detect(self, network: nn.Module) -> Detected:
        """Detect on this process's share of the scenes, or on all if there are fewer scenes than processes."""
        process, store = self.process, self.store
        if len(store) < process.world_size or process.world_size == 1:
            return detect(network, self.description, store, process.device, *self._loading)
        share = np.array(process.share(len(store)))
        mine = detect(network, self.description, store.view(share), process.device, *self._loading)
        columns: Iterable[Tensor] = (torch.from_numpy(share)[mine.scene], *list(vars(mine).values())[1:])
        return Detected(*(process.gather(column) for column in columns))
