"""Drawings of rotations: axes, cubes and meshes over pictures, and sheets of heads and scenes."""
