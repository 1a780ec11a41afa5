from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_repr.envs import task_names
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


@pytest.mark.parametrize("task", task_names())
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


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("scale", [0.1, 0.3])
def test_poses_stay_within_the_papers_ranges(make, task: str, scale: float) -> None:
    env = make(task).unwrapped
    env.reset(seed=0)
    own = env._physics.model.ptr
    start = own.cam_pos0[0] if own.cam_mode[0] == 0 else own.cam_poscom0[0]
    camera = camera_of(env, task, scale, dynamic=True)
    rng = np.random.default_rng(0)
    poses = []
    for _ in range(40):
        camera.reset(rng)
        for _ in range(30):
            before = np.array(to_cartesian(*camera.spherical)), camera.roll
            poses.append((*camera.spherical, camera.roll))
            camera.step()
            moved = np.linalg.norm(np.array(to_cartesian(*camera.spherical)) - before[0])
            # A clipped angle may slide further than the velocity, never for long.
            assert moved <= 0.4 * scale * np.linalg.norm(start) / 4 * 1.5 + 1e-9
            assert abs(camera.roll - before[1]) <= scale * math.pi / 50 + 1e-9
    radius, horizontal, vertical = to_spherical(*start)
    swing = scale * math.pi / 2
    low = np.array([radius * (1 - 0.5 * scale), horizontal - swing, vertical - swing, -swing])
    high = np.array([radius * (1 + 1.5 * scale), horizontal + swing, vertical + swing, swing])
    if task != "reacher-easy":
        low[1:3] = np.maximum(low[1:3], [-math.pi, 0])
        high[1:3] = np.minimum(high[1:3], [0, math.pi / 2])
    seen = np.array(poses)
    assert (seen >= low - 1e-9).all() and (seen <= high + 1e-9).all()
    # All of each range is used.
    assert (seen.min(axis=0) < low + 0.15 * (high - low)).all()
    assert (seen.max(axis=0) > high - 0.15 * (high - low)).all()


@pytest.mark.parametrize("task", ["cartpole-swingup", "cheetah-run"])
def test_the_target_stays_in_the_middle(make, task: str) -> None:
    env = make(task, difficulty="hard", dynamic=True).unwrapped
    env.reset(seed=1)
    data = env._physics.data
    for _ in range(5):
        env.step(env.action_space.sample())
        rotation = data.cam_xmat[0].reshape(3, 3)
        # Straight ahead of the model's own camera, as far away as the body.
        if task == "cheetah-run":
            target = data.subtree_com[1] + env.distractions["camera"]._target
            assert np.linalg.norm(target - data.subtree_com[1]) < 0.3
        else:
            target = env.distractions["camera"]._target
            assert target == pytest.approx([0, 0, 1], abs=0.3)
        seen = rotation.T @ (target - data.cam_xpos[0])
        assert np.hypot(*seen[:2]) < 1e-6 * -seen[2]


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
