"""sim3dr.draw: buffers, culling, anti-aliasing, blending, textures, perspective, several meshes."""

import numpy as np
import pytest
from support.sim3dr_reference import (
    SQUARE,
    SQUARE_TRIANGLES,
    WHITE,
    interpolate,
    nothing,
    random_mesh,
    slow_visible,
    tiled_rectangle,
)

from sim3dr import Mesh, RenderPipeline, draw, rasterize

BLACK = np.zeros((40, 44, 3), np.uint8)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def colored(rng, count=20, grid=256):
    vertices, triangles = random_mesh(rng, count, 44, 40, grid)
    return Mesh(vertices, triangles, rng.random((len(vertices), 3), np.float32))


def no_index():
    return np.full((40, 44), -1, np.int32)


@pytest.mark.parametrize("grid", [1, 256], ids="grid1/{}".format)
@pytest.mark.parametrize("cull", [False, True])
def test_meshes_share_a_z_buffer_and_number_their_triangles_through(rng, cull, grid):
    meshes = [colored(rng, 30, grid), colored(rng, 1, grid), colored(rng, 40, grid)]
    depth, index = nothing(40, 44), no_index()
    image = draw(BLACK, meshes, cull=cull, depth=depth, index=index)
    vertices = np.concatenate([m.vertices for m in meshes])
    starts = np.cumsum([0, 90, 3])
    triangles = np.concatenate([m.triangles + s for m, s in zip(meshes, starts, strict=True)])
    expected, weights, z = slow_visible(vertices, triangles, 40, 44, cull=cull)
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(depth, z, rtol=1e-6, atol=1e-5)
    colors = interpolate(np.concatenate([m.colors for m in meshes]), triangles, expected, weights)
    np.testing.assert_allclose(image, 255 * colors * (expected >= 0)[..., None], atol=0.502)
    assert not cull or (np.unique(index).size < np.unique(slow_visible(vertices, triangles, 40, 44)[0]).size)


def test_the_order_of_meshes_and_triangles_changes_nothing_where_depths_differ(rng):
    meshes = [colored(rng), colored(rng), colored(rng)]
    for number, mesh in enumerate(meshes):
        mesh.vertices[:, 2] = np.repeat(3 * rng.permutation(20) + number, 3)
    image = draw(BLACK, meshes, antialias=True)
    shuffled = [m.replace(triangles=rng.permutation(m.triangles)) for m in meshes[::-1]]
    np.testing.assert_array_equal(draw(BLACK, shuffled, antialias=True), image)


def test_index_is_kept_where_nothing_is_drawn(rng):
    mesh, index, depth = colored(rng, 3), no_index(), nothing(40, 44)
    draw(BLACK, [mesh], depth=depth, index=index)
    behind = mesh.replace(vertices=mesh.vertices - np.float32([0, 0, 1000]))
    before = index.copy()
    draw(BLACK, [behind], depth=depth, index=index)
    np.testing.assert_array_equal(index, before)


@pytest.mark.parametrize("opacity", [1.0, 0.3])
def test_antialiasing_is_the_mean_of_sixteen_samples(rng, opacity):
    mesh = colored(rng).replace(opacity=opacity)
    photograph = rng.integers(0, 256, BLACK.shape, np.uint8)
    index, weights, _ = slow_visible(mesh.vertices, mesh.triangles, 40, 44, samples=4)
    levels = 255 * interpolate(mesh.colors, mesh.triangles, index, weights)
    behind = np.repeat(np.repeat(photograph.astype(float), 4, 0), 4, 1)
    samples = np.where(index[..., None] >= 0, opacity * levels + (1 - opacity) * behind, behind)
    expected = samples.reshape(40, 4, 44, 4, 3).mean((1, 3))
    image = draw(photograph, [mesh], antialias=True)
    np.testing.assert_allclose(image, expected, atol=1.01)  # samples are rounded, then their mean
    assert abs(image - expected).mean() < 0.3


