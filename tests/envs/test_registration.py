from __future__ import annotations

import subprocess
import sys

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from core_repr.envs import PAPER_TASKS, register


def test_the_paper_s_tasks_are_registered_once() -> None:
    register()
    assert len(PAPER_TASKS) == 6
    for name in PAPER_TASKS:
        assert f"distracting_control/{name}-v0" in gymnasium.registry


def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, core_repr.envs; core_repr.envs.register(); "
        "print({'mujoco', 'dm_control', 'imageio', 'PIL', 'OpenGL', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_gymnasium_finds_no_fault(make, task: str) -> None:
    env = make(task, difficulty="easy", dynamic=True, render_mode="rgb_array")
    # The rendering check would build the environment without its arguments' clips.
    check_env(env.unwrapped, skip_render_check=True)
    assert env.observation_space.shape == (32, 32, 3)


def test_gymnasium_finds_no_fault_in_rendering() -> None:
    env = gymnasium.make(
        "distracting_control/cartpole-swingup-v0", render_mode="rgb_array", frame_size=16
    )
    check_env(env.unwrapped)
    env.close()


def test_spec_round_trips_through_json(make) -> None:
    env = make("cartpole-swingup", difficulty="medium", dynamic=True, split="val", action_repeat=3)
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    try:
        assert again.spec == env.spec
        assert again.unwrapped.action_repeat == 3
        np.testing.assert_array_equal(env.reset(seed=4)[0], again.reset(seed=4)[0])
    finally:
        again.close()


def test_unknown_task() -> None:
    with pytest.raises(gymnasium.error.NameNotFound):
        gymnasium.make("distracting_control/cartpole-fly-v0")


def test_the_spec_records_plain_values(make, tmp_path) -> None:
    odd = {
        "difficulty": np.str_("easy"),
        "num_videos": np.int64(1),
        "dynamic": np.True_,
        "frame_size": np.uint8(32),
        "backgrounds": tmp_path,
    }
    subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i"),
            *("testsrc=size=16x16:rate=10:duration=0.5", str(tmp_path / "a.mp4")),
        ],
        check=True,
    )
    env = make("cartpole-swingup", **odd)
    assert {name: type(env.spec.kwargs[name]) for name in odd} == {
        "difficulty": str, "num_videos": int, "dynamic": bool, "frame_size": int,
        "backgrounds": str,
    }  # fmt: skip
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    try:
        np.testing.assert_array_equal(env.reset(seed=4)[0], again.reset(seed=4)[0])
    finally:
        again.close()
