"""Splits of a dataset's heads into labeled and unlabeled heads, and into training and held-out heads."""

import random
from collections.abc import Sequence

import numpy as np

from semiuhpe.data.identities import identity_names
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.errors import ConfigError

_SEED_300WLP = 666  # the seed of the paper's code, which its tables depend on


def evenly_spaced(length: int, count: int) -> np.ndarray:
    """Return (M,) positions of at most ``count`` of ``length`` items, evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(length, count)).round().astype(np.int64))


def split_300wlp(n: int, ss_ratio: float) -> tuple[list[int], list[int]]:
    """Return the paper's split of one subfolder of 300W-LP.

    Args:
        n: number of files in the subfolder, without the mirrored twins.
        ss_ratio: share of labeled files, in [0, 1]; ``int(n * ss_ratio)`` files are labeled.

    Returns:
        Positions of the labeled and of the unlabeled files in the sorted list of files, in the paper's order.
    """
    order = list(range(n))
    random.Random(_SEED_300WLP).shuffle(order)
    count = int(n * ss_ratio)
    return order[:count], order[count:]


def hold_out(store: HeadStore, share: float, seed: int) -> tuple[HeadStore, HeadStore]:
    """Split a store's heads at random into a rest for training and a share that is held out for validation.

    Heads of one identity (:func:`~semiuhpe.data.identities.identity_names`) stay together, and so do a head and its
    mirrored twin in the folder ``*_Flip``. The share refers to these groups.

    Raises:
        ConfigError: one of the two parts would be empty.
    """
    groups: dict[str, list[int]] = {}
    for position, name in enumerate(identity_names(store)):
        folder, _, stem = str(name).rpartition("/")
        groups.setdefault(f"{folder.removesuffix('_Flip')}/{stem}", []).append(position)
    keys = sorted(groups)
    count = round(len(keys) * share)
    if not 0 < count < len(keys):
        raise ConfigError(
            f"--val_split {share}: leaves nothing to train on or to validate on, of {len(keys)} identities in the store"
        )
    random.Random(seed).shuffle(keys)
    held, left = ([i for key in part for i in groups[key]] for part in (keys[:count], keys[count:]))
    return store.view(sorted(left)), store.view(sorted(held))


def split_sequences(names: Sequence[str] | np.ndarray, share: float) -> tuple[list[int], list[int]]:
    """Split pictures into a training and a test part that have no folder in common, as in BIWI's 70:30 protocol.

    Pictures of one folder, such as the frames of one of BIWI's 24 sequences, stay together; without folders each
    picture is a group. The split depends on the names of the folders and the share only.

    Args:
        names: names of the pictures.
        share: share of the folders to train on, in (0, 1).

    Returns:
        Positions of the two parts, in order.

    Raises:
        ConfigError: one of the two parts would be empty.
    """
    folders = [str(name).rpartition("/")[0] or str(name) for name in names]
    order = sorted(set(folders))
    count = round(len(order) * share)
    if not 0 < count < len(order):
        raise ConfigError(f"--sequence_share {share}: leaves nothing to train or to test on, of {len(order)} folders")
    random.Random(_SEED_300WLP).shuffle(order)
    first = set(order[:count])
    return (
        [i for i, folder in enumerate(folders) if folder in first],
        [i for i, folder in enumerate(folders) if folder not in first],
    )


def split_store(store: HeadStore, ss_ratio: float) -> tuple[HeadStore, HeadStore]:
    """Split a store into two views of it, one of labeled and one of unlabeled heads.

    Heads of one folder (300W-LP's ``AFW``, ``HELEN``, ...) are split by :func:`split_300wlp`; the mirrored twin of a
    labeled head, in the folder ``*_Flip``, is labeled too.

    Raises:
        ConfigError: the ratio is not within (0, 1].
    """
    if not 0.0 < ss_ratio <= 1.0:
        raise ConfigError(f"--ss_ratio {ss_ratio}: the share of labeled heads must lie in (0, 1]")
    folders: dict[str, dict[str, int]] = {}
    for position, name in enumerate(store.names):
        folder, _, stem = str(name).rpartition("/")
        folders.setdefault(folder, {})[stem] = position
    labeled: list[int] = []
    unlabeled: list[int] = []
    for folder in sorted(name for name in folders if not name.endswith("_Flip")):
        twins = folders.get(folder + "_Flip", {})
        stems = sorted(folders[folder])
        parts = split_300wlp(len(stems), ss_ratio)
        for target, part in zip((labeled, unlabeled), parts, strict=True):
            chosen = [stems[i] for i in part]
            target += [folders[folder][stem] for stem in chosen]
            target += [twins[stem] for stem in chosen if stem in twins]
    return store.view(labeled), store.view(unlabeled)