def test_antialiasing_leaves_no_seams():
    vertices, triangles = tiled_rectangle(np.random.default_rng(0), 9, 7, 40, 30)
    image = draw(np.zeros((30, 40, 1), np.uint8), [Mesh(vertices, triangles, np.ones((80, 1)))], antialias=True)
    assert (image[1:-1, 1:-1] == 255).all()


def test_blending_lets_the_photograph_shine_through_and_hides_what_lies_behind(rng):
    photograph = rng.integers(0, 256, BLACK.shape, np.uint8)
    front, back = colored(rng).replace(opacity=0.25), colored(rng)
    front.vertices[:, 2] += 1000
    index = no_index()
    opaque = draw(photograph, [front.replace(opacity=1.0), back], index=index)
    image = draw(photograph, [front, back])
    of_front = (index >= 0) & (index < 20)
    mixed = 0.25 * opaque + 0.75 * photograph.astype(float)
    np.testing.assert_allclose(image[of_front], mixed[of_front], atol=0.51)
    np.testing.assert_array_equal(image[~of_front], opaque[~of_front])
    np.testing.assert_array_equal(draw(photograph, [front.replace(opacity=0.0)]), photograph)


def sample(texture, u, v):
    """Bilinear, repeating; (0, 0) is the lower left corner."""
    height, width = texture.shape[:2]
    x, y = u * width - 0.5, (1 - v) * height - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    at = lambda row, column: texture[row % height, column % width].astype(float)  # noqa: E731
    upper = at(top, left) * (1 - fx) + at(top, left + 1) * fx
    lower = at(top + 1, left) * (1 - fx) + at(top + 1, left + 1) * fx
    return upper * (1 - fy) + lower * fy


def test_textures_are_bilinear_and_repeat(rng):
    mesh = colored(rng)
    texture = rng.integers(0, 256, (5, 7, 3), np.uint8)
    uv = rng.uniform(-1.5, 2.5, (60, 2)).astype(np.float32)
    index, weights, _ = slow_visible(mesh.vertices, mesh.triangles, 40, 44)
    at = interpolate(uv, mesh.triangles, index, weights)
    image = draw(BLACK, [mesh.replace(uv=uv, texture=texture)])
    np.testing.assert_allclose(image[index >= 0], sample(texture, at[..., 0], at[..., 1])[index >= 0], atol=0.53)


def test_a_texture_lies_on_a_square_as_the_picture_does(rng):
    texture = rng.integers(0, 256, (10, 10, 3), np.uint8)
    square = (SQUARE - 2) / 6 * 10 + np.float32([-0.5, -0.5, 0])  # covers ten by ten pixels
    uv = [[0, 1], [1, 1], [1, 0], [0, 0]]
    image = draw(np.zeros((10, 10, 3), np.uint8), [Mesh(square, SQUARE_TRIANGLES, uv=uv, texture=texture)])
    np.testing.assert_array_equal(image, texture)


@pytest.mark.parametrize("kind", ["colors", "texture"])
def test_perspective_is_that_of_a_plane_seen_by_rays(rng, kind):
    """A floor in front of the camera: each pixel's ray is cut with the plane."""
    floor = np.array([[-1, 1, 2], [1, 1, 2], [1, 1, 6], [-1, 1, 6]], np.float64)  # camera axes, y down
    nearness = 1 / floor[:, 2:]
    vertices = np.concatenate([30 * floor[:, :2] * nearness + [22, 10], nearness], 1)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    texture = rng.integers(0, 256, (4, 4, 3), np.uint8)
    mesh = Mesh(vertices, SQUARE_TRIANGLES, unprojected=floor * [1, 1, -1])
    colors = np.concatenate([uv, uv[:, :1]], 1)
    mesh = mesh.replace(colors=colors) if kind == "colors" else mesh.replace(uv=uv, texture=texture)
    depth = nothing(40, 44)
    image = draw(BLACK, [mesh], depth=depth)
    y, x = np.mgrid[:40, :44]
    distance = 30 / np.maximum(y - 10.0, 1)
    u, v = ((x - 22) * distance / 30 + 1) / 2, (distance - 2) / 4
    seen = np.isfinite(depth)
    assert seen.sum() > 150
    np.testing.assert_allclose(1 / depth[seen], distance[seen], rtol=0.01)  # vertices are snapped to 1/256 pixel
    inside = seen & (np.abs(u - 0.5) < 0.48) & (np.abs(v - 0.5) < 0.48)
    expected = 255 * np.stack([u, v, u], -1) if kind == "colors" else sample(texture, u, v)
    assert np.abs(image[inside] - expected[inside]).max() < 8
    linear = draw(BLACK, [mesh.replace(unprojected=None)]).astype(float)
    assert np.abs(linear[inside] - expected[inside]).max() > 40


