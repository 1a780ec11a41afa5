from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from PIL import Image

from core_repr.envs import PAPER_TASKS
from core_repr.envs.levels import LEVELS
from core_repr.envs.mujoco.directions import to_cartesian


def play(env, seed: int, steps: int = 6) -> np.ndarray:
    """Returns the frames of an episode's start, under actions that follow from the seed."""
    rng = np.random.default_rng(seed)
    frames = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        action = rng.uniform(env.action_space.low, env.action_space.high)
        frames.append(env.step(action.astype(np.float32))[0])
    return np.stack(frames)


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_the_same_seed_gives_the_same_frames(make, task: str) -> None:
    first = make(task, difficulty="hard", dynamic=True)
    second = make(task, difficulty="hard", dynamic=True)
    frames = play(first, seed=3)
    play(second, seed=8)
    np.testing.assert_array_equal(frames, play(second, seed=3))
    assert not np.array_equal(frames, play(first, seed=4))


def test_rendering_changes_nothing(make) -> None:
    watched = make("walker-walk", difficulty="hard", dynamic=True, render_mode="rgb_array")
    alone = make("walker-walk", difficulty="hard", dynamic=True)
    watched.reset(seed=0)
    alone.reset(seed=0)
    for _ in range(3):
        action = watched.action_space.sample()
        watched.render()
        np.testing.assert_array_equal(watched.step(action)[0], alone.step(action)[0])


def test_render_shows_the_frame_larger(make) -> None:
    env = make("cheetah-run", difficulty="medium", render_mode="rgb_array")
    frame, _ = env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (480, 640, 3)
    small = np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.BOX))
    # Edges are averaged over 15×20 pixels here and over 2×2 there.
    assert np.abs(small.astype(int) - frame).mean() < 6


def test_render_needs_its_mode(make) -> None:
    env = make("cartpole-swingup")
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.unwrapped.render() is None


@pytest.mark.parametrize("task", ["cartpole-swingup", "walker-walk"])
def test_reward_is_summed_over_the_repeats(make, task: str) -> None:
    from dm_control import suite

    env = make(task, difficulty="easy", dynamic=True)
    env.reset(seed=0)
    reference = suite.load(*task.split("-"))
    reference.reset()
    with reference.physics.reset_context():
        reference.physics.set_state(env.unwrapped._physics.get_state())
    for _ in range(10):
        action = env.action_space.sample()
        _, reward, terminated, truncated, _ = env.step(action)
        rewards = [reference.step(action).reward for _ in range(env.unwrapped.action_repeat)]
        assert reward == pytest.approx(sum(rewards), abs=1e-9)
        assert not terminated and not truncated
    np.testing.assert_allclose(env.unwrapped._physics.get_state(), reference.physics.get_state())


@pytest.mark.parametrize("action_repeat", [8, 300])
def test_truncated_and_not_terminated_after_1000_simulator_steps(make, action_repeat: int) -> None:
    env = make("cartpole-swingup", action_repeat=action_repeat, frame_size=8)
    _, info = env.reset(seed=0)
    assert info["env_steps"] == 0
    steps, truncated = 0, False
    while not truncated:
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
        steps += 1
        assert info["env_steps"] == min(1000, steps * action_repeat)
        assert not terminated
    assert info["env_steps"] == 1000
    with pytest.raises(ResetNeeded, match="this episode is over: call reset"):
        env.step(env.action_space.sample())
    env.reset()
    env.step(env.action_space.sample())


def test_an_episode_has_as_many_steps_as_the_suites(make) -> None:
    for task in PAPER_TASKS:
        env = make(task).unwrapped
        assert env._suite._step_limit == pytest.approx(1000)


def test_frames_a_second_follow_the_simulator(make) -> None:
    assert make("cartpole-swingup").metadata["render_fps"] == pytest.approx(100 / 8)
    assert make("walker-walk").metadata["render_fps"] == pytest.approx(20)


def test_static_distractions_stay(make) -> None:
    env = make("cheetah-run", difficulty="hard")
    env.reset(seed=0)
    parts = env.unwrapped.distractions
    before = (parts["camera"].spherical, parts["color"].rgb.copy(), parts["background"].frame)
    for _ in range(5):
        env.step(env.action_space.sample())
    assert parts["camera"].spherical == before[0]
    np.testing.assert_array_equal(parts["color"].rgb, before[1])
    assert parts["background"].frame is before[2]


def test_dynamic_distractions_move_on_at_every_simulator_step(make) -> None:
    coarse = make("cheetah-run", difficulty="hard", dynamic=True, action_repeat=6)
    fine = make("cheetah-run", difficulty="hard", dynamic=True, action_repeat=1)
    for env in (coarse, fine):
        env.reset(seed=0)
    action = coarse.action_space.sample()
    start = coarse.unwrapped.distractions["color"].rgb
    coarse.step(action)
    for _ in range(6):
        fine.step(action)
    mine, other = coarse.unwrapped.distractions, fine.unwrapped.distractions
    assert mine["camera"].spherical == other["camera"].spherical
    np.testing.assert_array_equal(mine["color"].rgb, other["color"].rgb)
    np.testing.assert_array_equal(mine["background"].frame, other["background"].frame)
    assert not np.array_equal(mine["color"].rgb, start)


