from __future__ import annotations

import mujoco
import numpy as np
import pytest

from core_repr.envs.rendering.coarse import coarse_meshes, shrink_textures, texels_of
from core_repr.envs.rendering.frame_renderer import FrameRenderer

_POINTS = np.random.default_rng(0).normal(size=(3000, 3))
_SPHERE = 0.1 * _POINTS / np.linalg.norm(_POINTS, axis=1, keepdims=True)

SCENE = f"""
<mujoco>
  <asset>
    <mesh name="ball" vertex="{" ".join(f"{x:.4f}" for x in _SPHERE.ravel())}"/>
    <mesh name="grain" vertex="0 0 0 .001 0 0 0 .001 0 0 0 .001"/>
    <texture name="flat" type="2d" width="300" height="200"
      builtin="checker" rgb1="1 0 0" rgb2="0 0 1"/>
    <texture name="cube" type="cube" width="256" height="1536"
      builtin="gradient" rgb1="1 1 0" rgb2="0 1 1"/>
    <texture name="sky" type="skybox" width="256" height="256"
      builtin="gradient" rgb1="1 1 1" rgb2="0 0 0"/>
    <texture name="small" type="2d" width="20" height="20" builtin="flat" rgb1="1 1 1"/>
    <material name="flat" texture="flat"/>
    <material name="cube" texture="cube"/>
  </asset>
  <worldbody>
    <light pos="0 -2 2" dir="0 1 -1"/>
    <camera pos="0 -.5 0" xyaxes="1 0 0 0 0 1"/>
    <geom type="mesh" mesh="ball" material="cube"/>
    <geom type="mesh" mesh="grain" pos=".2 0 0"/>
    <geom type="plane" size="1 1 .1" pos="0 0 -.2" material="flat"/>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(SCENE)


def drawn(model: mujoco.MjModel, coarse: object = None) -> np.ndarray:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = FrameRenderer(model, height=64, width=64, aspect=1.0, camera=0, coarse=coarse)
    frame = renderer.render(data)
    renderer.close()
    return frame.astype(int)


def test_coarse_meshes_are_there_for_a_while_and_look_alike(model: mujoco.MjModel) -> None:
    names = ("mesh_face", "mesh_facenum", "mesh_facenormal", "mesh_facetexcoord", "mesh_vert")
    own = {name: getattr(model, name).copy() for name in names}
    swapped = coarse_meshes(model, grid=0.01)
    with swapped(model):
        fewer = model.mesh_facenum.copy()
        faces = model.mesh_face[: fewer[0]]
        # Every face has three corners, and no vertex is new.
        assert (np.diff(np.sort(faces, axis=1), axis=1) > 0).all()
        assert faces.max() < model.mesh_vertnum[0]
    assert fewer[0] < 0.5 * own["mesh_facenum"][0]
    # A mesh that is smaller than a cell stays.
    assert fewer[1] == own["mesh_facenum"][1]
    for name, values in own.items():
        np.testing.assert_array_equal(getattr(model, name), values)
    whole, coarse = drawn(model), drawn(model, swapped)
    assert 0 < np.abs(whole - coarse).mean() < 3
    assert np.abs(whole - drawn(model, coarse_meshes(model, grid=0.1))).mean() > 3


def test_shrunk_textures_keep_their_means(model: mujoco.MjModel) -> None:
    before = [texels_of(model, i).copy() for i in range(model.ntex)]
    shrink_textures(model, 64)
    shapes = [texels_of(model, i).shape[:2] for i in range(model.ntex)]
    assert shapes == [(43, 64), (384, 64), before[2].shape[:2], (20, 20)]
    for i in (0, 1):
        np.testing.assert_allclose(
            texels_of(model, i).mean(axis=(0, 1)), before[i].mean(axis=(0, 1)), atol=1.5
        )
    # 4×4 texels become one.
    blocks = before[1].reshape(384, 4, 64, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(texels_of(model, 1), blocks, atol=0.51)
    for i in (2, 3):
        np.testing.assert_array_equal(texels_of(model, i), before[i])


@pytest.mark.parametrize("window", [(0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 0.5, 0.5)])
def test_a_window_shows_its_part_of_the_picture(
    model: mujoco.MjModel, window: tuple[float, float, float, float]
) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    whole = FrameRenderer(model, height=128, width=128, aspect=1.0, camera=0)
    part = FrameRenderer(model, height=64, width=64, aspect=1.0, camera=0, window=window)
    left, top, right, bottom = (round(128 * edge) for edge in window)
    expected = whole.render(data)[top:bottom, left:right].astype(int)
    seen = part.render(data).astype(int)
    # Edges of surfaces fall on either of two pixels.
    assert (np.abs(seen - expected).max(axis=2) > 8).mean() < 0.02
    whole.close(), part.close()