@pytest.mark.parametrize("options", [{}, {"antialias": True}, {"cull": True}, {"reverse": True}], ids=str)
@pytest.mark.parametrize("threads", [2, 3, 16])
def test_the_number_of_threads_changes_no_pixel(rng, options, threads):
    mesh = colored(rng, 200)
    expected = rasterize(mesh.vertices, mesh.triangles, mesh.colors, bg=BLACK, **options)
    image = rasterize(mesh.vertices, mesh.triangles, mesh.colors, bg=BLACK, threads=threads, **options)
    np.testing.assert_array_equal(image, expected)
    if "reverse" in options:
        return
    for shading in ("flat", "gouraud", "phong"):
        lit = [
            draw(BLACK, [mesh, mesh.replace(opacity=0.5)], RenderPipeline(), shading=shading, threads=n, **options)
            for n in (1, threads)
        ]
        np.testing.assert_array_equal(*lit)


def test_white_without_colors():
    image = draw(np.zeros((10, 10, 2), np.uint8), [Mesh(SQUARE, SQUARE_TRIANGLES)])
    assert image[2:8, 2:8].min() == 255 and image.sum() == 36 * 2 * 255


@pytest.mark.parametrize(
    ("error", "message", "mesh", "options"),
    [
        (ValueError, "shading .*flat, gouraud, phong", {}, {"shading": "toon"}),
        (ValueError, "opacity", {"opacity": 1.5}, {}),
        (ValueError, "opacity", {"opacity": float("nan")}, {}),
        (ValueError, "texture .*uv", {"texture": np.zeros((2, 2, 3), np.uint8)}, {}),
        (ValueError, "3 channels", {"texture": np.zeros((2, 2, 1), np.uint8), "uv": WHITE[:, :2]}, {}),
        (ValueError, "texture", {"texture": np.zeros((0, 2, 3), np.uint8), "uv": WHITE[:, :2]}, {}),
        (TypeError, "texture .*uint8", {"texture": np.zeros((2, 2, 3)), "uv": WHITE[:, :2]}, {}),
        (ValueError, r"uv .*\(4, 2\)", {"texture": np.zeros((2, 2, 3), np.uint8), "uv": WHITE}, {}),
        (ValueError, r"unprojected .*\(4, 3\)", {"unprojected": WHITE[:2]}, {}),
        (ValueError, "threads .*256", {}, {"threads": 0}),
        (ValueError, "antialias", {}, {"antialias": True, "depth": nothing(10, 10)}),
        (TypeError, "index .*int32", {}, {"index": nothing(10, 10)}),
        (ValueError, "index .*in place", {}, {"index": np.full((10, 20), -1, np.int32)[:, ::2]}),
        (ValueError, "index .*shape", {}, {"index": np.full((9, 10), -1, np.int32)}),
    ],
)
def test_wrong_arguments_are_named(error, message, mesh, options):
    with pytest.raises(error, match=message):
        draw(np.zeros((10, 10, 3), np.uint8), [Mesh(SQUARE, SQUARE_TRIANGLES).replace(**mesh)], **options)


def test_light_needs_three_channels():
    with pytest.raises(ValueError, match="3 channels"):
        draw(np.zeros((10, 10, 1), np.uint8), [Mesh(SQUARE, SQUARE_TRIANGLES)], RenderPipeline())
