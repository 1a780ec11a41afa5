from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from core_repr.envs.mujoco.lighting import Lighting, turned

SCENE = """
<mujoco>
  <worldbody>
    <light name="sun" pos="0 0 3" dir="0 0 -1" diffuse="0.9 0.5 0.1"/>
    <light name="off" pos="1 0 3" dir="0 0 -1" active="false"/>
    <geom type="sphere" size="0.3"/>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def scene():
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def test_vectors_turn_about_an_axis() -> None:
    x, z = np.eye(3)[[0]], np.eye(3)[[2]]
    np.testing.assert_allclose(turned(x, z * math.pi / 2), [[0, 1, 0]], atol=1e-12)
    np.testing.assert_array_equal(turned(x, 0 * z), x)


def test_lights_are_drawn_within_the_scale(scene) -> None:
    model, data = scene
    diffuse = model.light_diffuse.copy()
    position, direction = data.light_xpos.copy(), data.light_xdir.copy()
    lighting = Lighting(model, data, scale=0.2, dynamic=False)
    rng = np.random.default_rng(0)
    for _ in range(50):
        mujoco.mj_camlight(model, data)
        lighting.reset(rng)
        lighting.apply()
        assert np.abs(model.light_diffuse - diffuse).max() <= 0.2 + 1e-6
        assert (model.light_diffuse >= 0).all() and (model.light_diffuse <= 1).all()
        assert np.abs(data.light_xpos - position).max() <= 0.2 * model.stat.extent
        np.testing.assert_allclose(np.linalg.norm(data.light_xdir, axis=1), 1)
        angle = np.arccos(np.clip((data.light_xdir * direction).sum(axis=1), -1, 1))
        assert (angle <= 0.2 * math.pi / 2 * math.sqrt(3) + 1e-9).all()
        # A light that is off by itself stays off.
        assert lighting.on.tolist() == [True, False]


def test_lights_go_out_as_often_as_they_are_asked_to(scene) -> None:
    lighting = Lighting(*scene, scale=0.1, dynamic=False, off_probability=0.5)
    rng = np.random.default_rng(0)
    on = []
    for _ in range(400):
        lighting.reset(rng)
        on.append(lighting.on[0])
    # A share of 400 is off by more than 0.1 once in 10,000.
    assert np.mean(on) == pytest.approx(0.5, abs=0.1)


def test_dynamic_lights_change(scene) -> None:
    model, data = scene
    static, dynamic = (Lighting(model, data, scale=0.1, dynamic=moves) for moves in (False, True))
    for lighting, changes in ((static, False), (dynamic, True)):
        lighting.reset(np.random.default_rng(0))
        before = lighting._rotation.values.copy()
        lighting.step()
        assert (lighting._rotation.values != before).any() == changes
