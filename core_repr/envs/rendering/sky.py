"""The sky of a MuJoCo scene: a cube map whose faces show a picture.

Writing the texture costs most of the time of a small frame, so it is written straight to OpenGL,
without the mipmaps that MuJoCo's own upload computes, and only to the faces in view.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# The cube map's faces in OpenGL's order, as the axis and side of the world they lie on.
_FACES = ((0, 1), (0, -1), (2, 1), (2, -1), (1, -1), (1, 1))
_UP_AXIS = 2


def _face_corners() -> NDArray[np.float64]:
    """Returns the corners of each face of the cube [-1, 1]³ in turn, shape (6, 4, 3)."""
    corners = np.empty((6, 4, 3))
    for face, (axis, side) in enumerate(_FACES):
        others = [i for i in range(3) if i != axis]
        corners[face][:, axis] = side
        corners[face][:, others] = [(-1, -1), (-1, 1), (1, 1), (1, -1)]
    return corners


def _inward_planes(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the normals, pointing inwards, of cones from the origin.

    Args:
        corners: The four edges of each cone in turn, shape (..., 4, 3).

    Returns:
        One normal for each side, same shape.
    """
    normals = np.cross(corners, np.roll(corners, -1, axis=-2))
    middle = corners.mean(axis=-2, keepdims=True)
    side: NDArray[np.float64] = np.sign((normals * middle).sum(axis=-1, keepdims=True))
    return normals * side


_CORNERS = _face_corners()
_PLANES = _inward_planes(_CORNERS)


def faces_in_view(
    rotation: NDArray[np.float64], half_height: float, half_width: float
) -> NDArray[np.intp]:
    """Returns which faces of the sky a camera may see.

    No face in view is left out; a face just beyond a corner of the view may be counted in.

    Args:
        rotation: The camera's orientation, shape (3, 3): right, up and back as columns.
        half_height: Tangent of half the vertical field of view.
        half_width: Tangent of half the horizontal field of view.

    Returns:
        Numbers of the faces, in OpenGL's order.
    """
    height, width = half_height, half_width
    edges = np.array(
        [(-width, -height, -1), (-width, height, -1), (width, height, -1), (width, -height, -1)]
    )
    sides = np.array([(1, 0, -width), (-1, 0, -width), (0, 1, -height), (0, -1, -height)])
    beyond_view = (_CORNERS @ (rotation @ sides.T) <= 0).all(axis=1).any(axis=1)
    beyond_face = (_PLANES @ (rotation @ edges.T) <= 0).all(axis=2).any(axis=1)
    return np.flatnonzero(~(beyond_view | beyond_face))


def sky_index(model: Any) -> int | None:
    """Returns which texture of a `mujoco.MjModel` is the sky; None if the model has none."""
    import mujoco

    skies = np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    return int(skies[0]) if len(skies) else None


def cut_sky(model: Any, size: int) -> None:
    """Gives the sky of a model, if it has one, the size of the pictures that it will show.

    A square texture stands for all six faces; MuJoCo reads only as much of the original's data as
    the smaller size needs. A sky that is too small stays as it is.
    """
    sky = sky_index(model)
    if sky is not None and size * size <= model.tex_height[sky] * model.tex_width[sky]:
        model.tex_height[sky] = model.tex_width[sky] = size


class SkyTexture:
    """Shows pictures on the sky of one rendering context, whether or not the model has a sky.

    Args:
        model: The `mujoco.MjModel`.
        context: The `mujoco.MjrContext`, current, made after `cut_sky`.
        size: Height and width of the pictures.
    """

    def __init__(self, model: Any, context: Any, size: int) -> None:
        import mujoco
        from OpenGL import GL

        self._gl = GL
        sky = sky_index(model)
        if sky is None:
            # MuJoCo draws what it finds in this table, and deletes it with the context. The last of
            # its materials is that of the sky.
            self._name = int(GL.glGenTextures(1))
            context.texture[context.ntexture] = self._name
            context.textureType[context.ntexture] = mujoco.mjtTexture.mjTEXTURE_SKYBOX
            role = mujoco.mjtTextureRole
            context.mat_texid[role.mjTEXROLE_RGB - role.mjNTEXROLE] = context.ntexture
            context.ntexture += 1
            GL.glActiveTexture(GL.GL_TEXTURE0)
            for coordinate in (GL.GL_S, GL.GL_T, GL.GL_R):
                GL.glTexGeni(coordinate, GL.GL_TEXTURE_GEN_MODE, GL.GL_OBJECT_LINEAR)
        else:
            self._name = int(context.texture[sky])
        GL.glBindTexture(GL.GL_TEXTURE_CUBE_MAP, self._name)
        GL.glTexParameteri(GL.GL_TEXTURE_CUBE_MAP, GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR)
        faces = GL.GL_TEXTURE_CUBE_MAP_POSITIVE_X
        if GL.glGetTexLevelParameteriv(faces, 0, GL.GL_TEXTURE_WIDTH) != size:
            for face in range(faces, faces + len(_FACES)):
                blank = (0, GL.GL_RGB, size, size, 0, GL.GL_RGB, GL.GL_UNSIGNED_BYTE, None)
                GL.glTexImage2D(face, *blank)
        self._shown: list[NDArray[np.uint8] | None] = [None] * len(_FACES)

    def show(self, picture: NDArray[np.uint8], faces: NDArray[np.intp]) -> None:
        """Shows a picture on some faces, the right way round for who stands inside.

        Args:
            picture: Shape (size, size, 3), of the sky texture's size.
            faces: Numbers of the faces.
        """
        due = [face for face in faces.tolist() if self._shown[face] is not picture]
        if not due:
            return
        gl = self._gl
        gl.glBindTexture(gl.GL_TEXTURE_CUBE_MAP, self._name)
        gl.glPixelStorei(gl.GL_UNPACK_ALIGNMENT, 1)
        height, width, _ = picture.shape
        for face in due:
            level = _FACES[face][0] == _UP_AXIS
            pixels = np.ascontiguousarray(picture[::-1] if level else picture[:, ::-1])
            gl.glTexSubImage2D(
                gl.GL_TEXTURE_CUBE_MAP_POSITIVE_X + face,
                0,
                0,
                0,
                width,
                height,
                gl.GL_RGB,
                gl.GL_UNSIGNED_BYTE,
                pixels,
            )
            self._shown[face] = picture
