"""Identities of a store's heads. Heads of one person must not be on both sides of a split, nor form a CLERF pair."""

import re

import numpy as np

from semiuhpe.data.stores.heads import HeadStore

IDENTITY = "identity"
"""Attribute of a store with the identity of each head."""
_SYNTHESIZED_VIEW = re.compile(r"(.+?)(_Flip)?/(.+)_\d+")
"""A name in 300W-LP: folder, mirrored or not, photograph, and number of the view that was synthesized from it."""


def identity_names(store: HeadStore) -> np.ndarray:
    """Return the identity of each head of a store, (N,) str, from its attribute ``identity`` or its name.

    Names in 300W-LP contain the photograph of a synthesized view, those in BIWI the sequence. In other stores, each
    head is an identity.
    """
    if IDENTITY in store.attributes:
        return store.attributes[IDENTITY]
    if store.meta["dataset"] == "300WLP":
        return np.array([_SYNTHESIZED_VIEW.sub(r"\1/\3", str(name)) for name in store.names])
    if store.meta["dataset"] == "BIWI":
        return np.array([str(name).rpartition("/")[0] or str(name) for name in store.names])
    return store.names
