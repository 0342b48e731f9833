"""Temperature scaling: one number makes all distributions of a model wider or narrower, so that its confidences are
right on heads that no training has seen.

Networks are trained with dropout and on strong views, so without these they are right more often than they say. Guo et
al. ("On calibration of modern neural networks", ICML 2017) divide a classifier's logits by a temperature. Here the
parameter of the distribution of rotations is divided, which leaves the prediction as it is. The temperature minimizes
the Brier score of the confidence, the mean squared difference between it and whether a head is right to 15 degrees.
"""

import math

import torch
from torch import Tensor

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributions.registry import POINT_ESTIMATES
from semiuhpe.errors import ConfigError, StoreError
from semiuhpe.evaluation.calibration import confidences
from semiuhpe.evaluation.predict import Evaluation, check_labels, evaluate
from semiuhpe.models import LoadedModel, network_spec
from semiuhpe.models.output import CONFIDENCE_DEG, PoseDecoder
from semiuhpe.models.reliability import divide_output, output_layer

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


def check_calibratable(loaded: LoadedModel, store: HeadStore) -> None:
    """Raise an error unless a model's uncertainty, or its radii, can be calibrated on a store.

    Raises:
        ConfigError: the model finds heads.
        StoreError: the store has no labels, wrong ones, or too few heads.
    """
    if network_spec(loaded.network).detects:
        raise ConfigError(f"{loaded.path}: {loaded.network} finds heads; only models of head crops are calibrated")
    check_labels(store)
    if len(store) < MIN_HEADS:
        raise StoreError(f"{store.path}: has {len(store)} heads; {MIN_HEADS} or more are needed to calibrate on")


def temperature_of(distribution: str, found: Evaluation, store: HeadStore) -> float:
    """Return the temperature that fits a model's predictions on a store.

    Raises:
        StoreError: the model is right to 15 degrees on all heads, or on none.
    """
    error = found.errors["geodesic_deg"]
    right = error <= CONFIDENCE_DEG
    if right.all() or not right.any():
        raise StoreError(
            f"{store.path}: the model is right to {CONFIDENCE_DEG:.0f} degrees on all of its heads or on none, which "
            "tells no temperature; calibrate on another store"
        )
    return fit_temperature(distribution, found.parameter, error)


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
    if description.distribution in POINT_ESTIMATES:
        raise ConfigError(f"{loaded.path}: {description.distribution} has no uncertainty that could be calibrated")
    check_calibratable(loaded, store)
    output_layer(loaded.model)
    found = evaluate(loaded.model.to(device), PoseDecoder(description), store, device, batch_size)
    temperature = temperature_of(description.distribution, found, store)
    divide_output(loaded.model, temperature)
    return temperature
