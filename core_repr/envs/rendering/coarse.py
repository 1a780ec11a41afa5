"""Coarser meshes and textures, which a small frame cannot tell from the model's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

MeshArrays = dict[str, NDArray[Any]]


def coarse_meshes(model: Any, grid: float) -> Callable[[Any], AbstractContextManager[None]]:
    """Prepares meshes whose vertices are merged where they lie in one cell of a grid.

    Args:
        model: The `mujoco.MjModel`. It stays as it is: the simulation has its own meshes.
        grid: Width of a cell in metres.

    Returns:
        What gives a model with these meshes the coarse ones, in a `with` statement. An OpenGL
        context that is built inside keeps them.
    """
    faces, texture_faces = model.mesh_face.copy(), model.mesh_facetexcoord.copy()
    normal_faces, counts = model.mesh_facenormal.copy(), model.mesh_facenum.copy()
    for mesh in range(model.nmesh):
        start, number = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
        first, vertices = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        merged = _merged(model.mesh_vert[first : first + vertices], grid)
        rows = slice(start, start + number)
        corners = merged[faces[rows]]
        a, b, c = corners.T
        kept = np.flatnonzero((a != b) & (b != c) & (c != a))
        if not len(kept):
            continue  # Smaller than a cell: such a mesh stays as it is.
        counts[mesh] = len(kept)
        filled = slice(start, start + len(kept))
        normals, coordinates = normal_faces[rows][kept], texture_faces[rows][kept]
        faces[filled], normal_faces[filled] = corners[kept], normals
        texture_faces[filled] = coordinates
    coarse = {
        "mesh_face": faces,
        "mesh_facenormal": normal_faces,
        "mesh_facetexcoord": texture_faces,
        "mesh_facenum": counts,
    }

    @contextmanager
    def swapped(other: Any) -> Iterator[None]:
        own = {name: getattr(other, name).copy() for name in coarse}
        _write(other, coarse)
        try:
            yield
        finally:
            _write(other, own)

    return swapped


def _merged(vertices: NDArray[np.float32], grid: float) -> NDArray[np.int32]:
    """Returns for each vertex the number of the first one in its cell."""
    cells = np.floor(vertices / grid).astype(np.int64)
    _, first, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    merged: NDArray[np.int32] = first[cell.ravel()].astype(np.int32)
    return merged


def _write(model: Any, arrays: MeshArrays) -> None:
    for name, values in arrays.items():
        getattr(model, name)[:] = values


def shrink_textures(model: Any, size: int) -> None:
    """Averages the textures of a model down to a size, for good; the sky stays.

    Args:
        model: The `mujoco.MjModel`.
        size: The largest width in pixels of a texture, or of a face of a cube.
    """
    import mujoco

    for texture in range(model.ntex):
        height, width = int(model.tex_height[texture]), int(model.tex_width[texture])
        if model.tex_type[texture] == mujoco.mjtTexture.mjTEXTURE_SKYBOX or width <= size:
            continue
        faces = max(1, height // width) if model.tex_type[texture] else 1
        rows = size * faces if model.tex_type[texture] else max(1, round(height * size / width))
        texels = texels_of(model, texture)
        small = _averaged(_averaged(texels, rows).transpose(1, 0, 2), size).transpose(1, 0, 2)
        model.tex_height[texture], model.tex_width[texture] = rows, size
        texels_of(model, texture)[:] = np.rint(small).astype(np.uint8)


def texels_of(model: Any, texture: int) -> NDArray[np.uint8]:
    """Returns a view of a texture of a model, shape (height, width, channels)."""
    shape = (
        int(model.tex_height[texture]),
        int(model.tex_width[texture]),
        int(model.tex_nchannel[texture]),
    )
    start = int(model.tex_adr[texture])
    texels: NDArray[np.uint8] = model.tex_data[start : start + np.prod(shape)].reshape(shape)
    return texels


def _averaged(rows: NDArray[Any], number: int) -> NDArray[np.float64]:
    """Averages rows down to a smaller number, each over what it covers."""
    edges = np.linspace(0, len(rows), number + 1)
    whole = np.floor(edges).astype(int)
    total = np.concatenate([np.zeros((1, *rows.shape[1:])), np.cumsum(rows, axis=0, dtype=float)])
    following = np.concatenate([rows, rows[-1:]]).astype(float)
    share = (edges - whole)[:, None, None]
    upto = total[whole] + share * following[whole]
    averaged: NDArray[np.float64] = np.diff(upto, axis=0) * (number / len(rows))
    return averaged
