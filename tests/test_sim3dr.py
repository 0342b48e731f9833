"""sim3dr against an independent slow rasteriser, and at the edges of what it may be given."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim3dr import RenderPipeline, get_normal, rasterize, vertex_normals

# ---------------------------------------------------------------------------------------------------------------------
# References and meshes


def weights_at(corners, x, y):
    """Barycentric weights (3, ...) of the points (x, y) in a triangle (3, 2), in float64."""
    (ax, ay), (bx, by), (cx, cy) = corners.astype(np.float64)
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    if area == 0:
        return np.full((3, *np.shape(x)), -1.0)
    at_a = (cx - bx) * (y - by) - (cy - by) * (x - bx)
    at_b = (ax - cx) * (y - cy) - (ay - cy) * (x - cx)
    at_c = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    return np.stack([at_a, at_b, at_c]) / area


def slow_rasterize(vertices, triangles, colors, image, depth):
    """Whole-image rasteriser for vertices on the 1/256 pixel grid with coordinates below 128.

    The top-left rule in its other form: a centre on an edge counts where the point just right of it, and by far less
    below it, lies inside. The nudges are so small that they decide nothing else, and so large that float64 holds them.
    """
    height, width = depth.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    image, depth = image.astype(np.float64), depth.astype(np.float64)
    for triangle in triangles:
        corners = vertices[triangle]
        covered = (weights_at(corners[:, :2], x + 2.0**-22, y + 2.0**-46) > 0).all(0)
        weights = weights_at(corners[:, :2], x, y)
        z = np.tensordot(corners[:, 2].astype(np.float64), weights, 1)
        seen = covered & (z > depth)
        depth[seen] = z[seen]
        shade = np.tensordot(colors[triangle].astype(np.float64), weights, (0, 0))
        image[seen] = 255 * np.clip(shade, 0, 1).transpose(1, 2, 0)[seen]
    return image, depth


def nothing(height, width):
    return np.full((height, width), -np.inf, np.float32)


def random_mesh(rng, count, width, height, grid):
    """Triangles from tiny to larger than the image, with vertices on a grid of 1/grid pixel."""
    centres = rng.uniform(-0.2, 1.2, (count, 1, 2)) * (width, height)
    offsets = rng.normal(size=(count, 3, 2)) * rng.choice([0.6, 4, 25], (count, 1, 1))
    xy = np.clip(np.round((centres + offsets) * grid) / grid, -100, 120)
    vertices = np.concatenate([xy, rng.uniform(-50, 50, (count, 3, 1))], -1).reshape(-1, 3).astype(np.float32)
    return vertices, np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


def tiled_rectangle(rng, columns, rows, width, height, grid=None):
    """A mesh that tiles the rectangle with corners (0, 0) and (width, height), its inner vertices jittered."""
    y, x = np.meshgrid(np.linspace(0, height, rows + 1), np.linspace(0, width, columns + 1), indexing="ij")
    jitter = rng.uniform(-0.2, 0.2, (2, rows + 1, columns + 1))
    x[:, 1:-1] += jitter[0, :, 1:-1] * width / columns
    y[1:-1] += jitter[1, 1:-1] * height / rows
    if grid:
        x, y = np.round(x * grid) / grid, np.round(y * grid) / grid
    vertices = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3).astype(np.float32)
    a = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).reshape(-1)
    b, c, d = a + 1, a + columns + 2, a + columns + 1
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    triangles[::2] = triangles[::2, ::-1]  # both senses of rotation
    return vertices, triangles.astype(np.int32)


def sphere(radius=40.0, centre=(50.0, 50.0, 0.0), rings=40, sectors=60):
    """Normals point outward in the frame of the image."""
    polar = np.linspace(0, np.pi, rings + 1)[:, None]
    around = np.linspace(0, 2 * np.pi, sectors, endpoint=False)
    x, y, z = np.sin(polar) * np.cos(around), np.cos(polar) + 0 * around, np.sin(polar) * np.sin(around)
    directions = np.stack([x, y, z], -1).reshape(-1, 3)
    i, j = np.mgrid[:rings, :sectors].reshape(2, -1)
    a, b = i * sectors + j, i * sectors + (j + 1) % sectors
    triangles = np.concatenate([np.stack([a, b, b + sectors], 1), np.stack([a, b + sectors, a + sectors], 1)])
    return (radius * directions + centre).astype(np.float32), triangles.astype(np.int32)


SQUARE = np.float32([[2, 2, 1], [8, 2, 1], [8, 8, 1], [2, 8, 1]])
SQUARE_TRIANGLES = np.int32([[0, 1, 2], [0, 2, 3]])
WHITE = np.ones((4, 3), np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# Coverage, colour, depth


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


def test_a_fan_covers_its_centre_once():
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
        (TypeError, "triangles must be integers", {"triangles": SQUARE_TRIANGLES.astype(np.float32)}),
        (TypeError, "vertices must be an array of real", {"vertices": SQUARE.astype(complex)}),
        (TypeError, "colors must be .* 255", {"colors": np.full((4, 3), 255, np.uint8)}),
        (TypeError, "bg must be uint8", {"bg": np.zeros((10, 10, 3))}),
        (TypeError, "depth must be a float32", {"depth": np.zeros((10, 10))}),
        (ValueError, r"vertices must have the shape \(N, 3\), got \(4, 2\)", {"vertices": SQUARE[:, :2]}),
        (ValueError, r"vertices must have the shape", {"vertices": SQUARE[0]}),
        (ValueError, r"triangles must have the shape", {"triangles": np.zeros((2, 4), int)}),
        (ValueError, r"colors must have the shape \(4, 3\), got \(3, 3\)", {"colors": WHITE[:3]}),
        (ValueError, r"colors must have the shape \(4, 3\), got \(4, 1\)", {"colors": WHITE[:, :1]}),
        (ValueError, r"bg must have the shape", {"bg": np.zeros((10, 10), np.uint8)}),
        (ValueError, r"height=9 contradicts bg", {"height": 9}),
        (ValueError, r"either bg or both", {"bg": None, "width": 10}),
        (ValueError, r"depth must have the shape \(10, 10\)", {"depth": nothing(10, 9)}),
        (ValueError, r"depth is updated in place", {"depth": nothing(20, 10)[::2]}),
    ],
)
def test_wrong_arguments_are_named(error, message, change):
    arguments = {"vertices": SQUARE, "triangles": SQUARE_TRIANGLES, "colors": WHITE}
    arguments["bg"] = np.zeros((10, 10, 3), np.uint8)
    with pytest.raises(error, match=message):
        rasterize(**{**arguments, **change})


def test_threads_draw_the_same_picture():
    vertices, triangles = sphere()
    app = RenderPipeline(light_pos=(-3, -3, 3))
    bg = np.zeros((100, 100, 3), np.uint8)
    expected = app(vertices, triangles, bg)
    with ThreadPoolExecutor(4) as pool:
        for image in pool.map(lambda _: app(vertices, triangles, bg), range(40)):
            np.testing.assert_array_equal(image, expected)


# ---------------------------------------------------------------------------------------------------------------------
# Normals and lighting


def test_normals_of_a_sphere_point_away_from_its_centre():
    vertices, triangles = sphere(centre=(0, 0, 0))
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
