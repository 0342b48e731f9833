"""sim3dr with anything that can be passed, and from several threads."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.sim3dr_reference import SQUARE, SQUARE_TRIANGLES, WHITE, sphere

from sim3dr import Mesh, RenderPipeline, draw, rasterize, vertex_normals

AWKWARD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 1e-38, 3e38, -3e38, 1e20, 2.0**20, -(2.0**20), 2.0**20 + 1, 0.5]
NUMBERS = st.sampled_from(AWKWARD) | st.floats(-60, 90, width=32) | st.floats(width=32)


@st.composite
def meshes(draw_from, channels):
    """Meshes with anything in them that the checks let pass."""
    count = draw_from(st.integers(0, 9))
    floats = lambda columns: draw_from(arrays.arrays(np.float32, (count, columns), elements=NUMBERS))  # noqa: E731
    triangles = draw_from(st.integers(0, 14)) if count else 0
    corners = arrays.arrays(np.int32, (triangles, 3), elements=st.integers(0, max(count - 1, 0)))
    optional = {}
    if draw_from(st.booleans()):
        optional["colors"] = floats(channels)
    if draw_from(st.booleans()):
        shape = (draw_from(st.integers(1, 3)), draw_from(st.integers(1, 3)), channels)
        optional |= {"uv": floats(2), "texture": draw_from(arrays.arrays(np.uint8, shape))}
    if draw_from(st.booleans()):
        optional["unprojected"] = floats(3)
    return Mesh(floats(3), draw_from(corners), opacity=draw_from(st.sampled_from([0.0, 0.4, 1.0])), **optional)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_anything_at_all_is_drawn_inside_the_picture_or_not_at_all(data):
    channels = data.draw(st.sampled_from([1, 3, 3, 3, 5]))
    height, width = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 40))
    scene = data.draw(st.lists(meshes(channels), max_size=3))
    light = RenderPipeline(light_pos=data.draw(st.tuples(*[st.floats(-5, 5)] * 3))) if channels == 3 else None
    options = {
        "shading": data.draw(st.sampled_from(["flat", "gouraud", "phong"])),
        "cull": data.draw(st.booleans()),
        "threads": data.draw(st.sampled_from([1, 1, 3])),
    }
    background = np.full((height, width, channels), 77, np.uint8)
    if data.draw(st.booleans()):
        image = draw(background, scene, light, antialias=True, **options)
        assert image.shape == background.shape
        return
    guarded_depth = np.full((height + 2, width), -np.inf, np.float32)
    guarded_index = np.full((height + 2, width), -1, np.int32)
    depth, index = guarded_depth[1:-1], guarded_index[1:-1]
    image = draw(background, scene, light, depth=depth, index=index, **options)
    assert np.isinf(guarded_depth[[0, -1]]).all() and (guarded_index[[0, -1]] == -1).all()
    np.testing.assert_array_equal(np.isfinite(depth), index >= 0)
    assert (image[index < 0] == 77).all()
    assert index.max(initial=-1) < sum(len(mesh.triangles) for mesh in scene)


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float32, (7, 3), elements=NUMBERS), st.lists(st.tuples(*[st.integers(0, 6)] * 3), max_size=9))
def test_normals_and_light_are_finite_whatever_the_mesh(vertices, triangles):
    lengths = np.linalg.norm(vertex_normals(vertices, triangles), axis=1)
    assert (np.isclose(lengths, 1, atol=1e-4) | (lengths == 0)).all()
    light = RenderPipeline().light(vertices, triangles)
    assert ((light >= 0) & (light <= 1)).all()


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.int8, np.uint32, np.int64, np.float32]), arrays.array_shapes(max_dims=3, max_side=5)
    ),
    arrays.arrays(st.sampled_from([np.float64, np.float16, np.int16]), arrays.array_shapes(max_dims=3, max_side=5)),
)
def test_wrong_shapes_dtypes_and_indices_are_errors_not_crashes(triangles, vertices):
    fits = vertices.ndim == 2 and vertices.shape[1] == 3 and triangles.ndim == 2 and triangles.shape[1] == 3
    fits &= triangles.dtype.kind in "iu" and triangles.min() >= 0 and triangles.max() < len(vertices)
    if fits:
        vertex_normals(vertices, triangles)
        return
    with pytest.raises((TypeError, ValueError), match=r"vertices|triangles"):
        vertex_normals(vertices, triangles)


def test_arrays_that_are_not_aligned_or_in_the_other_byte_order_are_converted():
    def odd(array):
        raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        raw[...] = array
        assert not raw.flags.aligned
        return raw

    expected = rasterize(SQUARE, SQUARE_TRIANGLES, WHITE, height=10, width=10)
    image = rasterize(odd(SQUARE), odd(SQUARE_TRIANGLES), odd(WHITE), height=10, width=10)
    np.testing.assert_array_equal(image, expected)
    image = rasterize(SQUARE.astype(">f4"), SQUARE_TRIANGLES.astype(">i4"), WHITE.astype(">f8"), height=10, width=10)
    np.testing.assert_array_equal(image, expected)


def test_many_threads_may_draw_at_once():
    vertices, triangles = sphere()
    app, mesh = RenderPipeline(light_pos=(-3, -3, 3)), Mesh(vertices, triangles, opacity=0.5)
    background = np.zeros((100, 100, 3), np.uint8)

    def work(_):
        return app(vertices, triangles, background), draw(background, [mesh], app, shading="phong", threads=3)

    expected = work(0)
    with ThreadPoolExecutor(4) as pool:
        for images in pool.map(work, range(40)):
            np.testing.assert_array_equal(images, expected)


def test_drawing_releases_the_gil():
    """While a thread draws, this one goes on: its longest pause is far shorter than the drawing."""
    layers, rows = 30, 600
    z = np.arange(layers, dtype=np.float32)
    corners = np.float32([[0, 0], [rows, 0], [rows, rows], [0, rows]])
    vertices = np.concatenate([np.tile(corners, (layers, 1)), np.repeat(z, 4)[:, None]], 1)
    triangles = (4 * np.arange(layers)[:, None, None] + SQUARE_TRIANGLES).reshape(-1, 3)
    background = np.zeros((rows, rows, 3), np.uint8)
    took = []

    def work():
        start = time.perf_counter()
        draw(background, [Mesh(vertices, triangles)], RenderPipeline(), shading="phong")
        took.append(time.perf_counter() - start)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        pauses, last = [], time.perf_counter()
        while thread.is_alive():
            now = time.perf_counter()
            pauses.append(now - last)
            last = now
    finally:
        sys.setswitchinterval(interval)
    assert took[0] > 0.1  # long enough to tell
    assert max(pauses) < took[0] / 2
