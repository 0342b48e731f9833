"""Rendered heads say of what kind they are."""

import numpy as np
import pytest

from semiuhpe.data import HeadStore
from semiuhpe.evaluation.breakdowns import breakdowns
from semiuhpe.synthetic import kinds
from semiuhpe.synthetic.degrade import add_noise, defocus, motion_blur
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.rotations import random_rotations


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("kinds") / "wild.lmdb"
    write_store(SyntheticSet(160, "wild", "front", 5, 48, test=True), path)
    return HeadStore(path)


def test_a_store_has_the_kinds_and_errors_are_broken_down_by_them(store):
    found = breakdowns(store)
    expected = {
        "age": {name for _, name in kinds.AGE_GROUPS},
        "on_head": {"nothing", "hat", "headphones"},
        "glasses": {"no", "yes"},
        "face_mask": {"no", "yes"},
        "before_it": {"nothing", "hand", "object"},
        "sharpness": {"sharp", "blurred"},
        "brightness": {"dark", "normal", "bright"},
    }
    assert set(store.attributes) == set(expected)
    for name, values in expected.items():
        assert set(store.attributes[name]) == values == set(found[f"attribute_{name}"].labels)


def test_kinds_do_what_they_say(store):
    """Dark pictures are darker; a head whose kind is changed by nothing is the same."""
    brightness = np.array([store.image(i).mean() for i in range(len(store))])
    of = store.attributes["brightness"]
    assert brightness[of == "dark"].mean() < brightness[of == "normal"].mean() < brightness[of == "bright"].mean()
    rotation = random_rotations(1, np.random.default_rng(0), "front")[0]
    plain = render_head(rotation, np.random.default_rng(1), "wild", 48, without=("worn", "camera"))
    assert plain.kinds["on_head"] == plain.kinds["before_it"] == "nothing" and plain.kinds["face_mask"] == "no"
    assert plain.kinds["sharpness"] == "sharp"


@pytest.mark.parametrize(
    "years, name", [(1.0, "child"), (13.9, "child"), (14.0, "young"), (59.0, "middle-aged"), (85.0, "old")]
)
def test_ages(years, name):
    assert kinds.age_group(years) == name


def test_blurred_pictures_are_told_from_noisy_ones():
    rotation = random_rotations(1, np.random.default_rng(3), "front")[0]
    sharp = render_head(rotation, np.random.default_rng(3), "clean", 112).image
    for image, expected in (
        (sharp, "sharp"),
        (add_noise(sharp, 0.02, 0.02, 0.5, np.random.default_rng(0)), "sharp"),
        (defocus(sharp, 3.0), "blurred"),
        (motion_blur(sharp, 8.0, 0.3), "blurred"),
        (add_noise(defocus(sharp, 3.5), 0.01, 0.01, 0.0, np.random.default_rng(0)), "blurred"),
    ):
        assert kinds.kinds_of_picture(image, sharp)["sharpness"] == expected
