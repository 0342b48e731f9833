"""A small z-buffer renderer of triangle meshes with a compiled core; `sim3dr.renderer` states the conventions."""

from sim3dr.lighting import RenderPipeline
from sim3dr.renderer import get_normal, rasterize, vertex_normals

__all__ = ["RenderPipeline", "get_normal", "rasterize", "vertex_normals"]
