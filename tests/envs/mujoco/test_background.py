from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_repr.envs import PAPER_TASKS
from core_repr.envs.clips.player import Playback


def indices(playback: Playback, steps: int) -> list[int]:
    shown = [playback.index]
    for _ in range(steps):
        playback.step()
        shown.append(playback.index)
    return shown


def test_back_and_forth() -> None:
    assert indices(Playback(4, 2, 1), 9) == [2, 3, 2, 1, 0, 1, 2, 3, 2, 1]
    assert indices(Playback(4, 0, -1), 4) == [0, 1, 2, 3, 2]
    assert indices(Playback(2, 1, 1), 3) == [1, 0, 1, 0]
    assert indices(Playback(1, 0, 1), 3) == [0, 0, 0, 0]


@given(st.integers(2, 50), st.data())
def test_neighbours_follow_one_another(length, data) -> None:
    start = data.draw(st.integers(0, length - 1))
    shown = indices(Playback(length, start, data.draw(st.sampled_from([-1, 1]))), 3 * length)
    assert set(np.abs(np.diff(shown))) == {1}
    assert set(shown) == set(range(length))


def test_episodes_start_anywhere_and_run_both_ways(make) -> None:
    env = make("reacher-easy", difficulty="easy", dynamic=True, frame_size=8).unwrapped
    background = env.distractions["background"]
    rng = np.random.default_rng(0)
    starts = []
    for _ in range(60):
        background.reset(rng)
        playback = background._playback
        starts.append((background.clip.name, playback.direction))
        assert playback.index < playback.length == len(background.clip.frames())
    assert len(set(starts)) == 4


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_the_grounds_opacity(make, task: str) -> None:
    expected = {"reacher-easy": 0.0, "walker-walk": 1.0, "cheetah-run": 1.0}.get(task, 0.3)
    env = make(task, difficulty="hard", dynamic=True)
    env.reset(seed=0)
    model = env.unwrapped._physics.named.model
    own = model.mat_rgba.copy()
    env.unwrapped.distractions["background"].apply()
    assert model.mat_rgba["grid", "a"] == pytest.approx(expected)
    model.mat_rgba[:] = own
    env.step(env.action_space.sample())
    np.testing.assert_array_equal(model.mat_rgba, own)


def test_the_clip_fills_what_the_ground_leaves(make, tmp_path) -> None:
    from PIL import Image

    (tmp_path / "clip").mkdir()
    for i in range(2):
        Image.new("RGB", (64, 48), (10, 200, 30)).save(tmp_path / "clip" / f"{i}.png")
    env = make(
        "reacher-easy", difficulty="hard", dynamic=True, backgrounds=str(tmp_path), num_videos=1
    )
    shown = 0.0
    for seed in range(4):
        frame, _ = env.reset(seed=seed)
        shown += (np.abs(frame.astype(int) - [10, 200, 30]).max(axis=-1) < 12).mean() / 4
    assert shown > 0.8


def test_a_single_frame_cannot_move(make, tmp_path) -> None:
    from PIL import Image

    (tmp_path / "clip").mkdir()
    Image.new("RGB", (64, 48), (10, 200, 30)).save(tmp_path / "clip" / "0.png")
    choice = {"difficulty": "easy", "backgrounds": str(tmp_path), "num_videos": 1}
    frame, _ = make("reacher-easy", dynamic=False, **choice).reset(seed=0)
    assert (np.abs(frame.astype(int) - [10, 200, 30]).max(axis=-1) < 12).mean() > 0.5
    env = make("reacher-easy", dynamic=True, **choice)
    with pytest.raises(ValueError, match=rf"{tmp_path / 'clip'} has a single frame.*dynamic=False"):
        env.reset(seed=0)
