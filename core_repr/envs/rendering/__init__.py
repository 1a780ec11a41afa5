"""Rendering without a screen: which OpenGL, frames of a MuJoCo scene, and whether it works."""

from core_repr.envs.rendering.backend import (
    RenderingError,
    explain,
    happened_in_opengl,
    importing_opengl,
    prefer_headless,
    select_backend,
)

__all__ = [
    "RenderingError",
    "explain",
    "happened_in_opengl",
    "importing_opengl",
    "prefer_headless",
    "select_backend",
]
