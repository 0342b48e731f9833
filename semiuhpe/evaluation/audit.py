"""Which labels are wrong? Heads of a store, ranked by how surely models disagree with their labels.

The score of a label is its surprise: the negative log likelihood under the equal mixture of the distributions that the
models predict, less the models' mean entropy,

    surprise = -log(sum over m of p_m(label) / M) - (sum over m of entropy of p_m) / M.

It says by how many nats a label is less likely than labels that are drawn from the predictions. A label that is 20
degrees off a prediction is surprising where the model is sure, and is not where it isn't. Only the shape of a
distribution counts: if a model says of all heads that it is twice as sure as it should be, the order of the labels is
nearly the same. In a mixture one model that agrees with a label is enough, so a model that fails on a head, and other
heads than it was made for, do little harm.

For classes this is the idea of confident learning (Northcutt, Jiang and Chuang, "Confident learning: estimating
uncertainty in dataset labels", JAIR 2021); for numbers residuals are divided by their predicted uncertainty (Zhou,
Mueller, Kumar, Wang and Lei, "Detecting errors in a numerical response via any regression model", 2023). The density of
a rotation under a predicted distribution does both, along each axis.

Models must not have learned from the labels that they judge: what they have learned by heart doesn't surprise them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation.opinions import Opinion, apart_deg, mixture_log_prob, without_constant_rotation
from semiuhpe.files import csv_text
from semiuhpe.rotation import geodesic_deg, matrix_to_euler


@dataclass(frozen=True)
class Audit:
    """What M models say of the labels of N heads.

    Attributes:
        models: their names.
        surprise: (N,) nats, the higher the likelier is the label wrong.
        rotation: (M, N, 3, 3) predictions, without a constant rotation between them and the labels.
        error_deg: (M, N) their geodesic distances to the labels.
        entropy: (M, N) of the predicted distributions; NaN of models without uncertainty.
        apart_deg: (N,) the largest distance between two models' predictions; NaN for one model.
        offset_deg: (M,) angles of the constant rotations.
    """

    models: tuple[str, ...]
    surprise: Tensor
    rotation: Tensor
    error_deg: Tensor
    entropy: Tensor
    apart_deg: Tensor
    offset_deg: tuple[float, ...]

    @property
    def order(self) -> np.ndarray:
        """The positions (N,) of the heads, the most surprising label first."""
        return torch.argsort(self.surprise, descending=True, stable=True).numpy()


def audit(found: Sequence[Opinion], label: Tensor) -> Audit:
    """Return what models say of labels; see this module's docstring.

    Args:
        found: of :func:`semiuhpe.evaluation.opinions.opinions`, at least one.
        label: (N, 3, 3) rotations, head to camera.
    """
    label = label.double()
    aligned = [without_constant_rotation(opinion, label) for opinion in found]
    judges = [opinion.as_sure_as_right(label) for opinion, _ in aligned]
    entropy = torch.stack([judge.predicted.entropy() for judge in judges])
    rotation = torch.stack([judge.rotation for judge in judges])
    known = torch.tensor([0.0 if not judge.point else torch.nan for judge in judges], dtype=entropy.dtype)
    return Audit(
        models=tuple(judge.name for judge in judges),
        surprise=-mixture_log_prob(judges, label) - entropy.mean(0),
        rotation=rotation,
        error_deg=geodesic_deg(rotation, label),
        entropy=entropy + known[:, None],
        apart_deg=apart_deg(rotation) if len(judges) > 1 else torch.full_like(entropy[0], torch.nan),
        offset_deg=tuple(offset for _, offset in aligned),
    )


def audit_table(found: Audit, store: HeadStore) -> str:
    """Return a CSV of all heads of an audited store, the most surprising label first.

    ``head`` is the position in the store; angles are degrees, of labels as the store's range of angles says.
    """
    label = matrix_to_euler(torch.from_numpy(store.truth).double(), store.meta["full_range"])
    of_models = [f"{name}_{what}" for name in found.models for what in ("error_deg", "entropy")]
    rows = [["rank", "head", "name", "surprise", "models_apart_deg", *of_models, "pitch", "yaw", "roll"]]
    for rank, head in enumerate(found.order.tolist(), 1):
        said = [value for pair in zip(found.error_deg[:, head], found.entropy[:, head], strict=True) for value in pair]
        numbers = [found.surprise[head], found.apart_deg[head], *said, *label[head]]
        rows.append([str(rank), str(head), store.names[head], *(_number(float(value)) for value in numbers)])
    return csv_text(rows)


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"
