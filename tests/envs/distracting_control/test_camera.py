from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_repr.envs import PAPER_TASKS
from core_repr.envs.distracting_control.camera import (
    Camera,
    look_from_above,
    look_upright,
    nearest_angles,
    roll_by,
    to_cartesian,
    to_spherical,
)
from core_repr.envs.distracting_control.tasks import TASKS

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
    return Camera(
        physics.model.ptr,
        physics.data.ptr,
        camera_id=0,
        scale=scale,
        dynamic=dynamic,
        upper_quadrant=TASKS[task].upper_quadrant,
    )


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
        Camera(
            env._physics.model.ptr,
            env._physics.data.ptr,
            camera_id=1,
            scale=0.1,
            dynamic=False,
            upper_quadrant=True,
        )
