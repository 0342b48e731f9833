"""People to bake heads of: ages, sexes, ancestries and builds for `anny`, and local changes of the face."""

from dataclasses import dataclass
from typing import Any

import numpy as np

AGES = ((1, 12, 0.12), (12, 20, 0.16), (20, 50, 0.47), (50, 85, 0.25))  # years from, to, share
LOCAL = 0.12  # standard deviation of a local change; 0.35 is grotesque
LOPSIDED = 0.03  # of the difference between left and right
PLACES = ("cheek", "chin", "ear", "eye", "eyebrows", "forehead", "head", "mouth", "neck", "nose")
LEFT_OUT = ("head-trans-", "neck-trans-")  # where the head is on the neck, not how it is


@dataclass(frozen=True)
class People:
    """What anny makes a body of, arrays (P,), and traits (P, 5): years, female, African, Asian, Caucasian share."""

    phenotypes: dict[str, np.ndarray]
    changes: dict[str, np.ndarray]
    traits: np.ndarray

    def rows(self, some: slice) -> "People":
        phenotypes, changes = (
            {name: value[some] for name, value in values.items()} for values in (self.phenotypes, self.changes)
        )
        return People(phenotypes, changes, self.traits[some])


def sample_people(rng: np.random.Generator, count: int, model: Any) -> People:
    """Draw ``count`` people of all ages, both sexes and all ancestries, of a build that fits age and sex."""
    import torch
    from anny.shape_distribution import SimpleShapeDistribution

    known = SimpleShapeDistribution(model)
    low, high, share = np.array(AGES).T
    group = rng.choice(len(AGES), count, p=share)
    years = rng.uniform(low[group], high[group])
    age = known.morphological_age_mapping.morphological_to_anny_age(torch.from_numpy(years))
    female = rng.random(count) < 0.5
    between = np.minimum(np.abs(rng.normal(0, 0.12, count)), 0.45)
    phenotypes = {"age": age.numpy(), "gender": np.where(female, 1 - between, between)}
    for name in ("height", "weight", "muscle", "proportions"):
        drawn = []
        for sex in ("boys", "girls"):
            alpha, beta = getattr(known, f"{sex}_conditional_{name}_distribution").get_distribution_params(age)
            drawn.append(rng.beta(alpha.numpy(), beta.numpy()))
        phenotypes[name] = np.where(female, drawn[1], drawn[0])
    ancestry = rng.dirichlet((0.4, 0.4, 0.4), count)
    phenotypes |= dict(zip(("african", "asian", "caucasian"), ancestry.T.copy(), strict=True))
    traits = np.column_stack([years, phenotypes["gender"], ancestry])
    return People(phenotypes, _local_changes(rng, count, model.local_change_labels), traits)


def _local_changes(rng: np.random.Generator, count: int, labels: list[str]) -> dict[str, np.ndarray]:
    """Draw local changes of the head; those of both sides are nearly equal, and sideways ones of the midline small."""
    changes: dict[str, np.ndarray] = {}
    for label in labels:
        sided = label[:2] in ("l-", "r-")
        place = label[2:] if sided else label.removeprefix("measure-")
        if place.partition("-")[0] not in PLACES or place.startswith(LEFT_OUT):
            continue
        other = {"l": "r", "r": "l"}[label[0]] + label[1:] if sided else ""
        if other in changes:
            changes[label] = changes[other] + LOPSIDED * rng.normal(size=count)
            continue
        sideways = not sided and label.endswith(("-trans-out", "-angle-out"))
        spread = LOPSIDED if sideways else LOCAL
        changes[label] = np.clip(rng.normal(0, spread, count), -3 * spread, 3 * spread)
    return changes
