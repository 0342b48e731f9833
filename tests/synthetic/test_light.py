"""Light on rendered heads, against what it is computed from."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from semiuhpe.synthetic.light import (
    Lamp,
    Light,
    clean_light,
    direction,
    environment,
    illuminate,
    sunlit,
    tone_curve,
    wild_light,
)

RNG = np.random.default_rng


def sphere(n: int = 20_000) -> np.ndarray:
    """Directions spread evenly (a Fibonacci lattice)."""
    k = np.arange(n)
    z = 1 - (2 * k + 1) / n
    angle = k * np.pi * (3 - np.sqrt(5))
    return np.stack([np.cos(angle) * np.sqrt(1 - z * z), np.sin(angle) * np.sqrt(1 - z * z), z], 1)


def irradiance(coefficients: np.ndarray, normals: np.ndarray) -> np.ndarray:
    x, y, z = normals.T
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x, y * y], 1) @ coefficients


def ball_over_plate() -> tuple[np.ndarray, np.ndarray]:
    """A plate of 21 x 21 vertices at y = 1, and a triangle above its middle at y = 0 (y is down)."""
    x, z = np.meshgrid(np.linspace(-2, 2, 21), np.linspace(-2, 2, 21))
    plate = np.stack([x.ravel(), np.ones(441), z.ravel()], 1)
    cell = (np.arange(20)[:, None] * 21 + np.arange(20)).ravel()
    triangles = np.concatenate(
        [np.stack([cell, cell + 1, cell + 21], 1), np.stack([cell + 1, cell + 22, cell + 21], 1)]
    )
    roof = np.array([[-1.0, 0, -1], [1, 0, -1], [0, 0, 1.2]])
    return np.concatenate([plate, roof]).astype(np.float32), np.concatenate([triangles, [[441, 442, 443]]]).astype(
        np.int32
    )


@pytest.mark.parametrize("sharpness", [0.0, 1.5, 4.0, 12.0])
def test_irradiance_of_a_lamp(sharpness):
    """Against the integral of radiance times cosine; degree 2 is within a few percent of it."""
    towards = direction(35, 20)
    incoming = sphere()
    radiance = np.exp(sharpness * (incoming @ towards - 1))
    radiance /= radiance.mean()
    normals = sphere(60)
    exact = (radiance[:, None] * np.maximum(incoming @ normals.T, 0)).mean(0)
    coefficients = environment([Lamp(towards, np.ones(3, np.float32), sharpness)])
    np.testing.assert_allclose(irradiance(coefficients, normals)[:, 1], exact, atol=0.04)


@pytest.mark.parametrize("draw", [clean_light, wild_light])
def test_environments_light_every_side(draw):
    for seed in range(200):
        light = draw(RNG(seed))
        found = irradiance(light.ambient, sphere(100))
        assert found.min() > -0.03 * found.max() and found.mean() > 0
        assert np.linalg.norm(light.key_direction) == pytest.approx(1, abs=1e-5)
        assert np.isfinite([*light.key, *light.rim, light.exposure]).all()


def test_a_shadow_falls_where_the_light_is_hidden():
    vertices, triangles = ball_over_plate()
    straight_down = sunlit(vertices, triangles, np.array([0.0, -1.0, 0.0], np.float32))
    assert straight_down.dtype == np.float32 and straight_down.min() >= 0 and straight_down.max() <= 1
    plate = vertices[:441]
    below = (np.abs(plate[:, 0]) < 0.3) & (np.abs(plate[:, 2] + 0.4) < 0.3)
    beside = np.abs(plate[:, 0]) > 1.2
    assert straight_down[:441][below].max() < 0.05
    assert straight_down[:441][beside].min() > 0.95 and straight_down[441:].min() > 0.95
    aslant = sunlit(vertices, triangles, direction(90, 45))  # from the right, so the shadow falls to the left
    place = np.abs(plate - (-1, 1, -0.4)).max(1) < 0.25
    assert aslant[:441][place].max() < 0.05
    assert aslant[:441][np.abs(plate - (1, 1, -0.4)).max(1) < 0.25].min() > 0.95


def test_the_far_side_of_a_ball_is_in_its_own_shadow():
    points = sphere(2000)
    triangles = ConvexHull(points).simplices.astype(np.int32)
    towards = direction(50, 30)
    facing = points @ towards
    seen = sunlit(points.astype(np.float32), triangles, towards)
    assert seen[facing > 0.4].min() > 0.9 and seen[facing < -0.25].max() < 0.1


def shade(albedo: np.ndarray, normals: np.ndarray, occlusion, gloss, light: Light, seen: np.ndarray) -> np.ndarray:
    """Display colors without highlights."""
    arriving, shine = illuminate(albedo, normals, occlusion, gloss, light, seen)
    assert (shine >= 0).all()
    return tone_curve(albedo * arriving)


def lit(level: float, albedo: float, light: Light | None = None, occlusion: float = 1.0) -> np.ndarray:
    """Display colors of a half sphere, with all lights made stronger by a factor."""
    normals = sphere(400).astype(np.float32)
    normals = normals[normals[:, 2] < 0]
    light = light or wild_light(RNG(3))
    light = Light(light.key_direction, level * light.key, light.hardness, level * light.ambient, light.rim_direction,
                  level * light.rim, light.exposure)  # fmt: skip
    n = len(normals)
    return shade(np.full((n, 3), albedo, np.float32), normals, np.full(n, occlusion, np.float32),
                 np.full(n, 0.05, np.float32), light, np.ones(n, np.float32))  # fmt: skip


def test_cameras_adapt_to_the_light():
    np.testing.assert_allclose(lit(1, 0.3), lit(4, 0.3), atol=0.01)


def test_dark_skin_is_darker_than_light_skin():
    means = [lit(1, albedo, clean_light(RNG(0))).mean() for albedo in (0.05, 0.15, 0.45)]
    assert means[0] < means[1] - 0.05 and means[1] < means[2] - 0.05


def test_a_cast_shadow_darkens_and_its_edge_is_red():
    one = np.ones(3, np.float32)
    sky = environment([Lamp(direction(0, 90), 0.3 * one, 1.0)])
    light = Light(direction(10, 10), one, 1.0, sky, direction(180, 0), 0 * one, 0.5)
    normals = np.broadcast_to(np.array([0, 0, -1], np.float32), (3, 3))
    seen = np.array([1, 0.5, 0], np.float32)
    colors = shade(np.full((3, 3), 0.3, np.float32), normals, one, 0 * one, light, seen)
    assert (np.diff(colors, axis=0) < -0.02).all()
    assert colors[1, 0] > colors[1, 2] + 0.01 and abs(colors[0, 0] - colors[0, 2]) < 0.02


def test_tone_curve():
    """The encoding of sRGB (IEC 61966-2-1: linear 0.2140 is 0.5), then a shoulder up to white."""
    values = tone_curve(np.array([0, 0.2140, 0.4, 1.0, 2.0, 4.0, 50.0], np.float32))
    assert values[0] == 0 and values[1] == pytest.approx(0.5, abs=0.002)
    assert (np.diff(values[:-1]) > 0).all() and values[-1] == pytest.approx(1, abs=0.01)
