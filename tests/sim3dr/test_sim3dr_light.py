"""Normals and light of sim3dr, by their formulas."""

import numpy as np
import pytest
from support.sim3dr_reference import interpolate, random_mesh, slow_visible, sphere

from sim3dr import Mesh, RenderPipeline, draw, get_normal, vertex_normals


def test_normals_of_a_sphere_point_away_from_its_center():
    vertices, triangles = sphere(center=(0, 0, 0))
    normals = vertex_normals(vertices, triangles)
    assert normals.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert np.sum(normals * vertices / 40, axis=1).min() > 0.995
    np.testing.assert_allclose(vertex_normals(vertices, triangles[:, ::-1]), -normals, atol=1e-6)
    assert get_normal is vertex_normals


def test_normals_are_weighted_by_area():
    vertices = np.float32([[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 2]])
    normals = vertex_normals(vertices, [[0, 1, 2], [0, 2, 3]])  # of the areas 3/2 towards z and 1 towards x
    np.testing.assert_allclose(normals[0], np.array([2, 0, 3]) / np.sqrt(13), atol=1e-6)
    np.testing.assert_allclose(normals[1], [0, 0, 1], atol=1e-6)  # clockwise on the screen: towards the viewer


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_normals_do_not_depend_on_scale(scale):
    vertices, triangles = sphere(1.0, (0, 0, 0))
    np.testing.assert_allclose(
        vertex_normals(vertices * np.float32(scale), triangles), vertex_normals(vertices, triangles), atol=1e-5
    )


def test_vertices_without_a_normal_have_zero():
    vertices = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [np.nan, 0, 0], [5, 5, 5], [2, 0, 0]])
    normals = vertex_normals(vertices, [[0, 1, 2], [0, 1, 3], [0, 1, 5]])
    np.testing.assert_array_equal(normals, [[0, 0, 1]] * 3 + [[0, 0, 0]] * 3)


