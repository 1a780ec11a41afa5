"""The tasks of the suite beside the paper's."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from core_repr.envs import PAPER_TASKS, task_names
from core_repr.envs.distracting_control.tasks import EPISODE_STEPS, TASKS

SOME = ("fish-swim", "humanoid-walk", "manipulator-bring_ball", "quadruped-fetch")
OTHERS = sorted(set(task_names()) - {*PAPER_TASKS, *SOME})


def test_the_whole_suite_but_two_is_there() -> None:
    suite = pytest.importorskip("dm_control.suite")
    every = {f"{domain}-{task}" for domain, task in suite.ALL_TASKS}
    assert every - set(task_names()) == {"dog-fetch", "quadruped-escape"}
    assert {*PAPER_TASKS} <= set(task_names()) <= every
    for name in task_names():
        assert f"distracting_control/{name}-v0" in gymnasium.registry


@pytest.mark.parametrize(
    "task", [*SOME, *(pytest.param(task, marks=pytest.mark.slow) for task in OTHERS)]
)
def test_every_distraction_shows_and_the_physics_are_told(make, task: str) -> None:
    env = make(
        task, difficulty="medium", dynamic=True, clean_frames=True, physics_state=True, camera=False
    )
    first, info = env.reset(seed=1)
    other, same = env.reset(seed=1, options={"distraction_seed": 7})
    assert np.array_equal(info["physics_quantities"], same["physics_quantities"])
    assert np.array_equal(info["clean_frame"], same["clean_frame"])
    # Most of the picture is background or ground, which both change.
    for frame in (first, other):
        moved = np.abs(frame.astype(int) - info["clean_frame"]).max(-1) > 8
        assert moved.mean() > 0.5, task
    assert np.abs(first.astype(int) - other).mean() > 8
    env.action_space.seed(0)
    for _ in range(3):
        frame, _, _, _, info = env.step(env.action_space.sample())
    assert info["env_steps"] == 3 * TASKS[task].action_repeat
    quantities = env.unwrapped.quantities
    assert info["physics_quantities"].shape == (len(quantities.names),)
    assert np.isfinite(info["physics_quantities"]).all()
    assert len(set(quantities.names)) == len(quantities.names)


@pytest.mark.parametrize("task", ["fish-swim", "humanoid-walk", "quadruped-fetch"])
def test_a_camera_that_looks_from_elsewhere_keeps_its_side(make, task: str) -> None:
    env = make(task, difficulty="hard", dynamic=True, background=False, color=False)
    for seed in range(3):
        env.reset(seed=seed)
        camera = env.unwrapped.distractions["camera"]
        assert (camera.low < camera.high).all()
        env.action_space.seed(seed)
        for _ in range(20):
            env.step(env.action_space.sample())
        pose = np.array([*camera.spherical, camera.roll])
        assert ((pose >= camera.low - 1e-9) & (pose <= camera.high + 1e-9)).all()


def test_what_turns_freely_is_told_by_its_axes(make) -> None:
    env = make("quadruped-walk", physics_state=True)
    env.reset(seed=0)
    _, _, _, _, info = env.step(np.full(12, 0.5, np.float32))
    told = dict(zip(env.unwrapped.quantities.names, info["physics_quantities"], strict=True))
    x, y = (np.array([told[f"root axis {own}{axis}"] for axis in "xyz"]) for own in "xy")
    assert np.dot(x, y) == pytest.approx(0, abs=1e-9)
    rotation = env.unwrapped._physics.named.data.xmat["torso"].reshape(3, 3)
    np.testing.assert_allclose(np.stack([x, y], 1), rotation[:, :2], atol=1e-6)
    position = env.unwrapped._physics.named.data.xpos["torso"]
    assert [told[f"root {axis}"] for axis in "xyz"] == pytest.approx(list(position))


def test_lqr_ends_although_the_suite_sets_it_no_limit(make) -> None:
    env = make("lqr-lqr_2_1", action_repeat=200)
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(EPISODE_STEPS // 200)]
    assert ends == [(False, False)] * 4 + [(False, True)]


@pytest.mark.parametrize("task", ["lqr-lqr_2_1", "lqr-lqr_6_2"])
def test_an_actuator_without_limits_takes_actions_between_minus_1_and_1(task: str, make) -> None:
    env = make(task, physics_state=True)
    assert env.action_space.low.tolist() == [-1] * len(env.action_space.low)
    assert env.action_space.high.tolist() == [1] * len(env.action_space.high)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(20):
        info = env.step(env.action_space.sample())[-1]
    assert abs(info["physics_state"]).max() < 100


def test_near_misses_are_named() -> None:
    with pytest.raises(ValueError, match=r"task='walker-wok' is unknown: did you mean walker-walk"):
        gymnasium.make("distracting_control/walker-walk-v0", task="walker-wok")
