"""Rendering of an experiment's stores, unless they exist."""

from pathlib import Path

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.errors import require
from semiuhpe.synthetic.head_stores import HEADS_SOURCE, SyntheticSet, recorded, write_store
from semiuhpe.synthetic.scene_stores import SCENES_SOURCE, SceneSet, write_scenes

STORE_MARGIN_FACTOR = 1.25
"""Ratio of the size of stored training pictures to the network's input, as a view is a part of a picture."""


def render_once(what: SyntheticSet | SceneSet, path: Path, workers: int, again: bool = False) -> None:
    """Render a store of heads or scenes, unless it exists with the same settings.

    Raises:
        ConfigError: a store of that name exists that was not rendered.
    """
    if path.exists():
        scenes = isinstance(what, SceneSet)
        meta = (SceneStore if scenes else HeadStore)(path).meta
        source = SCENES_SOURCE if scenes else HEADS_SOURCE
        require(meta.get("source") == source, f"{path}: was not rendered, so it is not replaced")
        if meta["settings"] == recorded(what) and not again:
            return
    if isinstance(what, SceneSet):
        write_scenes(what, path, workers, overwrite=True)
    else:
        write_store(what, path, workers, overwrite=True)