def test_light_follows_the_phong_formula():
    vertices, triangles = sphere(30, (200, 100, -7))
    light_pos, view_pos = np.array([-2.0, 1.0, 3.0]), np.array([0.5, 0.0, 4.0])
    directional = np.array([0.9, 0.8, 0.3])
    app = RenderPipeline(0.4, (0.1, 0.5, 1), 0.7, directional, 0.4, 7, light_pos, view_pos)
    p = (vertices.astype(np.float64) - [200, 100, -7]) / 30  # the sphere is its bounding box's largest ball
    n = vertex_normals(vertices, triangles).astype(np.float64)
    to_light, to_view = light_pos - p, view_pos - p
    to_light /= np.linalg.norm(to_light, axis=1, keepdims=True)
    to_view /= np.linalg.norm(to_view, axis=1, keepdims=True)
    cosine = np.einsum("nk,nk->n", n, to_light)[:, None]
    glance = np.einsum("nk,nk->n", 2 * cosine * n - to_light, to_view)[:, None].clip(0)
    expected = 0.4 * np.array([0.1, 0.5, 1]) + directional * (0.7 * cosine.clip(0) + 0.4 * (cosine > 0) * glance**7)
    assert expected.max() > 1  # so that the clip is tested
    np.testing.assert_allclose(app.light(vertices, triangles), expected.clip(0, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("light_pos", "bright"),
    [
        ((-5, 0, 0), np.s_[45:55, 12:30]),
        ((5, 0, 0), np.s_[45:55, 70:88]),
        ((0, -5, 0), np.s_[12:30, 45:55]),
        ((0, 5, 0), np.s_[70:88, 45:55]),
    ],
    ids=["left", "right", "above", "below"],
)
def test_a_sphere_is_brighter_on_the_side_of_the_light(light_pos, bright):
    image = RenderPipeline(light_pos=light_pos)(*sphere(), np.zeros((100, 100, 3), np.uint8))
    opposite = image[::-1, ::-1]
    assert image[bright].mean() > 100 + opposite[bright].mean()
    assert opposite[bright].max() <= 77  # the far side has the ambient light alone


def test_a_light_at_the_viewer_is_brightest_in_the_middle():
    image = RenderPipeline()(*sphere(), np.zeros((101, 101, 3), np.uint8)).astype(int)
    assert image[50, 50, 0] == 255
    assert image[50, 50, 0] > image[50, 30, 0] > image[50, 14, 0] > 70


def test_texture_multiplies_the_light():
    vertices, triangles = sphere()
    bg = np.zeros((100, 100, 3), np.uint8)
    plain = RenderPipeline()(vertices, triangles, bg)
    red = RenderPipeline()(vertices, triangles, bg, texture=np.tile([1.0, 0.5, 0.0], (len(vertices), 1)))
    np.testing.assert_array_equal(red[..., 0], plain[..., 0])
    np.testing.assert_allclose(red[..., 1], plain[..., 1] / 2, atol=1)
    assert not red[..., 2].any()
    with pytest.raises(ValueError, match="texture"):
        RenderPipeline()(vertices, triangles, bg, texture=np.ones((3, 3)))


def test_meshes_without_extent_or_normals_have_ambient_light():
    app = RenderPipeline(intensity_ambient=0.25)
    point = np.full((3, 3), 4, np.float32)
    np.testing.assert_allclose(app.light(point, [[0, 1, 2]]), 0.25)
    assert app.light(np.zeros((0, 3)), []).shape == (0, 3)
    np.testing.assert_allclose(app.light(np.full((3, 3), np.nan), [[0, 1, 2]]), 0.25)


def test_pipeline_options_are_checked():
    with pytest.raises(ValueError, match="light_pos"):
        RenderPipeline(light_pos=(0, np.nan, 1))
    with pytest.raises(ValueError, match="color_ambient"):
        RenderPipeline(color_ambient=(1, 1))


def tilted(height=40, width=44):
    """A mesh with a depth of its own for each triangle, normals all over, and a light that makes highlights."""
    rng = np.random.default_rng(3)
    vertices, triangles = random_mesh(rng, 12, width, height, 256)
    light = RenderPipeline(0.1, 1, 0.5, (1, 0.8, 0.6), 0.4, 3, light_pos=(-3, 2, 4), view_pos=(1, 0, 4))
    return vertices, triangles, light, rng.random((len(vertices), 3), np.float32)


def reflected(light, points, normals, vertices):
    """The module's formula for points (..., 3) with unit normals (..., 3) on a mesh, in float64."""
    low, high = vertices.min(0).astype(np.float64), vertices.max(0).astype(np.float64)
    placed = (points - (low + high) / 2) * 2 / (high - low).max()
    to_light, to_view = light.light_pos - placed, light.view_pos - placed
    to_light /= np.linalg.norm(to_light, axis=-1, keepdims=True)
    to_view /= np.linalg.norm(to_view, axis=-1, keepdims=True)
    cosine = (normals * to_light).sum(-1, keepdims=True)
    glance = ((2 * cosine * normals - to_light) * to_view).sum(-1, keepdims=True).clip(0) * (cosine > 0)
    total = light.ambient + light.directional * cosine.clip(0) + light.specular * glance**light.specular_exp
    return total.clip(0, 1)


@pytest.mark.parametrize("shading", ["flat", "gouraud", "phong"])
def test_shading_follows_the_formula_in_every_pixel(shading):
    vertices, triangles, light, colors = tilted()
    index, weights, _ = slow_visible(vertices, triangles, 40, 44)
    normals = vertex_normals(vertices, triangles).astype(np.float64)
    if shading == "flat":
        p, q, r = np.moveaxis(vertices[triangles].astype(np.float64), 1, 0)
        normal = np.cross(q - p, r - p)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        expected = reflected(light, (p + q + r) / 3, normal, vertices)[index]
    elif shading == "gouraud":
        at_vertices = reflected(light, vertices.astype(np.float64), normals, vertices)
        expected = interpolate(at_vertices, triangles, index, weights)
    else:
        normal = interpolate(normals, triangles, index, weights)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True).clip(1e-9)
        expected = reflected(light, interpolate(vertices, triangles, index, weights), normal, vertices)
    seen = index >= 0
    if shading == "gouraud":  # color and light are multiplied at the vertices
        expected = interpolate(at_vertices * colors, triangles, index, weights)
    else:
        expected = expected * interpolate(colors, triangles, index, weights)
    image = draw(np.zeros((40, 44, 3), np.uint8), [Mesh(vertices, triangles, colors)], light, shading=shading)
    assert seen.sum() > 500
    np.testing.assert_allclose(image[seen], 255 * expected[seen], atol=0.52)


def test_the_three_shadings_differ_where_they_should():
    vertices, triangles = sphere(rings=8, sectors=10)
    light = RenderPipeline(0.1, 1, 0.4, 1, 0.5, 40)
    flat, gouraud, phong = (
        draw(np.zeros((100, 100, 3), np.uint8), [Mesh(vertices, triangles)], light, shading=shading)[..., 0].astype(int)
        for shading in ("flat", "gouraud", "phong")
    )
    assert len(np.unique(flat)) < 45 < len(np.unique(gouraud))  # one level for each triangle that is seen
    assert phong.max() > gouraud.max() + 10  # the highlight lies between the vertices


def test_the_light_can_be_moved():
    vertices, triangles = sphere()
    app = RenderPipeline()
    app.update_light_pos((-5, 0, 0))
    np.testing.assert_array_equal(
        app.light(vertices, triangles), RenderPipeline(light_pos=(-5, 0, 0)).light(vertices, triangles)
    )
