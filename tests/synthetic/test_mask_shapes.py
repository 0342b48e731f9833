"""Face masks: the same shape on rendered heads and over pictures."""

import numpy as np
import pytest

from semiuhpe.synthetic import accessories, masks
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.mask_shapes import SHAPES, cloth_radius, straps


@pytest.mark.parametrize("name", SHAPES)
def test_cloth_lies_on_the_skin_or_stands_off_it(name):
    skin, outwards = template().vertices[template().part["skin"]], template().outwards
    own = np.linalg.norm(skin, axis=1)
    lifted = cloth_radius(SHAPES[name], skin, outwards) - own
    mouth = (np.abs(skin[:, 0]) < 0.1) & (np.abs(skin[:, 1] + 0.62) < 0.1) & (skin[:, 2] > 0)
    if SHAPES[name].tent is None:
        assert not lifted.any()
    else:
        assert lifted[mouth].min() > 0.01, "a mask is stretched over the mouth"


def test_rendered_heads_wear_the_mask_that_is_drawn_onto_pictures():
    inside, lift = accessories._mask_cover()
    skin, outwards = template().vertices[template().part["skin"]], template().outwards
    worn = skin + outwards * lift[:, None]
    drawn, _ = masks._cover("surgical")
    distance = np.linalg.norm(worn[inside > 0.5][:, None] - drawn[None], axis=2).min(axis=1)
    assert np.median(distance) < 1e-3 and distance.max() < 0.1


def test_straps_are_symmetric_and_reach_behind_the_ears():
    vertices = straps(away=0.0, end=0.1, radius=0.014).vertices
    assert np.allclose(np.sort(vertices[:, 0]), np.sort(-vertices[:, 0]), atol=1e-6)
    assert vertices[:, 2].min() < 0 < vertices[:, 2].max()
