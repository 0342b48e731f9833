"""A z-buffer renderer of triangle meshes with a compiled core; `sim3dr.renderer` states the conventions."""

from sim3dr.heads import draw_heads, head_in_image, place_head, project
from sim3dr.lighting import RenderPipeline
from sim3dr.mesh import Mesh, MeshError, default_head, load_mesh
from sim3dr.renderer import draw, get_normal, rasterize, vertex_normals

__all__ = [
    "Mesh",
    "MeshError",
    "RenderPipeline",
    "default_head",
    "draw",
    "draw_heads",
    "get_normal",
    "head_in_image",
    "load_mesh",
    "place_head",
    "project",
    "rasterize",
    "vertex_normals",
]
