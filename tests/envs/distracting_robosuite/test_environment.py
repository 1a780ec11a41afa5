from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from core_repr import DistractionWrapper
from core_repr.config import EnvironmentConfig
from core_repr.environments import label
from core_repr.envs.distracting_robosuite.tasks import ROBOTS, TASKS

DOOR = "distracting_robosuite/Door-v0"
Make = Callable[..., gym.Env[Any, Any]]


@pytest.fixture
def make() -> Iterator[Make]:
    pytest.importorskip("robosuite")
    made = []

    def make_one(env_id: str = DOOR, **arguments: Any) -> gym.Env[Any, Any]:
        made.append(gym.make(env_id, **{"frame_size": 24, **arguments}))
        return made[-1]

    yield make_one
    for env in made:
        env.close()


def play(env: gym.Env[Any, Any], seed: int, steps: int = 4, **options: int) -> list[Any]:
    env.action_space.seed(seed)
    seen = [env.reset(seed=seed, options=options or None)[0]]
    for _ in range(steps):
        observation, reward, *_ = env.step(env.action_space.sample())
        seen += [observation, reward]
    return seen


def assert_same(one: list[Any], other: list[Any]) -> None:
    for a, b in zip(one, other, strict=True):
        if isinstance(a, dict):
            assert a.keys() == b.keys()
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
        else:
            assert a == b


def test_every_task_has_an_id() -> None:
    for task in TASKS:
        assert f"distracting_robosuite/{task}-v0" in gym.registry


def test_without_robosuite_a_sentence_says_what_to_install() -> None:
    try:
        import robosuite  # noqa: F401
    except ImportError:
        with pytest.raises(gym.error.DependencyNotInstalled, match=r"core-repr\[robosuite\]"):
            gym.make(DOOR)
    else:
        pytest.skip("robosuite is installed")


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("robosuite")
    other.__version__ = "1.4.1"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "robosuite", other)
    with pytest.raises(gym.error.DependencyNotInstalled, match=r"is 1\.4\.1, .* need 1\.5: pip"):
        gym.make(DOOR)


