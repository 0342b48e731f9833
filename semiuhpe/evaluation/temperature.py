"""Temperature scaling: one number makes all distributions of a model wider or narrower, so that its confidences are
right on heads that no training has seen.

Networks are trained with dropout and on strong views, so without these they are right more often than they say. Guo et
al. ("On calibration of modern neural networks", ICML 2017) divide a classifier's logits by a temperature. Here the
parameter of the distribution of rotations is divided, which leaves the prediction as it is. The temperature minimizes
the Brier score of the confidence, the mean squared difference between it and whether a head is right to 15 degrees.
"""

import math

import torch
from torch import Tensor, nn

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributions.registry import POINT_ESTIMATES
from semiuhpe.errors import ConfigError, StoreError
from semiuhpe.evaluation.calibration import confidences
from semiuhpe.evaluation.predict import check_labels, evaluate
from semiuhpe.models import LoadedModel, network_spec
from semiuhpe.models.output import CONFIDENCE_DEG, PoseDecoder
from semiuhpe.models.pose_head import find_pose_head

MIN_HEADS = 200
"""Heads that a temperature can be fitted on; fewer would leave it to chance."""
LIMIT = 30.0
"""Temperatures are between its inverse and it."""


def fit_temperature(distribution: str, parameter: Tensor, error_deg: Tensor) -> float:
    """Return the temperature at which the confidences of distributions are right.

    Args:
        distribution: name of a kind of distributions with uncertainty.
        parameter: (N, 3, 3) their parameters.
        error_deg: (N,) geodesic errors of their modes in degrees.
    """
    from scipy.optimize import minimize_scalar  # takes as long to import as half of PyTorch

    right = (error_deg <= CONFIDENCE_DEG).double()

    def brier(log_temperature: float) -> float:
        confidence = confidences(distribution, parameter / math.exp(log_temperature))
        return float((confidence - right).square().mean())

    bound = math.log(LIMIT)
    return math.exp(minimize_scalar(brier, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-3}).x)


def calibrate(loaded: LoadedModel, store: HeadStore, device: torch.device, batch_size: int = 64) -> float:
    """Divide the output of a model by the temperature that fits a store, in place, and return the temperature.

    Args:
        loaded: the model, on any device.
        store: labeled heads that no training has seen.
        device: where the heads are predicted.
        batch_size: heads at a time.

    Raises:
        ConfigError: the model finds heads, has no uncertainty, or doesn't end with a pose head.
        StoreError: the store has no labels, wrong ones, too few heads, or none or only such that the model is right on.
        TrainingError: a prediction is not finite.
    """
    description = loaded.description
    if network_spec(loaded.network).detects:
        raise ConfigError(f"--calibrate: {loaded.network} finds heads; only models of head crops are calibrated")
    if description.distribution in POINT_ESTIMATES:
        raise ConfigError(f"--calibrate: {description.distribution} has no uncertainty that could be calibrated")
    check_labels(store)
    if len(store) < MIN_HEADS:
        raise StoreError(f"--calibrate {store.path}: has {len(store)} heads; {MIN_HEADS} or more are needed")
    last = _last_layer(loaded)
    found = evaluate(loaded.model.to(device), PoseDecoder(description), store, device, batch_size)
    error = found.errors["geodesic_deg"]
    right = error <= CONFIDENCE_DEG
    if right.all() or not right.any():
        raise StoreError(
            f"--calibrate {store.path}: the model is right to {CONFIDENCE_DEG:.0f} degrees on all of its heads or on "
            "none, which tells no temperature; name another store"
        )
    temperature = fit_temperature(description.distribution, found.parameter, error)
    with torch.no_grad():
        last.weight.div_(temperature)
        last.bias.div_(temperature)
    return temperature


def _last_layer(loaded: LoadedModel) -> nn.Linear:
    try:
        layer = find_pose_head(loaded.model)[-1]
    except ValueError as error:
        raise ConfigError(f"--calibrate: {loaded.network} doesn't end with a pose head") from error
    assert isinstance(layer, nn.Linear), "find_pose_head looks for a layer of nine outputs"
    return layer