def test_distractions_are_drawn_independently(make) -> None:
    everything = make("cheetah-run", difficulty="hard")
    everything.reset(seed=0)
    without = make("cheetah-run", difficulty="hard", camera=False)
    without.reset(seed=0)
    mine, other = everything.unwrapped.distractions, without.unwrapped.distractions
    assert set(other) == {"background", "color"}
    np.testing.assert_array_equal(mine["color"].rgb, other["color"].rgb)
    np.testing.assert_array_equal(mine["background"].frame, other["background"].frame)
    np.testing.assert_array_equal(
        everything.unwrapped._physics.get_state(), without.unwrapped._physics.get_state()
    )


def test_no_clip_is_no_background_distraction(make) -> None:
    env = make("cheetah-run", difficulty="hard", backgrounds=None)
    assert set(env.unwrapped.distractions) == {"camera", "color"}
    assert make("cheetah-run").unwrapped.distractions == {}


@pytest.mark.parametrize(
    ("difficulty", "train", "val"), [("easy", 4, 4), ("medium", 8, 8), ("hard", 60, 30)]
)
def test_levels_have_the_papers_clips_and_scale(
    make, difficulty: str, train: int, val: int
) -> None:
    names = {}
    for split, count in (("train", train), ("val", val)):
        env = make("cheetah-run", difficulty=difficulty, split=split, num_videos=None)
        clips = env.unwrapped.distractions["background"]._clips
        assert len(clips) == count
        names[split] = {clip.name for clip in clips}
    assert not names["train"] & names["val"]
    assert LEVELS[difficulty].scale == {"easy": 0.1, "medium": 0.2, "hard": 0.3}[difficulty]


