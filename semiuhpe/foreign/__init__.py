"""Head pose networks of others: loaded, cropped and decoded as their authors do, to be evaluated and used like ours."""

from semiuhpe.foreign.loading import files_of, is_foreign, load_model, locate_model, model_sha256, short_name
from semiuhpe.foreign.network import ForeignModel

__all__ = ["ForeignModel", "files_of", "is_foreign", "load_model", "locate_model", "model_sha256", "short_name"]
