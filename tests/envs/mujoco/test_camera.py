from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_repr.envs import PAPER_TASKS
from core_repr.envs.distracting_control.tasks import TASKS
from core_repr.envs.mujoco.camera import Camera
from core_repr.envs.mujoco.directions import (
    look_from_above,
    look_upright,
    nearest_angles,
    roll_by,
    to_cartesian,
    to_spherical,
)
from core_repr.envs.mujoco.mounts import FreeMount, ModelMount, SuiteMount
from core_repr.envs.rendering.free_camera import FreeCamera

COORDINATE = st.floats(-5, 5)
POINT = st.tuples(COORDINATE, COORDINATE, COORDINATE).filter(lambda p: math.hypot(*p) > 0.1)
ANGLE = st.floats(-math.pi, math.pi)


@given(POINT)
def test_spherical_coordinates_round_trip(point) -> None:
    np.testing.assert_allclose(to_cartesian(*to_spherical(*point)), point, atol=1e-12)


@given(st.floats(-7, 7), ANGLE, ANGLE, ANGLE)
def test_nearest_angles_point_the_same_way(horizontal, vertical, near_h, near_v) -> None:
    found = nearest_angles(horizontal, vertical, near_h, near_v)
    np.testing.assert_allclose(
        to_cartesian(1, *found), to_cartesian(1, horizontal, vertical), atol=1e-12
    )


def test_nearest_angles_cross_the_pole_without_a_jump() -> None:
    # From (0.3, 0.1) over the pole: the point comes back as (0.3 + π, 0.1).
    found = nearest_angles(0.3 + math.pi, 0.1, 0.3, 0.05)
    assert found == pytest.approx((0.3, -0.1))


@given(POINT)
def test_a_camera_looks_where_it_is_told(direction) -> None:
    x, y, z = np.array(direction) / np.linalg.norm(direction)
    looks = [look_from_above] if z < 0.99 else []
    if math.hypot(x, y) > 1e-3:
        looks.append(look_upright)
    for look in looks:
        rotation = look(np.array(direction))
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(rotation) == pytest.approx(1)
        np.testing.assert_allclose(rotation @ [0, 0, -1], [x, y, z], atol=1e-9)
    if look_upright in looks:
        right, up, _ = look_upright(np.array(direction)).T
        assert right[2] == 0
        assert up[2] > 0


def test_from_above_is_calm_at_the_pole() -> None:
    for angle in np.linspace(0, 2 * math.pi, 9):
        slant = np.array([0.01 * math.cos(angle), 0.01 * math.sin(angle), -1.0])
        np.testing.assert_allclose(look_from_above(slant), np.eye(3), atol=0.02)


def test_roll_turns_about_the_line_of_sight() -> None:
    np.testing.assert_allclose(roll_by(0.7) @ [0, 0, -1], [0, 0, -1])
    np.testing.assert_allclose(roll_by(math.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def camera_of(env, task: str, scale: float, dynamic: bool) -> Camera:
    physics = env._physics
    upright = TASKS[task].upper_quadrant
    mount = SuiteMount(physics.model.ptr, physics.data.ptr, camera_id=0, upright=upright)
    return Camera(mount, scale=scale, dynamic=dynamic, above=upright, in_front=upright)


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_without_deviation_the_models_own_pose(make, task: str) -> None:
    env = make(task).unwrapped
    env.reset(seed=0)
    data = env._physics.data
    position, rotation = data.cam_xpos[0].copy(), data.cam_xmat[0].copy()
    camera = camera_of(env, task, scale=0.0, dynamic=False)
    camera.reset(np.random.default_rng(0))
    camera.apply()
    np.testing.assert_allclose(data.cam_xpos[0], position, atol=1e-9)
    # The suite writes its cameras' orientations with three digits.
    np.testing.assert_allclose(data.cam_xmat[0], rotation, atol=2e-3)


def test_other_camera_modes_are_refused(make) -> None:
    env = make("cartpole-swingup").unwrapped
    with pytest.raises(ValueError, match="expected fixed or trackcom"):
        SuiteMount(env._physics.model.ptr, env._physics.data.ptr, camera_id=1, upright=True)


SCENE = """
<mujoco>
  <worldbody>
    <camera name="own" pos="0 -2 1" euler="60 0 10"/>
    <body name="arm" pos="0 0 0.5">
      <joint axis="0 0 1"/>
      <geom type="box" size="0.3 0.05 0.05"/>
      <camera name="hand" pos="0.2 0.3 0.4" euler="-40 20 0"/>
      <camera name="follower" pos="0 -2 1" euler="60 0 0" mode="track"/>
      <camera name="watcher" pos="0 -2 1" mode="targetbody" target="arm"/>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def scene():
    import mujoco

    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    data.qvel[0] = 1.0
    mujoco.mj_step(model, data, 10)
    return model, data


@pytest.mark.parametrize("camera_id", range(4))
@pytest.mark.parametrize("look_at", [None, 1, np.array([0.1, 0.2, 0.3])])
def test_any_camera_without_deviation_has_its_own_pose(scene, camera_id, look_at) -> None:
    import mujoco

    model, data = scene
    mount = ModelMount(model, data, camera_id=camera_id, look_at=look_at)
    camera = Camera(mount, scale=0.0, dynamic=True, above=True)
    camera.reset(np.random.default_rng(0))
    for _ in range(3):
        mujoco.mj_step(model, data, 50)
        position, rotation = data.cam_xpos[camera_id].copy(), data.cam_xmat[camera_id].copy()
        camera.step()
        camera.apply()
        np.testing.assert_allclose(data.cam_xpos[camera_id], position, atol=1e-9)
        np.testing.assert_allclose(data.cam_xmat[camera_id], rotation, atol=1e-9)


def test_a_moved_camera_keeps_what_it_turns_about_where_it_sees_it(scene) -> None:
    model, data = scene
    mount = ModelMount(model, data, camera_id=0, look_at=1)

    def seen() -> np.ndarray:
        way = data.xpos[1] - data.cam_xpos[0]
        return data.cam_xmat[0].reshape(3, 3).T @ way / np.linalg.norm(way)

    own = seen()
    position = data.cam_xpos[0].copy()
    camera = Camera(mount, scale=0.3, dynamic=False, above=True)
    camera.reset(np.random.default_rng(3))
    camera.roll = 0.0
    camera.apply()
    assert np.linalg.norm(data.cam_xpos[0] - position) > 0.1
    np.testing.assert_allclose(seen(), own, atol=1e-9)


@pytest.mark.parametrize("elevation", [-90.0, -45.0, 0.0, 30.0])
def test_a_free_camera_without_deviation_is_where_it_was(elevation: float) -> None:
    own = FreeCamera((0.0, 1.0, 0.5), 2.0, 30.0, elevation)
    camera = Camera(FreeMount(own), scale=0.0, dynamic=False, above=True)
    camera.reset(np.random.default_rng(0))
    camera.apply()
    np.testing.assert_allclose(camera.mount.camera.offset, own.offset, atol=1e-9)
    assert camera.mount.camera.roll == 0
