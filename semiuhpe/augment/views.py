"""Weak and strong views of stored heads, batched on the device: each view is one affine resampling.

A stored training crop is as loose as the widest crop that is drawn from it; turned views are black beyond it. A view is
described by a 2x3 matrix per head that maps pixels of the view to pixels of the stored crop; matrices of several steps
(crop margin, mirroring, turning, area crop) are multiplied, and the picture is resampled once. Coordinates are
continuous: a pixel (i, j) covers [i, i+1) x [j, j+1).

The area crop follows torchvision's ``RandomResizedCrop`` with aspect ratio 1: a square at a random place, its area
between the two scales; the whole picture if none of ten squares fits.
"""

import math
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor

from semiuhpe.augment.in_plane import FLIP_PROBABILITY, InPlane
from semiuhpe.augment.random import BatchRandom
from semiuhpe.data.affine import affine, compose, flip_matrix, inverse_turn_matrix
from semiuhpe.data.batches.heads import HeadBatch
from semiuhpe.data.crop import CropRule
from semiuhpe.rotation import in_plane_rotation, mirror

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

WEAK_SCALE = (0.8, 1.25)
STRONG_SCALE = (0.6, 1.5)
BLUR_PROBABILITY = 0.05
MAX_TURN_DEG = 30.0
FRAMED_PROBABILITY = 0.5
_CROP_TRIES = 10  # as torchvision's RandomResizedCrop


@dataclass
class View:
    """A batch of network inputs.

    Attributes:
        image: (B, 3, size, size) float32, normalized with ImageNet's mean and deviation.
        rotation: (B, 3, 3) labels of the view, or None.
        turn: (B, 3, 3) in-plane rotation from the weak view to the strong one, or None where nothing was turned.
    """

    image: Tensor
    rotation: Tensor | None = None
    turn: Tensor | None = None


@dataclass
class LabeledView(View):
    """A view of labeled heads."""

    rotation: Tensor


def labeled_view(
    batch: HeadBatch, crop_rule: CropRule, size: int, flip: bool, random: BatchRandom, weak: bool = True
) -> LabeledView:
    """Return a weak view of labeled heads; with ``flip`` half of them are mirrored, with their labels.

    Without ``weak`` it is neither blurred nor cropped by area: only the margin is random.
    """
    flipped = random.chance(len(batch), FLIP_PROBABILITY if flip else 0.0)
    matrix = compose(_margin_crop(batch, crop_rule, size, random), flip_matrix(flipped, size))
    if weak:
        matrix = compose(matrix, _area_crop(len(batch), WEAK_SCALE, size, random))
        image = _picture(batch, matrix, size, _blurred(len(batch), random))
    else:
        image = _picture(batch, matrix, size)
    return LabeledView(image, _flipped_rotation(batch.truth, flipped))


def turned_view(
    batch: HeadBatch,
    crop_rule: CropRule,
    size: int,
    motion: InPlane,
    random: BatchRandom,
    alignment_deg: Tensor | None = None,
) -> LabeledView:
    """Return a weak view of labeled heads that are transformed in plane, with their labels.

    Half of the views are black beyond the turned crop, like turned test pictures; the others show the loose crop there.

    Args:
        motion: flips and turn of each head.
        alignment_deg: (B,) turn of each head before the motion, or None.
    """
    count, rotation = len(batch), batch.truth
    margin = _margin_crop(batch, crop_rule, size, random)
    moved = flip_matrix(motion.mirrored, size, motion.flipped_vertical, size)
    if alignment_deg is not None:
        rotation = in_plane_rotation(alignment_deg) @ rotation
        moved = compose(inverse_turn_matrix(alignment_deg, size), moved)
    moved = compose(moved, inverse_turn_matrix(motion.angle_deg, size))
    moved = compose(moved, _area_crop(count, WEAK_SCALE, size, random))
    beyond = _beyond(moved, size) & random.chance(count, FRAMED_PROBABILITY)[:, None, None]
    image = _picture(batch, compose(margin, moved), size, _blurred(count, random), black=beyond)
    return LabeledView(image, motion.moved(rotation))


def _beyond(matrix: Tensor, size: int) -> Tensor:
    """Return (B, size, size) bool: pixels of a view that its matrix maps outside a picture of the same size."""
    columns, rows = _sampling_places(matrix, size, size)
    place = columns + rows
    return torch.maximum(place.real.abs(), place.imag.abs()) > 1.0


