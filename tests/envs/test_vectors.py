"""Many environments at once, in Gymnasium's and in SB3's ways, and what they leave behind."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from core_repr.envs import PAPER_TASKS
from core_repr.envs.rendering import context as opengl

ID = "distracting_control/cartpole-swingup-v0"
SETTING: dict[str, Any] = {
    "difficulty": "easy",
    "dynamic": True,
    "frame_size": 24,
    "num_videos": 2,
    "action_repeat": 2,
}
SEED, NUMBER, STEPS = 7, 2, 3

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
start_methods = pytest.mark.parametrize(
    "start_method",
    [
        "fork",
        pytest.param("forkserver", marks=pytest.mark.slow),
        pytest.param("spawn", marks=pytest.mark.slow),
    ],
)


@pytest.fixture(scope="module", autouse=True)
def _forkable() -> Iterator[None]:
    """This process has rendered: where OpenGL does not outlive a fork, nothing here can fork."""
    env = gymnasium.make(ID, **SETTING)
    env.reset(seed=0)
    env.close()
    yield


def need_fork(start_method: str) -> None:
    if start_method == "fork" and not opengl._outlives_fork:
        pytest.skip("this OpenGL does not outlive a fork")


def actions() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (NUMBER, 1)).astype(np.float32) for _ in range(STEPS)]


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """The frames of each environment on its own, shape (steps + 1, number, …)."""
    frames = []
    for index in range(NUMBER):
        env = gymnasium.make(ID, **SETTING)
        frames.append([env.reset(seed=SEED + index)[0]])
        frames[-1] += [env.step(action[index])[0] for action in actions()]
        env.close()
    return np.stack(frames, axis=1)


def played(env: gymnasium.vector.VectorEnv) -> np.ndarray:
    try:
        frames = [env.reset(seed=SEED)[0].copy()]
        frames += [env.step(action)[0].copy() for action in actions()]
        return np.stack(frames)
    finally:
        env.close()


def test_gymnasium_in_one_process(expected: np.ndarray) -> None:
    env = gymnasium.make_vec(ID, num_envs=NUMBER, vectorization_mode="sync", **SETTING)
    np.testing.assert_array_equal(played(env), expected)


@start_methods
def test_gymnasiums_processes(expected: np.ndarray, start_method: str) -> None:
    need_fork(start_method)
    env = gymnasium.make_vec(
        ID,
        num_envs=NUMBER,
        vectorization_mode="async",
        vector_kwargs={"context": start_method},
        **SETTING,
    )
    np.testing.assert_array_equal(played(env), expected)


def sb3_played(vec_env_cls: Any, **kwargs: Any) -> np.ndarray:
    # The prefix has workers import what registers the name.
    env = make_vec_env(
        f"core_repr:{ID}",
        NUMBER,
        env_kwargs=SETTING,
        vec_env_cls=vec_env_cls,
        vec_env_kwargs=kwargs,
    )
    try:
        env.seed(SEED)
        frames = [env.reset().copy()]
        frames += [env.step(action)[0].copy() for action in actions()]
        return np.stack(frames)
    finally:
        env.close()


def test_sb3_in_one_process(expected: np.ndarray) -> None:
    np.testing.assert_array_equal(sb3_played(DummyVecEnv), expected)


@start_methods
def test_sb3s_processes(expected: np.ndarray, start_method: str) -> None:
    need_fork(start_method)
    np.testing.assert_array_equal(sb3_played(SubprocVecEnv, start_method=start_method), expected)


def test_information_in_vectors() -> None:
    env = gymnasium.make_vec(
        ID,
        num_envs=NUMBER,
        vectorization_mode="sync",
        clean_frames=True,
        physics_state=True,
        **SETTING,
    )
    _, info = env.reset(seed=0)
    assert info["clean_frame"].shape == (NUMBER, 24, 24, 3)
    assert info["clean_frame"].dtype == np.uint8
    assert info["physics_state"].shape == (NUMBER, 4)
    np.testing.assert_array_equal(info["env_steps"], [0, 0])
    env.close()


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, marks=[] if task == "walker-walk" else pytest.mark.slow)
        for task in PAPER_TASKS
    ],
)
def test_sb3_finds_no_fault(make, task: str) -> None:
    sb3_check_env(make(task, difficulty="easy", frame_size=40), warn=True)


def test_a_video_is_recorded(make, tmp_path: Path) -> None:
    pytest.importorskip("moviepy")
    import imageio

    env = make("cheetah-run", difficulty="easy", render_mode="rgb_array")
    env = gymnasium.wrappers.RecordVideo(env, str(tmp_path), disable_logger=True)
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
    env.close()
    (path,) = tmp_path.glob("*.mp4")
    with imageio.get_reader(path) as video:
        described = video.get_meta_data()
        assert described["size"] == (640, 480)
        assert described["fps"] == pytest.approx(25)
        assert np.asarray(video.get_data(0)).std() > 10


def private_bytes() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * float(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def cycle(count: int) -> None:
    for seed in range(count):
        env = gymnasium.make(ID, render_mode="rgb_array" if seed % 10 == 9 else None, **SETTING)
        env.reset(seed=seed)
        env.close()


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells, others not")
@pytest.mark.parametrize(
    ("warm_up", "count", "megabytes"),
    # A context holds some megabytes of OpenGL and an environment 25: a few left open would show.
    [(3, 5, 60), pytest.param(50, 1000, 32, marks=pytest.mark.slow)],
)
def test_nothing_is_left_behind(warm_up: int, count: int, megabytes: int) -> None:
    cycle(warm_up)
    gc.collect()
    memory, handles = private_bytes(), len(os.listdir("/proc/self/fd"))
    contexts = len(opengl._open_contexts)
    cycle(count)
    gc.collect()
    assert len(opengl._open_contexts) == contexts
    assert len(os.listdir("/proc/self/fd")) == handles
    assert private_bytes() - memory < megabytes * 2**20
