"""Pictures of lit heads: colors and light are drawn apart and multiplied.

Light is computed at the vertices, colors of the skin are looked up in its texture. Both are drawn as square roots of
linear values, so bytes are enough; of their product a table makes display values.
"""

from dataclasses import dataclass

import cv2
import numpy as np

import sim3dr
from semiuhpe.synthetic.figure import Figure, TexturedPart
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.light import Light, illuminate, sunlit, tone_curve
from semiuhpe.synthetic.skin import atlas
from semiuhpe.synthetic.solids import Mesh

HEADROOM = 2.5  # the square root of the strongest light
_STEPS = 4096  # of products
_TABLE = np.round(255 * tone_curve((np.arange(_STEPS) * HEADROOM / _STEPS) ** 2)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class LitHead:
    """A head with what it wears, lit.

    Attributes:
        vertices: (N, 3) in head axes.
        closed: (M, 3) triangles of the head itself, first those of the skin, last those of a body; only their outer
            side is visible.
        open: (L, 3) triangles of what it wears, visible from both sides.
        texture: (H, W, 3) uint8, colors of the skin as square roots.
        colors: (N, 3) those of the other parts, from 0 to 1.
        light: (N, 4) square roots of the light, as shares of the headroom, and display values of the highlights.
        body: the body, if there is one.
    """

    vertices: np.ndarray
    closed: np.ndarray
    open: np.ndarray
    texture: np.ndarray
    colors: np.ndarray
    light: np.ndarray
    body: TexturedPart | None = None


def light_up(figure: Figure, worn: list[Mesh], rotation: np.ndarray, light: Light) -> LitHead:
    """Light a figure and what it wears, seen with a rotation (3, 3), head to camera."""
    vertices, triangles, albedo, gloss, occlusion = _joined(figure, worn)
    normals = sim3dr.vertex_normals(vertices, triangles) @ -rotation.T
    _face_the_camera(normals, len(figure.vertices))
    if light.casts_shadows:
        sun = _sunlit(vertices @ rotation.T, triangles, figure, light)
    else:
        sun = np.ones(len(vertices), np.float32)
    arrives, shine = illuminate(albedo, normals, occlusion, gloss, light, sun)
    values = np.concatenate([np.sqrt(arrives) / np.float32(HEADROOM), tone_curve(shine)[:, None]], 1)
    own = len(figure.triangles)
    return LitHead(
        vertices=vertices,
        closed=triangles[:own],
        open=triangles[own:],
        texture=figure.texture,
        colors=np.sqrt(albedo),
        light=np.minimum(values, 1).astype(np.float32),
        body=figure.body,
    )


def _sunlit(camera: np.ndarray, triangles: np.ndarray, figure: Figure, light: Light) -> np.ndarray:
    """Return how much of the key light each vertex sees; heads get fine shadows, of head and shoulders alone."""
    sun = sunlit(camera, triangles, light.key_direction)
    if figure.body is None:
        return sun
    bust, whole = len(template().vertices), len(figure.vertices)
    of_bust = ((triangles < bust) | (triangles >= whole)).all(1)
    alone = camera.copy()
    alone[bust:whole] = camera[0]
    fine = sunlit(alone, triangles[of_bust], light.key_direction)
    fine[bust:whole] = sun[bust:whole]
    return fine


def _joined(figure: Figure, worn: list[Mesh]) -> tuple[np.ndarray, ...]:
    """Return vertices, triangles, albedo, highlight and occlusion of the figure, followed by those of what it wears."""
    vertices, triangles, albedo = [figure.vertices], [figure.triangles], [figure.albedo]
    gloss, occlusion = [figure.gloss], [figure.occlusion]
    start = len(figure.vertices)
    for mesh in worn:
        vertices.append(mesh.vertices)
        triangles.append(mesh.triangles + np.int32(start))
        albedo.append(mesh.albedo)
        gloss.append(np.full(len(mesh.vertices), mesh.gloss, np.float32))
        occlusion.append(np.ones(len(mesh.vertices), np.float32))
        start += len(mesh.vertices)
    parts = (vertices, triangles, albedo, gloss, occlusion)
    return tuple(np.concatenate(part).astype(part[0].dtype, copy=False) for part in parts)


def _face_the_camera(normals: np.ndarray, first: int) -> None:
    """Turn the normals of sheets (long hair, brims, lenses), which are visible from both sides, to the camera."""
    sheet = normals[first:]
    sheet[sheet[:, 2] > 0] *= -1


class Canvas:
    """A picture that heads are drawn into, the farthest first or in any order.

    Args:
        background: (S, S, 3) uint8.
    """

    _LAYERS = ("_colors", "_light", "depth", "_depth_of_light")

    def __init__(self, background: np.ndarray):
        self._background = background
        self._colors = np.zeros_like(background)
        self._light = np.zeros((*background.shape[:2], 4), np.uint8)
        self.depth = np.full(background.shape[:2], -np.inf, np.float32)
        self._depth_of_light = self.depth.copy()

    def draw(self, head: LitHead, placed: np.ndarray) -> None:
        """Draw a head whose vertices are ``placed`` (N, 3) in pixels, the third coordinate larger nearer."""
        texture = template().texture
        n_skin = len(texture.triangles)
        skin = sim3dr.Mesh(placed[texture.vertex], texture.triangles, uv=atlas().uv, texture=head.texture)
        body = head.body
        own = len(head.closed) - (0 if body is None else len(body.triangles))
        meshes = [skin, sim3dr.Mesh(placed, head.closed[n_skin:own], colors=head.colors)]
        if body is not None:
            meshes.append(sim3dr.Mesh(placed[body.vertex], body.triangles, uv=body.uv, texture=body.texture))
        self._colors = sim3dr.draw(self._colors, meshes, depth=self.depth, cull=True)
        depth = self._depth_of_light
        self._light = sim3dr.rasterize(placed, head.closed, head.light, bg=self._light, depth=depth, cull=True)
        if len(head.open):
            self._colors = sim3dr.rasterize(placed, head.open, head.colors, bg=self._colors, depth=self.depth)
            self._light = sim3dr.rasterize(placed, head.open, head.light, bg=self._light, depth=depth)

    def part(self, where: tuple[slice, slice]) -> "Canvas":
        """Return a copy of a part of the canvas, to draw on and to :meth:`put` back."""
        piece = Canvas(self._background[where])
        for name in self._LAYERS:
            setattr(piece, name, np.ascontiguousarray(getattr(self, name)[where]))
        return piece

    def put(self, where: tuple[slice, slice], piece: "Canvas") -> None:
        """Replace a part of the canvas by what was drawn on a copy of it."""
        for name in self._LAYERS:
            getattr(self, name)[where] = getattr(piece, name)

    def picture(self, highlights: np.ndarray) -> np.ndarray:
        """Return the picture, uint8 (S, S, 3), with highlights of a color (3,)."""
        product: np.ndarray = cv2.multiply(self._colors, np.ascontiguousarray(self._light[..., :3]), dtype=cv2.CV_16U)
        lit = _TABLE.take(np.right_shift(product, 4))  # 255 * 255 is a little less than 2 ** 16
        shine = self._light[..., 3]
        lit = cv2.add(lit, cv2.merge([cv2.convertScaleAbs(shine, alpha=float(c)) for c in highlights]))
        return cv2.copyTo(lit, np.isfinite(self.depth).astype(np.uint8), self._background.copy())