def unlabeled_views(
    batch: HeadBatch, crop_rule: CropRule, size: int, rotate: bool, random: BatchRandom, black_corners: bool = False
) -> tuple[View, View]:
    """Return the weak and the strong view of unlabeled heads.

    Margin, mirroring and blur are drawn once for both, so teacher and student see the same head. Labels, where the
    store has them (only for measuring pseudo labels), are those of the weak view; ``turn`` of the strong view takes a
    rotation from the weak view to the strong one. Beyond the turned square a view shows the stored crop, or black with
    ``black_corners``.
    """
    weak, base, blurred = _weak(batch, crop_rule, size, random)
    if not rotate:
        strong = compose(base, _area_crop(len(batch), STRONG_SCALE, size, random))
        return weak, View(_picture(batch, strong, size, blurred))
    angle = (random.uniform(len(batch)) * 2.0 - 1.0) * MAX_TURN_DEG
    turn, area = inverse_turn_matrix(angle, size), _area_crop(len(batch), STRONG_SCALE, size, random)
    strong = compose(compose(base, turn), area)
    black = _beyond(compose(turn, area), size) if black_corners else None
    return weak, View(_picture(batch, strong, size, blurred, black), turn=in_plane_rotation(angle))


def weak_view(batch: HeadBatch, crop_rule: CropRule, size: int, random: BatchRandom) -> View:
    """Return only the weak view of :func:`unlabeled_views`."""
    return _weak(batch, crop_rule, size, random)[0]


def _weak(
    batch: HeadBatch, crop_rule: CropRule, size: int, random: BatchRandom
) -> tuple[View, Tensor, tuple[Tensor, Tensor]]:
    """Return a weak view, and what a strong view of the same heads shares with it: margin and mirroring, and blur."""
    count = len(batch)
    flipped = random.chance(count, FLIP_PROBABILITY)
    blurred = _blurred(count, random)
    base = compose(_margin_crop(batch, crop_rule, size, random), flip_matrix(flipped, size))
    matrix = compose(base, _area_crop(count, WEAK_SCALE, size, random))
    rotation = None if batch.rotation is None else _flipped_rotation(batch.rotation, flipped)
    return View(_picture(batch, matrix, size, blurred), rotation), base, blurred


def _flipped_rotation(rotation: Tensor, flipped: Tensor) -> Tensor:
    return torch.where(flipped[:, None, None], mirror(rotation), rotation)


def plain_view(batch: HeadBatch, size: int) -> Tensor:
    """Return network inputs of stored evaluation crops, resized only where their size differs."""
    image = batch.image.float() / 255.0
    if image.shape[-1] != size:
        image = F.interpolate(image, (size, size), mode="bicubic", antialias=True).clamp(0.0, 1.0)
    return normalize(image)


def weak_center_view(batch: HeadBatch, crop_rule: CropRule, size: int) -> Tensor:
    """Return network inputs of stored training crops at the crop rule's evaluation margin: no randomness."""
    margin = torch.full((len(batch),), crop_rule.margin, device=batch.image.device)
    return _picture(batch, _margin_matrix(batch, crop_rule, margin, size), size)


def normalize(image: Tensor) -> Tensor:
    """Normalize (B, 3, H, W) pictures in [0, 1] by ImageNet's mean and standard deviation."""
    return _normalize_(image.clone())


def _normalize_(image: Tensor) -> Tensor:
    return image.sub_(_constant(IMAGENET_MEAN, image)).div_(_constant(IMAGENET_STD, image))


def denormalize(image: Tensor) -> Tensor:
    """Invert :func:`normalize`, limited to [0, 1]."""
    return (image * _constant(IMAGENET_STD, image) + _constant(IMAGENET_MEAN, image)).clamp(0.0, 1.0)


def _constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    # Filled on the device: a tensor made on the host would have to be copied there, which waits for the device.
    return torch.cat([torch.full((1, 1, 1, 1), value, dtype=like.dtype, device=like.device) for value in values], dim=1)


def _margin_matrix(batch: HeadBatch, crop_rule: CropRule, margin: Tensor, size: int) -> Tensor:
    """Return the crop rule's square about each head box with the given margin, as a map of view to stored pixels.

    As in :mod:`semiuhpe.data.crop`: limited to the source's picture, then its shorter side widened to a square.
    """
    x, y, w, h = batch.box.unbind(-1)
    if crop_rule.by_extent:
        side = torch.maximum(w, h)
    else:
        side = (w + h) / 2
        x, y, w, h = x + (w - side) / 2, y + (h - side) / 2, side, side
    first_x, first_y, picture_width, picture_height = batch.bounds.unbind(-1)
    reach = margin * side
    left = torch.maximum(x - reach, first_x)
    right = torch.minimum(x + w + reach, first_x + picture_width)
    top = torch.maximum(y - crop_rule.above * reach, first_y)
    bottom = torch.minimum(y + h + reach, first_y + picture_height)
    span = torch.maximum(right - left, bottom - top)
    zero, scale = torch.zeros_like(span), span / size
    return affine(scale, zero, (left + right - span) / 2, zero, scale, (top + bottom - span) / 2)


def _margin_crop(batch: HeadBatch, crop_rule: CropRule, size: int, random: BatchRandom) -> Tensor:
    low, high = crop_rule.margin_range
    return _margin_matrix(batch, crop_rule, low + (high - low) * random.uniform(len(batch)), size)


