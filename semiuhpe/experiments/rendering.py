"""Rendered stores of experiments: what is there already isn't rendered again."""

from dataclasses import asdict
from pathlib import Path

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.errors import require
from semiuhpe.synthetic import scene_stores
from semiuhpe.synthetic.head_stores import RENDERED, SyntheticSet, write_store
from semiuhpe.synthetic.scene_stores import SceneSet

STORE_MARGIN_FACTOR = 1.25
"""Stored training pictures are this much larger than the network's input, because a view is a part of them."""


def render_once(what: SyntheticSet | SceneSet, path: Path, workers: int, again: bool = False) -> None:
    """Render a store of heads or scenes, unless the same are there already.

    Raises:
        ConfigError: there is a store that was not rendered.
    """
    if path.exists():
        scenes = isinstance(what, SceneSet)
        meta = (SceneStore if scenes else HeadStore)(path).meta
        source = scene_stores.RENDERED if scenes else RENDERED
        require(meta.get("source") == source, f"{path}: was not rendered, so it is not replaced")
        if meta["settings"] == asdict(what) and not again:
            return
    if isinstance(what, SceneSet):
        scene_stores.write_scenes(what, path, workers, overwrite=True)
    else:
        write_store(what, path, workers, overwrite=True)
