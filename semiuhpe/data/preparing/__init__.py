"""From raw datasets to stores."""

from semiuhpe.data.preparing.common import Summary
from semiuhpe.data.preparing.heads import prepare
from semiuhpe.data.preparing.scenes import prepare_scenes

__all__ = ["Summary", "prepare", "prepare_scenes"]