def _area_crop(count: int, scale: tuple[float, float], size: int, random: BatchRandom) -> Tensor:
    area = scale[0] + (scale[1] - scale[0]) * random.uniform(count, _CROP_TRIES)
    sides = torch.round(size * area.sqrt())
    fits = sides <= size
    first = fits.float().argmax(dim=1, keepdim=True)  # the first draw that fits
    side = torch.where(fits.any(dim=1), sides.gather(1, first)[:, 0], torch.full_like(area[:, 0], size))
    place = torch.floor(random.uniform(count, 2) * (size - side + 1)[:, None])
    ratio, zero = side / size, torch.zeros_like(side)
    return affine(ratio, zero, place[:, 0], zero, ratio, place[:, 1])


def _picture(
    batch: HeadBatch,
    matrix: Tensor,
    size: int,
    blurred: tuple[Tensor, Tensor] | None = None,
    black: Tensor | None = None,
) -> Tensor:
    """Return network inputs: resampled, black where ``black`` (B, size, size), some blurred, and normalized.

    Operations are in place, because memory traffic is what large batches cost.
    """
    image = resample(batch.image, matrix, size)
    if black is not None:
        image.masked_fill_(black[:, None], 0.0)
    if blurred is not None:
        _blur_(image, *blurred)
    return _normalize_(image)


def resample(image: Tensor, matrix: Tensor, size: int) -> Tensor:
    """Resample stored pictures by matrices to (B, 3, size, size) float32 in [0, 1].

    Where a view may have at most half as many pixels a side as the stored picture, several samples per pixel are
    averaged: bilinear interpolation of a single sample would skip most stored pixels.
    """
    finer = max(image.shape[-1] // size, 1)
    if finer > 1:
        matrix = torch.cat([matrix[..., :2] / finer, matrix[..., 2:]], dim=-1)
    columns, rows = _sampling_places(matrix, size * finer, image.shape[-1])
    view = torch.empty((len(image), 3, size, size), device=image.device)
    # On the CPU one head per thread at a time: its floats stay in the cache, those of a batch would not.
    at_a_time = torch.get_num_threads() if image.device.type == "cpu" else len(image)
    for first in range(0, len(image), at_a_time):
        part = slice(first, first + at_a_time)
        grid = torch.view_as_real(rows[part] + columns[part])
        sampled = F.grid_sample(image[part].float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        torch.mul(F.avg_pool2d(sampled, finer) if finer > 1 else sampled, 1 / 255, out=view[part])
    return view


def _sampling_places(matrix: Tensor, size: int, stored: int) -> tuple[Tensor, Tensor]:
    """Return the positions of a view's pixels, from -1 to 1 over the stored picture, as two parts to be added.

    Positions are complex numbers, x + iy, which takes a fraction of ``affine_grid``'s time.

    Returns:
        (B, 1, size) complex64 of the view's columns, and (B, size, 1) of its rows.
    """
    centers = torch.arange(size, device=matrix.device) + 0.5
    across, down, shift = torch.view_as_complex((matrix * (2 / stored)).mT.contiguous()).unbind(-1)
    columns = across[:, None] * centers
    rows = down[:, None] * centers + (shift[:, None] - (1 + 1j))
    return columns[:, None, :], rows[:, :, None]


def _blurred(count: int, random: BatchRandom) -> tuple[Tensor, Tensor]:
    """Return positions of heads, and which of them are to be blurred: 5 percent of all heads on average.

    Their number is fixed, three standard deviations above the mean, so the host never waits for the device, and
    blurring a few pictures more costs little.
    """
    mean = BLUR_PROBABILITY * count
    candidates = min(count, math.ceil(mean + 3.0 * math.sqrt(mean)))
    score, chosen = random.uniform(count).topk(candidates, largest=False)
    return chosen, score < BLUR_PROBABILITY


def _blur_(image: Tensor, chosen: Tensor, blurred: Tensor) -> Tensor:
    """Blur chosen pictures in place like Pillow's ``ImageFilter.BLUR``: the mean of a 5x5 square's 16 rim pixels."""
    picture = image[chosen]
    padded = F.pad(picture, (2, 2, 2, 2), mode="replicate")
    rim = _square_sum(padded, 5) - _square_sum(padded[..., 1:-1, 1:-1], 3)
    return image.index_copy_(0, chosen, torch.where(blurred[:, None, None, None], rim / 16.0, picture))


def _square_sum(image: Tensor, side: int) -> Tensor:
    """Return sums over all squares inside (..., H, W): (..., H - side + 1, W - side + 1)."""
    height, width = image.shape[-2] - side + 1, image.shape[-1] - side + 1
    across = reduce(add, (image[..., shift : shift + width] for shift in range(side)))
    return reduce(add, (across[..., shift : shift + height, :] for shift in range(side)))
