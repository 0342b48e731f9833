"""Who the heads of a store are: those of one person must not lie on both sides of a split, nor be a CLERF pair."""

import re

import numpy as np

from semiuhpe.data.stores.heads import HeadStore

IDENTITY = "identity"
"""Attribute of a store that says who each head is."""
_SYNTHESISED_VIEW = re.compile(r"(.+?)(_Flip)?/(.+)_\d+")
"""A name of 300W-LP: folder, mirrored or not, picture, and the number of the view that was made of it."""


def identity_names(store: HeadStore) -> np.ndarray:
    """(N,) who each head of a store is, as far as it tells: by its attribute ``identity``, or by its name.

    300W-LP's names tell the photograph that a view was made of, BIWI's the sequence. Heads of other stores count as a
    person each.
    """
    if IDENTITY in store.attributes:
        return store.attributes[IDENTITY]
    if store.meta["dataset"] == "300WLP":
        return np.array([_SYNTHESISED_VIEW.sub(r"\1/\3", str(name)) for name in store.names])
    if store.meta["dataset"] == "BIWI":
        return np.array([str(name).rpartition("/")[0] or str(name) for name in store.names])
    return store.names