def test_cards_tell_robot_and_distractions() -> None:
    arguments = {"robot": "Jaco", "distractions": "color-camera", "proprioception": False}
    door = EnvironmentConfig(DOOR, arguments, (-1.0,), (1.0,))
    assert label(door) == "Door, Jaco, colours, lights and camera, frames alone"
    assert label(EnvironmentConfig(DOOR, {}, (-1.0,), (1.0,))) == "Door, Panda, no distractions"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"robot": "Baxter"}, "robot='Baxter' is unknown: expected one of .*'Panda', 'Jaco'"),
        ({"distractions": "all"}, "distractions='all' is unknown"),
        ({"look": "1.4"}, "look='1.4' is unknown"),
        ({"rendering": "best"}, "rendering='best' is unknown"),
        ({"proprioception": "no"}, "proprioception='no' is unknown"),
        ({"frame_size": 0}, "frame_size=0 is too small"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        gym.make(DOOR, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["Panda", "Jaco"])
def test_a_seed_fixes_the_episode(make: Make, robot: str) -> None:
    env = make(robot=robot, distractions="color-camera")
    first = play(env, 3)
    play(env, 4)
    assert_same(play(env, 3), first)
    assert_same(play(make(robot=robot, distractions="color-camera"), 3), first)
    other = play(env, 3, distraction_seed=5)
    np.testing.assert_array_equal(other[0]["proprioception"], first[0]["proprioception"])
    assert other[2] == first[2] and (other[0]["pixels"] != first[0]["pixels"]).any()
    plain = play(make(robot=robot), 3)
    assert plain[2] == first[2]


@pytest.mark.slow
def test_checkers_have_nothing_to_say(make: Make) -> None:
    env = make(distractions="color", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Proprioception has no bounds.
        warnings.filterwarnings("ignore", ".*(infinity|infinite).*")
        warnings.filterwarnings("ignore", ".*minimal resolution.*")
        check_env(env.unwrapped)
        check_env_for_sb3(env)


@pytest.mark.slow
def test_an_episode_is_truncated_and_tells_success(make: Make) -> None:
    env = make(proprioception=False)
    env.reset(seed=0)
    for step in range(1, 501):
        _, reward, terminated, truncated, info = env.step(np.zeros(7, np.float32))
        assert not terminated and truncated == (step == 500)
        assert 0 <= reward <= 1 and info["success"] is False
    with pytest.raises(gym.error.ResetNeeded, match="this episode is over"):
        env.unwrapped.step(np.zeros(7))


@pytest.mark.slow
def test_it_is_silent_and_refuses_bad_actions(
    make: Make,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path,
    monkeypatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG):
        env = make(robot="Jaco")
        env.reset(seed=0)
        env.reset(seed=1)
        for bad in (np.full(7, np.nan), np.zeros(6), np.full(7, 2.0)):
            with pytest.raises(ValueError, match="the action"):
                env.unwrapped.step(bad)
    assert not [record for record in caplog.records if record.name == "robosuite_logs"]
    assert capfd.readouterr() == ("", "")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_the_fast_picture_is_like_the_full_one(make: Make) -> None:
    seen = [
        make(rendering=rendering, frame_size=144).reset(seed=0)[0]["pixels"].astype(int)
        for rendering in ("fast", "full")
    ]
    assert np.abs(seen[0] - seen[1]).mean() < 6


@pytest.mark.slow
def test_parts_change_what_they_are_called(make: Make) -> None:
    clean, color, camera = (
        play(make(distractions=distractions, clean_frames=True), 0, 0)[0]["pixels"].astype(int)
        for distractions in (None, "color", "color-camera")
    )
    assert np.abs(color - clean).mean() > 8 and np.abs(camera - color).mean() > 8
    env = make(distractions="color-camera", clean_frames=True)
    _, info = env.reset(seed=0)
    assert np.abs(info["clean_frame"].astype(int) - clean).mean() < 1
    # With and without the camera, the other parts are the same.
    names = ("textures", "color", "lighting")
    without = make(distractions="color").unwrapped
    without.reset(seed=0)
    assert set(without.distractions) == set(names)
    np.testing.assert_array_equal(
        without.distractions["lighting"]._rotation, env.unwrapped.distractions["lighting"]._rotation
    )
    old = play(make(look="1.2"), 0, 0)[0]["pixels"].astype(int)
    assert np.abs(old - clean).mean() > 8


@pytest.mark.slow
def test_physics_for_probes(make: Make) -> None:
    env = make(physics_state=True)
    _, info = env.reset(seed=0)
    names = env.unwrapped.quantities.names
    assert len(names) == len(info["physics_quantities"]) == 14
    assert {"hinge_qpos", "handle_qpos", "door_pos 0"} <= set(names)
    assert info["physics_state"].ndim == 1


@pytest.mark.slow
@pytest.mark.parametrize("task", [task for task in TASKS if task != "Door"])
def test_the_other_tasks(make: Make, task: str) -> None:
    env = make(f"distracting_robosuite/{task}-v0", distractions="color-camera")
    assert_same(play(env, 1, 2), play(env, 1, 2))
    for seed in range(3):
        assert env.reset(seed=seed)[0] in env.observation_space


@pytest.mark.slow
@pytest.mark.parametrize("robot", ROBOTS)
def test_every_robot(make: Make, robot: str) -> None:
    env = make("distracting_robosuite/Lift-v0", robot=robot)
    assert play(env, 0, 2)[0] in env.observation_space


@pytest.mark.slow
def test_with_a_moving_background(make: Make) -> None:
    surfaces = {"walls_mat": 0.0, "floorplane": 0.3}
    env = DistractionWrapper(make(), "hard", dynamic=True, surfaces=surfaces, num_videos=1)
    frame, _ = env.reset(seed=0)
    assert frame.shape == (72, 72, 3)
    env.step(env.action_space.sample())
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_many_at_once(make: Make, mode: str) -> None:
    first, second = (make(distractions="color").reset(seed=seed)[0] for seed in (1, 2))
    settings = {"frame_size": 24, "distractions": "color"}
    options = {"context": "spawn"} if mode == "async" else {}
    # In a fresh process, core_repr: imports what registers the id.
    envs = gym.make_vec(
        f"core_repr:{DOOR}", 2, vectorization_mode=mode, vector_kwargs=options, **settings
    )
    observed, _ = envs.reset(seed=[1, 2])
    for name in first:
        np.testing.assert_array_equal(observed[name], np.stack([first[name], second[name]]))
    envs.close()


@pytest.mark.parametrize(
    ("task", "robot"),
    [
        ("Door", "Panda"),
        ("Door", "Jaco"),
        *(
            pytest.param(task, ROBOTS[number % len(ROBOTS)], marks=pytest.mark.slow)
            for number, task in enumerate(TASKS)
            if task != "Door"
        ),
    ],
)
def test_what_is_observed_is_what_robosuite_observes_with_all_observables_on(
    task: str, robot: str
) -> None:
    pytest.importorskip("robosuite")
    from core_repr.envs.distracting_robosuite.simulator import make_simulator

    simulator = make_simulator(task, robot, look="1.5", objects=True)
    simulator.reset()
    for _ in range(3):
        simulator.step(0.5 * np.ones(simulator.action_dim))
    observed = simulator._get_observations(force_update=True)
    for name in simulator.observation_names:
        simulator.modify_observable(name, "enabled", True)
    whole = simulator._get_observations(force_update=True)
    simulator.close()
    values = {name: value for name, value in observed.items() if not name.endswith("-state")}
    assert len(values) > 5
    for name, value in values.items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("NutAssemblySingle", ["RoundNut", "SquareNut"]),
        pytest.param("PickPlaceSingle", ["Bread", "Can", "Cereal", "Milk"], marks=pytest.mark.slow),
    ],
)
def test_quantities_are_those_of_the_object_that_an_episode_draws(
    task: str, names: list[str], make: Make
) -> None:
    env: Any = make(f"distracting_robosuite/{task}-v0", physics_state=True, proprioception=False)
    drawn = set()
    for seed in range(12):
        env.reset(seed=seed)
        simulator = env.unwrapped._simulator
        drawn.add(simulator.obj_to_use)
        info = env.step(np.zeros(7, np.float32))[-1]
        told = dict(zip(env.unwrapped.quantities.names, info["physics_quantities"], strict=True))
        body = simulator.obj_body_id[simulator.obj_to_use]
        place = [told[f"object_pos {axis}"] for axis in range(3)]
        np.testing.assert_allclose(place, simulator.sim.data.body_xpos[body])
        assert not any(name in each for each in told for name in names)
    assert sorted(drawn) == names


@pytest.mark.slow
def test_the_object_that_an_episode_draws_does_not_depend_on_the_process() -> None:
    pytest.importorskip("robosuite")
    code = """
import gymnasium, core_repr
env = gymnasium.make("distracting_robosuite/PickPlaceSingle-v0", frame_size=24)
for seed in range(8):
    env.reset(seed=seed)
    print(env.unwrapped._simulator.obj_to_use)
"""
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "012"
    }
    assert len(told) == 1 and len(set(told.pop().split())) > 1
