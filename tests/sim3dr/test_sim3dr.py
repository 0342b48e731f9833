"""sim3dr against an independent slow rasterizer, and at the edges of what it may be given."""

import numpy as np
import pytest
from support.sim3dr_reference import (
    SQUARE,
    SQUARE_TRIANGLES,
    WHITE,
    nothing,
    random_mesh,
    slow_rasterize,
    tiled_rectangle,
)

from sim3dr import RenderPipeline, rasterize, vertex_normals

# ---------------------------------------------------------------------------------------------------------------------
# Coverage, color, depth


@pytest.mark.parametrize("grid", [1, 2, 256], ids="grid1/{}".format)
@pytest.mark.parametrize(("height", "width"), [(20, 24), (48, 90)])
def test_agrees_with_the_slow_rasterizer(height, width, grid):
    rng = np.random.default_rng(grid)
    for _ in range(4):
        vertices, triangles = random_mesh(rng, 40, width, height, grid)
        colors = rng.uniform(-0.2, 1.2, (len(vertices), 3)).astype(np.float32)
        bg = rng.integers(0, 256, (height, width, 3), np.uint8)
        depth = nothing(height, width)
        image = rasterize(vertices, triangles, colors, bg=bg, depth=depth)
        expected_image, expected_depth = slow_rasterize(vertices, triangles, colors, bg, nothing(height, width))
        np.testing.assert_array_equal(np.isinf(depth), np.isinf(expected_depth))
        np.testing.assert_allclose(depth, expected_depth, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(image, expected_image, atol=0.502)  # rounded to the nearest level


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_number_of_channels(channels):
    rng = np.random.default_rng(channels)
    vertices, triangles = random_mesh(rng, 20, 30, 30, 256)
    colors = rng.random((len(vertices), channels), np.float32)
    image = rasterize(vertices, triangles, colors, height=30, width=30)
    expected, _ = slow_rasterize(vertices, triangles, colors, np.zeros((30, 30, channels)), nothing(30, 30))
    assert image.shape == (30, 30, channels)
    np.testing.assert_allclose(image, expected, atol=0.502)


@pytest.mark.parametrize(
    ("columns", "rows", "grid"),
    [(9, 7, 1), (9, 7, 4), (9, 7, None), (1, 1, None), (2, 1, None), (80, 60, 16), (80, 60, None)],
)
def test_a_tiled_rectangle_covers_every_pixel_once(columns, rows, grid):
    vertices, triangles = tiled_rectangle(np.random.default_rng(0), columns, rows, 64, 48, grid)
    one = np.full((len(vertices), 1), 1 / 255, np.float32)
    count = np.zeros((60, 70), np.uint8)
    for triangle in triangles:
        count += rasterize(vertices, triangle[None], one, height=60, width=70)[..., 0]
    assert (count[:48, :64] == 1).all()  # the first row and column included, the last ones of the rectangle not
    assert count.sum() == 48 * 64


def test_a_fan_covers_its_center_once():
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rim = np.stack([20 + 15 * np.cos(angle), 20 + 15 * np.sin(angle), 0 * angle], -1)
    vertices = np.concatenate([[[20, 20, 0]], rim])
    one = np.full((25, 1), 1 / 255)
    fan = [[0, 1 + k, 1 + (k + 1) % 24] for k in range(24)]
    count = sum(rasterize(vertices, [t], one, height=41, width=41)[..., 0].astype(int) for t in fan)
    assert count[20, 20] == 1
    assert count.max() == 1


def test_pixel_centres_lie_at_integers():
    low, high = 2.75, 5.25
    square = np.float32([[low, low, 0], [high, low, 0], [high, high, 0], [low, high, 0]])
    drawn = rasterize(square, SQUARE_TRIANGLES, WHITE, height=8, width=8)[..., 0] > 0
    assert np.argwhere(drawn).tolist() == [[i, j] for i in (3, 4, 5) for j in (3, 4, 5)]


def test_larger_z_is_nearer_and_the_order_of_triangles_does_not_matter():
    rng = np.random.default_rng(5)
    vertices, triangles = random_mesh(rng, 120, 64, 64, 256)
    vertices[:, 2] = np.repeat(rng.permutation(120), 3)  # each triangle at a depth of its own
    colors = np.repeat(rng.random((120, 3), np.float32), 3, axis=0)
    image = rasterize(vertices, triangles, colors, height=64, width=64)
    shuffled = rng.permutation(triangles)
    np.testing.assert_array_equal(rasterize(vertices, shuffled, colors, height=64, width=64), image)
    painter = triangles[np.argsort(vertices[triangles[:, 0], 2])]
    painted = np.zeros_like(image)
    for triangle in painter:
        painted = rasterize(vertices, triangle[None], colors, bg=painted)
    np.testing.assert_array_equal(painted, image)


def test_of_equal_depths_the_earlier_triangle_is_seen():
    vertices = np.tile(SQUARE[:3], (2, 1))
    colors = np.repeat([[1.0], [0.4]], 3, axis=0)
    assert rasterize(vertices, [[0, 1, 2], [3, 4, 5]], colors, height=10, width=10)[3, 5] == 255
    assert rasterize(vertices, [[3, 4, 5], [0, 1, 2]], colors, height=10, width=10)[3, 5] == 102


def test_meshes_share_a_depth_buffer():
    rng = np.random.default_rng(6)
    vertices, triangles = random_mesh(rng, 40, 32, 32, 256)
    colors = rng.random((len(vertices), 3), np.float32)
    depth, shared = nothing(32, 32), nothing(32, 32)
    image = rasterize(vertices, triangles, colors, height=32, width=32, depth=depth)
    first = rasterize(vertices, triangles[:25], colors, height=32, width=32, depth=shared)
    both = rasterize(vertices, triangles[25:], colors, bg=first, depth=shared)
    np.testing.assert_array_equal(both, image)
    np.testing.assert_array_equal(shared, depth)


def test_reverse_turns_the_mesh_upside_down_but_not_the_background():
    rng = np.random.default_rng(7)
    vertices, triangles = random_mesh(rng, 10, 32, 24, 256)
    colors = rng.random((len(vertices), 3), np.float32)
    bg = rng.integers(0, 256, (24, 32, 3), np.uint8)
    depth, reversed_depth = nothing(24, 32), nothing(24, 32)
    upright = rasterize(vertices, triangles, colors, bg=bg[::-1], depth=depth)
    reverse = rasterize(vertices, triangles, colors, bg=bg, reverse=True, depth=reversed_depth)
    np.testing.assert_array_equal(reverse, upright[::-1])
    np.testing.assert_array_equal(reversed_depth, depth[::-1])


def test_large_triangles_are_exact_too():
    """Edges of a million pixels through a small image: y > 0.37 x + 3 and y < 0.37 x + 3, exactly one of the two."""
    ends = np.array([[-1e6, 0.37 * -1e6 + 3], [1e6, 0.37 * 1e6 + 3]])
    vertices = np.float32([[*ends[0], 0], [*ends[1], 0], [-1e6, 1e6, 0], [1e6, -1e6, 0]])
    one = np.full((4, 1), 1 / 255)
    below = rasterize(vertices, [[0, 1, 2]], one, height=50, width=100)[..., 0]
    above = rasterize(vertices, [[0, 1, 3]], one, height=50, width=100)[..., 0]
    assert (below + above == 1).all()
    slope = np.float64(vertices[1, 1] - vertices[0, 1]) / (vertices[1, 0] - vertices[0, 0])
    y, x = np.mgrid[:50, :100]
    np.testing.assert_array_equal(below == 1, y > np.float64(vertices[0, 1]) + slope * (x - np.float64(-1e6)))


# ---------------------------------------------------------------------------------------------------------------------
# What may be passed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e9, -1e30, 3e38])
@pytest.mark.parametrize("axis", [0, 1])
def test_triangles_with_unusable_coordinates_are_left_out(bad, axis):
    vertices = np.concatenate([SQUARE, [[0, 0, 5]]]).astype(np.float32)
    vertices[4, axis] = bad
    image = rasterize(vertices, [[0, 1, 4], *SQUARE_TRIANGLES, [4, 4, 4]], np.ones((5, 3)), height=10, width=10)
    np.testing.assert_array_equal(image, rasterize(SQUARE, SQUARE_TRIANGLES, WHITE, height=10, width=10))


def test_depth_that_is_not_finite_is_left_out_and_huge_depth_is_not():
    for z, drawn in [(np.nan, False), (np.inf, False), (-np.inf, False), (3e38, True), (-3e38, True)]:
        square = SQUARE.copy()
        square[:, 2] = z
        assert rasterize(square, SQUARE_TRIANGLES, WHITE, height=10, width=10).any() == drawn


def test_colors_that_are_no_numbers_are_black():
    image = rasterize(SQUARE, SQUARE_TRIANGLES, np.full((4, 3), np.nan), bg=np.full((10, 10, 3), 9, np.uint8))
    assert (image[2:8, 2:8] == 0).all()


def test_anything_at_all_stays_inside_the_image():
    rng = np.random.default_rng(8)
    special = np.float32([np.nan, np.inf, -np.inf, 0, -0.0, 1e-40, 1e20, -1e20, 2**20, -(2**20), 0.5, 31, 32])
    for _ in range(200):
        height, width = rng.integers(0, 40, 2)
        vertices = np.where(rng.random((12, 3)) < 0.3, rng.choice(special, (12, 3)), rng.normal(16, 30, (12, 3)))
        triangles = rng.integers(0, 12, (30, 3))
        guarded = np.full((height + 2, width), -np.inf, np.float32)
        image = rasterize(vertices, triangles, np.ones((12, 3)), height=height, width=width, depth=guarded[1:-1])
        assert np.isinf(guarded[[0, -1]]).all()
        np.testing.assert_array_equal(image[..., 0] == 255, np.isfinite(guarded[1:-1]))


def test_empty_meshes_and_degenerate_triangles_draw_nothing():
    bg = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    empty = np.zeros((0, 3), np.float32)
    np.testing.assert_array_equal(rasterize(empty, np.zeros((0, 3), np.int32), empty, bg=bg), bg)
    np.testing.assert_array_equal(rasterize(SQUARE, [], WHITE, bg=bg), bg)
    line = [[0, 0, 1], [0, 2, 2], [1, 1, 1]]
    np.testing.assert_array_equal(rasterize(SQUARE, line, WHITE, bg=bg), bg)
    assert rasterize(SQUARE, SQUARE_TRIANGLES, WHITE, height=0, width=5).shape == (0, 5, 3)
    assert vertex_normals(empty, []).shape == (0, 3)


def test_the_inputs_are_not_modified():
    bg = np.full((10, 10, 3), 7, np.uint8)
    vertices, colors = SQUARE.copy(), WHITE * 0.5
    assert rasterize(vertices, SQUARE_TRIANGLES, colors, bg=bg).max() == 128
    texture = colors.copy()
    RenderPipeline()(vertices, SQUARE_TRIANGLES, bg, texture=texture)
    assert (bg == 7).all()
    np.testing.assert_array_equal(vertices, SQUARE)
    np.testing.assert_array_equal(texture, colors)


def test_other_dtypes_and_layouts_are_converted():
    expected = rasterize(SQUARE, SQUARE_TRIANGLES, WHITE, height=10, width=10)
    wide = np.zeros((10, 20, 3), np.uint8)[:, ::2]
    for triangles in (SQUARE_TRIANGLES.astype(np.int64), SQUARE_TRIANGLES.astype(np.uint8), SQUARE_TRIANGLES.tolist()):
        for vertices in (SQUARE.astype(np.float64), SQUARE.astype(int), np.asfortranarray(SQUARE), SQUARE.tolist()):
            np.testing.assert_array_equal(rasterize(vertices, triangles, WHITE.tolist(), bg=wide), expected)


@pytest.mark.parametrize("index", [-1, 4, 2**31 - 1, 2**32, -(2**40)])
def test_indices_out_of_range_are_refused(index):
    triangles = np.array([[0, 1, 2], [0, index, 3]], np.int64)
    with pytest.raises(ValueError, match="triangles"):
        rasterize(SQUARE, triangles, WHITE, height=10, width=10)
    with pytest.raises(ValueError, match="triangles"):
        vertex_normals(SQUARE, triangles)


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (TypeError, "triangles .*integers", {"triangles": SQUARE_TRIANGLES.astype(np.float32)}),
        (TypeError, "vertices", {"vertices": SQUARE.astype(complex)}),
        (TypeError, "colors .*255", {"colors": np.full((4, 3), 255, np.uint8)}),
        (TypeError, "bg .*uint8", {"bg": np.zeros((10, 10, 3))}),
        (TypeError, "depth .*float32", {"depth": np.zeros((10, 10))}),
        (ValueError, r"vertices .*\(4, 2\)", {"vertices": SQUARE[:, :2]}),
        (ValueError, "vertices .*shape", {"vertices": SQUARE[0]}),
        (ValueError, "triangles .*shape", {"triangles": np.zeros((2, 4), int)}),
        (ValueError, r"colors .*\(4, 3\).*\(3, 3\)", {"colors": WHITE[:3]}),
        (ValueError, r"colors .*\(4, 3\).*\(4, 1\)", {"colors": WHITE[:, :1]}),
        (ValueError, "bg .*shape", {"bg": np.zeros((10, 10), np.uint8)}),
        (ValueError, "height=9", {"height": 9}),
        (ValueError, "bg", {"bg": None, "width": 10}),
        (ValueError, r"depth .*\(10, 10\)", {"depth": nothing(10, 9)}),
        (ValueError, "depth .*in place", {"depth": nothing(20, 10)[::2]}),
    ],
)
def test_wrong_arguments_are_named(error, message, change):
    arguments = {"vertices": SQUARE, "triangles": SQUARE_TRIANGLES, "colors": WHITE}
    arguments["bg"] = np.zeros((10, 10, 3), np.uint8)
    with pytest.raises(error, match=message):
        rasterize(**{**arguments, **change})