def test_closing_twice_and_going_on(make) -> None:
    env = make("cartpole-swingup", difficulty="easy").unwrapped
    frame, _ = env.reset(seed=0)
    env.close()
    env.close()
    np.testing.assert_array_equal(env.reset(seed=0)[0], frame)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"difficulty": "extreme"}, ValueError, "'easy', 'medium', 'hard'"),
        ({"split": "test"}, ValueError, "'train', 'val'"),
        ({"dynamic": "yes"}, ValueError, "dynamic='yes' is unknown: expected one of"),
        ({"difficulty": ["easy"]}, ValueError, "difficulty=.'easy'. is unknown"),
        ({"rendering": "slow"}, ValueError, "rendering='slow' is unknown: .*'fast', 'full'"),
        ({"render_mode": "ansi"}, ValueError, "render_mode='ansi'.*'rgb_array'"),
        ({"clean_frames": 2}, ValueError, "clean_frames=2"),
        ({"frame_size": 0}, ValueError, "frame_size=0 is too small: expected at least 1"),
        ({"frame_size": -3}, ValueError, "frame_size=-3"),
        ({"frame_size": 9000}, ValueError, "frame_size=9000 is too large: expected at most 4096"),
        ({"frame_size": True}, TypeError, "frame_size=True is a bool: expected an integer"),
        ({"frame_size": 7.5}, TypeError, "integer"),
        ({"action_repeat": 0}, ValueError, "at least 1"),
        ({"action_repeat": 10**400}, ValueError, "action_repeat=10+ is too large: .* 1000"),
        ({"frame_size": None}, TypeError, "frame_size=None"),
        ({"scale": 1.5}, ValueError, "scale=1.5 is out of range: expected a number from 0 to 1"),
        ({"scale": float("nan")}, ValueError, "scale=nan is out of range"),
        ({"scale": "0.2"}, TypeError, "scale='0.2' is a str: expected a number"),
        ({"scale": True}, TypeError, "scale=True is a bool"),
        ({"difficulty": "easy", "num_videos": 0}, ValueError, "at least 1"),
        ({"difficulty": "easy", "num_videos": 61}, ValueError, "60 clips.*61"),
        ({"difficulty": "easy", "num_videos": -1}, ValueError, "at least 1"),
        ({"num_videos": np.float32(2)}, TypeError, "expected an integer"),
        ({"difficulty": "easy", "backgrounds": "/nowhere"}, FileNotFoundError, "/nowhere"),
        ({"backgrounds": ""}, ValueError, "backgrounds='' is empty"),
        ({"suite_camera": 1}, ValueError, "suite_camera=1 is unknown"),
        (
            {"difficulty": "easy", "background": False, "camera": False, "color": False},
            ValueError,
            "nothing to distract with: .* --difficulty none",
        ),
        (
            {"difficulty": "easy", "backgrounds": None, "camera": False, "color": False},
            ValueError,
            "nothing to distract with: background .backgrounds=None., camera, color and lighting",
        ),
    ],
)
def test_bad_arguments(make, arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        make("cartpole-swingup", **arguments)


def test_bad_actions_are_named(make) -> None:
    env = make("cartpole-swingup").unwrapped
    env.reset(seed=0)
    state = env._physics.get_state()
    for action in ([np.nan], [0.0, 0.0], [1.5]):
        with pytest.raises(ValueError, match=r"expected finite numbers of shape \(1,\) from -1"):
            env.step(np.array(action, np.float32))
    np.testing.assert_array_equal(env._physics.get_state(), state)
    env.step(np.array([1.0], np.float32))


def test_no_step_without_an_episode(make) -> None:
    env = make("cartpole-swingup", render_mode="rgb_array").unwrapped
    action = env.action_space.sample()
    for prepare in (lambda: None, lambda: (env.reset(), env.close())):
        prepare()
        with pytest.raises(ResetNeeded, match="no episode was started: call reset"):
            env.step(action)
        with pytest.raises(ResetNeeded, match="nothing to render: call reset"):
            env.render()


def test_a_tiny_frame(make) -> None:
    env = make("reacher-easy", difficulty="easy", frame_size=1)
    assert env.reset(seed=0)[0].shape == (1, 1, 3)


@pytest.mark.parametrize("seed", [-1, 1.5, None, "x"])
def test_the_distractions_seed_is_checked(make, seed: object) -> None:
    env = make("cartpole-swingup").unwrapped
    with pytest.raises((TypeError, ValueError), match=r"distraction_seed=.*expected"):
        env.reset(seed=0, options={"distraction_seed": seed})
    with pytest.raises(ResetNeeded):
        env.step(env.action_space.sample())
    env.reset(seed=0, options={"distraction_seed": np.int64(3)})


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("task", ["finger-spin", "reacher-easy"])
def test_a_copy_continues_as_the_original_does(make, task: str, way: str) -> None:
    """Finger hides a part of its model, and reacher moves one, when an episode starts."""
    env = make(task, difficulty="hard", dynamic=True)
    fresh = COPIES[way](env)
    first = play(env, seed=3)
    twin = COPIES[way](env)
    rng = np.random.default_rng(0)
    actions = [rng.uniform(-1, 1, env.action_space.shape).astype(np.float32) for _ in range(3)]
    theirs = [twin.step(action) for action in actions]
    mine = [env.step(action) for action in actions]
    for ours, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(ours[0], other[0])
        assert ours[1:] == other[1:]
    np.testing.assert_array_equal(play(fresh, seed=3), first)
    np.testing.assert_array_equal(play(twin, seed=3), first)
    twin.close()
    fresh.close()
    env.step(actions[0])


def test_a_closed_environment_can_be_copied(make) -> None:
    env = make("cartpole-swingup", difficulty="easy")
    frame, _ = env.reset(seed=0)
    env.close()
    twin = copy.deepcopy(env)
    np.testing.assert_array_equal(twin.reset(seed=0)[0], frame)
    twin.close()


def positions(env, seeds: range, steps: int) -> np.ndarray:
    """Returns where the camera is in each frame, shape (episodes, steps + 1, 3)."""
    camera = env.distractions["camera"]
    found = []
    for seed in seeds:
        env.reset(seed=seed)
        found.append([to_cartesian(*camera.spherical)])
        for _ in range(steps):
            env.step(np.zeros(env.action_space.shape, np.float32))
            found[-1].append(to_cartesian(*camera.spherical))
    return np.array(found)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("difficulty", LEVELS)
def test_the_suite_s_camera_of_reacher_stays_on_one_side(
    make, difficulty: str, dynamic: bool
) -> None:
    arguments = {"difficulty": difficulty, "dynamic": dynamic, "frame_size": 4, "num_videos": 1}
    own, suite = (
        positions(
            make("reacher-easy", suite_camera=suite_camera, **arguments).unwrapped, range(8), 25
        )
        for suite_camera in (False, True)
    )
    assert (suite[..., 0] >= 0).all() and suite[..., 0].max() > 0.02
    # Between the bounds of the horizontal angle, ±σ·π/2.
    angle = np.arctan2(suite[..., 1], suite[..., 0])
    assert np.abs(angle).max() <= LEVELS[difficulty].scale * np.pi / 2 + 1e-9
    assert (own[..., 0] < 0).any() and (own[..., 0] > 0).any()


@pytest.mark.parametrize("task", sorted(set(PAPER_TASKS) - {"reacher-easy"}))
def test_in_other_tasks_the_suite_s_camera_is_ours(make, task: str) -> None:
    frames = [
        play(make(task, difficulty="hard", dynamic=True, suite_camera=suite), seed=2, steps=3)
        for suite in (False, True)
    ]
    np.testing.assert_array_equal(*frames)
