from __future__ import annotations

import numpy as np
import pytest

from core_repr.envs import PAPER_TASKS


def play(env, seed: int, steps: int) -> tuple[np.ndarray, list[dict]]:
    """Returns the frames and the information of an episode's start, under random actions."""
    env.action_space.seed(seed)
    frame, info = env.reset(seed=seed)
    frames, infos = [frame], [info]
    for _ in range(steps):
        frame, _, _, _, info = env.step(env.action_space.sample())
        frames.append(frame)
        infos.append(info)
    return np.stack(frames), infos


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_clean_frames_are_those_of_the_undistracted_task(make, task: str) -> None:
    distracted = make(task, difficulty="hard", dynamic=True, clean_frames=True)
    clean = make(task)
    frames, infos = play(distracted, seed=3, steps=4)
    expected, _ = play(clean, seed=3, steps=4)
    np.testing.assert_array_equal([info["clean_frame"] for info in infos], expected)
    assert np.abs(frames.astype(int) - expected).mean() > 10


@pytest.mark.parametrize(
    ("rendering", "parts"),
    [("fast", {}), ("fast", {"background": False}), ("full", {"background": False})],
)
def test_clean_frames_leave_the_others_as_they_are(make, rendering: str, parts: dict) -> None:
    setting = {"difficulty": "hard", "dynamic": True, "rendering": rendering, **parts}
    watched = make("walker-walk", clean_frames=True, **setting)
    frames, infos = play(watched, seed=1, steps=2)
    again, _ = play(make("walker-walk", **setting), seed=1, steps=2)
    np.testing.assert_array_equal(frames, again)
    for frame, info in zip(frames, infos, strict=True):
        assert not np.array_equal(frame, info["clean_frame"])


def test_without_distractions_every_frame_is_clean(make) -> None:
    frames, infos = play(make("reacher-easy", clean_frames=True), seed=0, steps=3)
    np.testing.assert_array_equal(frames, [info["clean_frame"] for info in infos])


def test_information_comes_on_request(make) -> None:
    _, infos = play(make("finger-spin", difficulty="easy"), seed=0, steps=2)
    assert [set(info) for info in infos] == [{"env_steps"}] * 3


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_the_physics_state(make, task: str) -> None:
    env = make(task, difficulty="easy", physics_state=True)
    _, infos = play(env, seed=1, steps=3)
    physics = env.unwrapped._physics
    states = [info["physics_state"] for info in infos]
    size = physics.model.nq + physics.model.nv + physics.model.na
    assert states[0].shape == (size,) and states[0].dtype == np.float64
    np.testing.assert_array_equal(states[-1], physics.get_state())
    # What was handed out does not move with the simulator, and is enough to return to.
    assert not np.array_equal(states[0], states[-1])
    with physics.reset_context():
        physics.set_state(states[0])
    np.testing.assert_array_equal(physics.get_state(), states[0])


def test_the_state_of_a_seed_is_the_same_under_every_distraction(make) -> None:
    _, infos = play(make("cheetah-run", physics_state=True), seed=5, steps=3)
    _, others = play(
        make("cheetah-run", difficulty="hard", dynamic=True, physics_state=True), seed=5, steps=3
    )
    for info, other in zip(infos, others, strict=True):
        np.testing.assert_array_equal(info["physics_state"], other["physics_state"])
