from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from core_repr import cli
from core_repr.benchmarks.agent_names import AgentName
from core_repr.benchmarks.agents import (
    AGENTS,
    Curve,
    Evaluation,
    _environment,
    figures,
    read_curves,
)
from core_repr.benchmarks.physics import PhysicsEnv, state_environment
from core_repr.config import CoReConfig, EnvironmentConfig, WrapperConfig
from core_repr.world_model import CoReWorldModel


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig], tmp_path: Path) -> Path:
    """A model of an environment whose episodes take ten agent steps."""
    environment = EnvironmentConfig(
        "distracting_control/cartpole-swingup-v0",
        {"frame_size": 40, "action_repeat": 100},
        (-1.0,),
        (1.0,),
        100,
    )
    config = tiny_config(world_model={"frame_size": 40, "crop_size": 36})
    CoReWorldModel(config.replace(environment=environment)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.slow
def test_all_are_trained_and_compared_and_nothing_is_done_twice(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curves, json_file = tmp_path / "curves", tmp_path / "figures.json"
    typed = f"""bench agents --model {model} --env-steps 3000 --evaluations 2 --episodes 1
        --seeds 0 1 --folder {curves} --json {json_file}""".split()
    assert cli.main([*typed, "--agents", "latents-sac"]) == 0
    assert sorted(path.name for path in curves.iterdir()) == [
        "latents-sac-seed-0.csv",
        "latents-sac-seed-1.csv",
    ]
    before = (curves / "latents-sac-seed-0.csv").read_bytes()
    assert cli.main([*typed, "--agents", *AGENTS]) == 0
    assert len(list(curves.iterdir())) == 2 * len(AGENTS)
    assert (curves / "latents-sac-seed-0.csv").read_bytes() == before
    trained = read_curves(curves)
    assert list(trained) == list(AGENTS)
    assert [point.env_steps for point in trained["pixels-sac"][1]] == [0, 1500, 3000]
    names = [figure["name"] for figure in json.loads(json_file.read_text())["figures"]]
    for agent in AGENTS:
        assert f"{agent}, return at 3,000 environment steps, 2 seeds" in names
    capsys.readouterr()
    assert cli.main([*typed, "--episodes", "0"]) == 1
    assert "--episodes must be at least 1, not 0" in capsys.readouterr().err


def test_a_training_ends_when_its_time_is_up(model: Path, tmp_path: Path) -> None:
    typed = f"""bench agents --model {model} --env-steps 3000 --episodes 1 --seeds 0
        --minutes 0 --agents pixels-sac --folder {tmp_path}""".split()
    assert cli.main(typed) == 0
    [curve] = read_curves(tmp_path)["pixels-sac"].values()
    assert [evaluation.env_steps for evaluation in curve] == [0, 100]


def test_the_state_is_that_of_the_model_s_task(
    model: Path, tiny_config: Callable[..., CoReConfig]
) -> None:
    env = _environment(CoReWorldModel.from_pretrained(model), "state-sac", "val")
    assert isinstance(env.envs[0].unwrapped, PhysicsEnv)  # type: ignore[attr-defined]
    assert env.observation_space.shape == (5,)
    with pytest.raises(ValueError, match="leave the agents that see it out of --agents"):
        _environment(CoReWorldModel(tiny_config()), "state-sac", "val")


def test_the_state_without_wrappers() -> None:
    wrappers = (WrapperConfig("DistractionWrapper", {"difficulty": "medium"}),)
    wrapped = EnvironmentConfig("Reacher-v5", {}, (-1.0, -1.0), (1.0, 1.0), wrappers=wrappers)
    env = state_environment(wrapped)
    assert env.observation_space.shape == (10,) and env.spec is not None
    env.close()
    with pytest.raises(ValueError, match="No state is known of Reacher-v5, only pixels"):
        state_environment(replace(wrapped, wrappers=()))
    # A wrapper repeats actions, or scales them.
    for other in (replace(wrapped, action_repeat=4), replace(wrapped, action_low=(-2.0, -1.0))):
        with pytest.raises(ValueError, match="is not the state of the same task"):
            state_environment(other)


def test_the_state_has_the_episodes_of_the_pixels() -> None:
    arguments = {"max_episode_steps": 3}
    task = "distracting_control/cartpole-swingup-v0"
    env = state_environment(EnvironmentConfig(task, arguments, (-1.0,), (1.0,), 8))
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[3] for _ in range(3)]
    assert ends == [False, False, True]


def test_the_state_of_robosuite_is_that_of_its_pixels() -> None:
    pytest.importorskip("robosuite")
    door = "distracting_robosuite/Door-v0"
    env = state_environment(EnvironmentConfig(door, {"robot": "Jaco"}, (-1.0,), (1.0,)))
    seen = gym.make(door, robot="Jaco", frame_size=24, physics_state=True)
    observation, info = seen.reset(seed=4)
    given = [(env.reset(seed=4)[0], observation, info)]
    env.action_space.seed(0)
    for _ in range(3):
        action = env.action_space.sample()
        state, reward, *_ = env.step(action)
        observation, same, *_, info = seen.step(action)
        assert reward == same
        given.append((state, observation, info))
    for state, observation, info in given:
        expected = [observation["proprioception"], info["physics_quantities"]]
        np.testing.assert_array_equal(state, np.concatenate(expected).astype(np.float32))
    check_env(env, skip_render_check=True)
    seen.close()


def test_another_task_of_the_same_body(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = CoReWorldModel.from_pretrained(model)
    agents: tuple[AgentName, ...] = ("latents-sac", "state-sac")
    for name in agents:
        env = _environment(loaded, name, "train", "cartpole-balance_sparse")
        env.reset()
        # Upright from the start.
        assert env.step(np.zeros((1, 1)))[1][0] > 20
    typed = ["bench", "agents", "--model", str(model), "--task"]
    assert cli.main([*typed, "cartpole-swingdown"]) == 1
    assert "did you mean cartpole-swingup" in capsys.readouterr().err
    assert cli.main([*typed, "walker-run", "--agents", "latents-sac"]) == 1
    assert "action" in capsys.readouterr().err


def test_returns_are_compared_at_equal_steps_and_at_equal_time() -> None:
    def curve(*points: tuple[int, float, float]) -> Curve:
        return [Evaluation(*point) for point in points]

    curves: dict[AgentName, dict[int, Curve]] = {
        "latents-sac": {
            0: curve((0, 0, 1), (100, 10, 20), (200, 20, 40)),
            1: curve((0, 0, 1), (100, 40, 30), (200, 80, 60)),
        },
        "pixels-sac": {3: curve((0, 0, 2), (50, 45, 4), (100, 90, 10))},
    }
    found = [(figure.name, figure.value) for figure in figures(curves)]
    # Between two evaluations on the line that joins them, after the last one as there.
    expected = [
        ("latents-sac, return at 100 environment steps, 2 seeds", 25),
        ("latents-sac, its standard error", 5),
        ("pixels-sac, return at 100 environment steps, 1 seed", 10),
        ("latents-sac, return after 50 s, 2 seeds", (40 + 37.5) / 2),
        ("latents-sac, its standard error", 1.25),
        ("pixels-sac, return after 50 s, 1 seed", 4 + 6 / 9),
        ("latents-sac, training", 50),
        ("pixels-sac, training", 90),
    ]
    for (name, value), (expected_name, expected_value) in zip(found, expected, strict=True):
        assert name == expected_name and value == pytest.approx(expected_value)


@pytest.mark.parametrize("task", ["cartpole-swingup", "reacher-easy"])
def test_the_state_is_dm_controls_and_its_episodes_are_whole(task: str) -> None:
    env = PhysicsEnv(task, action_repeat=300)
    check_env(env, skip_render_check=True)
    first, _ = env.reset(seed=3)
    truncated, steps = False, 0
    while not truncated:
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        assert env.observation_space.contains(observation)
        assert 0 <= reward <= 300 and not terminated
    assert steps == 4
    np.testing.assert_array_equal(env.reset(seed=3)[0], first)
