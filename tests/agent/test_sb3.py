"""What Stable-Baselines3's users do with an agent."""

from __future__ import annotations

import csv
import functools
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from core_repr.agent import CoReSAC, collecting
from core_repr.agent.policy import CoRePolicy
from core_repr.config import CoReConfig

MakeEnv = Callable[..., gym.Env[Any, Any]]
MakeAgent = Callable[..., CoReSAC]


def vector(make_pixels: MakeEnv, *lengths: int) -> DummyVecEnv:
    return DummyVecEnv([lambda n=n: make_pixels(length=n) for n in lengths])


def test_checkpoint_callback(make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent(make_pixels())
    callback = CheckpointCallback(20, str(tmp_path), save_replay_buffer=True)
    agent.learn(40, callback=callback)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "rl_model_20_steps",
        "rl_model_40_steps",
        "rl_model_replay_buffer_20_steps",
        "rl_model_replay_buffer_40_steps",
    ]
    # By SB3's own paths, which end as if they were files.
    loaded = CoReSAC.load(tmp_path / "rl_model_40_steps.zip", make_pixels(), device="cpu")
    loaded.load_replay_buffer(tmp_path / "rl_model_replay_buffer_40_steps.pkl")
    assert loaded.num_timesteps == 40 and len(loaded.replay_buffer) == 40
    loaded.learn(8, reset_num_timesteps=False)
    assert loaded.updates == agent.updates + 4


def test_eval_callback_keeps_the_best_model_and_stops(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(make_pixels())
    callback = EvalCallback(
        Monitor(make_pixels()),
        callback_on_new_best=StopTrainingOnRewardThreshold(-1e9),
        eval_freq=10,
        n_eval_episodes=2,
        best_model_save_path=str(tmp_path),
        verbose=0,
    )
    agent.learn(80, callback=callback)
    assert agent.num_timesteps == 10
    best = CoReSAC.load(tmp_path / "best_model", make_pixels(), device="cpu")
    mean, _ = evaluate_policy(best, Monitor(make_pixels()), 2)
    assert np.isfinite(mean)


# Saving and loading as SB3 has it


def test_a_policy_is_saved_to_a_file_without_a_pickle(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    policy = make_agent(make_pixels()).policy
    for _ in range(2):
        policy.save(tmp_path / "policy.pth")
    with zipfile.ZipFile(tmp_path / "policy.pth") as archive:
        assert sorted(archive.namelist()) == [
            "agent.safetensors",
            "config.json",
            "model.safetensors",
        ]
    assert [path.name for path in tmp_path.iterdir()] == ["policy.pth"]
    loaded = type(policy).load(str(tmp_path / "policy.pth"), device="cpu")
    frame = np.full((16, 16, 3), 100, np.uint8)
    actions = [p.predict(frame, deterministic=True)[0] for p in (policy, loaded)]
    assert np.array_equal(*actions) and loaded.config == policy.config
    assert np.array_equal(loaded.parameters_to_vector(), policy.parameters_to_vector())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a zip", "is not a whole file of CoRePolicy.save"),
        ({"data": b"", "policy.pth": b""}, "holds data, policy.pth instead of config.json"),
        ({}, "holds nothing instead of"),
        (
            {"config.json": b"{}", "model.safetensors": b"", "agent.safetensors": b""},
            r"policy.pth/config.json: The config lacks",
        ),
        ({"../config.json": b"", "model.safetensors": b"", "agent.safetensors": b""}, "instead of"),
    ],
)
def test_a_file_that_is_not_a_policy_is_refused(
    make_agent: MakeAgent, tmp_path: Path, content: Any, words: str
) -> None:
    path = tmp_path / "policy.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, value in content.items():
                archive.writestr(name, value)
    with pytest.raises(ValueError, match=words) as seen:
        CoRePolicy.load(path)
    assert str(path) in str(seen.value) and "\n" not in str(seen.value)


def test_a_cut_or_compressed_policy_is_refused(make_agent: MakeAgent, tmp_path: Path) -> None:
    path, other = tmp_path / "policy", tmp_path / "other"
    make_agent().policy.save(path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as copy:
        for name in archive.namelist():
            copy.writestr(name, archive.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed or too large"):
        CoRePolicy.load(other)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole file"):
        CoRePolicy.load(path)
    for kind, place in ((FileNotFoundError, tmp_path / "none"), (TypeError, io.BytesIO())):
        with pytest.raises(kind):
            CoRePolicy.load(place)  # type: ignore[arg-type]
    with pytest.raises(FileExistsError, match="is a folder"):
        make_agent().policy.save(tmp_path)


def test_parameters_as_a_vector(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent, other = make_agent(), make_agent(seed=1)
    places = [parameter.data_ptr() for parameter in other.policy.parameters()]
    other.policy.load_from_vector(agent.policy.parameters_to_vector())
    for name, tensor in agent.policy.state_dict().items():
        assert torch.equal(tensor, other.policy.state_dict()[name])
    # The optimisers and the average know them by their places.
    assert places == [parameter.data_ptr() for parameter in other.policy.parameters()]
    other.save(tmp_path / "agent")
    with pytest.raises(ValueError, match=r"parameters, but the vector has the shape \(3,\)"):
        other.policy.load_from_vector(np.zeros(3, np.float32))


def test_parameters_are_set_from_a_dictionary_or_a_save(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(make_pixels()).learn(40)
    agent.save(tmp_path / "agent.zip")
    for source in (agent.get_parameters(), tmp_path / "agent.zip", str(tmp_path / "agent")):
        other = make_agent(make_pixels(), seed=1)
        other.set_parameters(source)
        for name, tensor in agent.policy.state_dict().items():
            assert torch.equal(tensor, other.policy.state_dict()[name]), name
        for name in ("model", "critic"):
            state, expected = (
                getattr(a.optimizers, name).state_dict()["state"] for a in (other, agent)
            )
            assert torch.equal(state[0]["exp_avg"], expected[0]["exp_avg"])
        with other.averaged_weights():
            assert torch.equal(
                other.policy.state_dict()["actor_critic.log_entropy_weight"],
                agent.policy.state_dict()["actor_critic.log_entropy_weight"],
            )
    with pytest.raises(ValueError, match="does not belong to the config"):
        make_agent(agent={"actor_layers": (20,)}).set_parameters(tmp_path / "agent")
    with pytest.raises(TypeError, match="Expected a path"):
        other.set_parameters(io.BytesIO())


def test_options_of_load(
    make_agent: MakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_agent().save(tmp_path / "agent")
    load = functools.partial(CoReSAC.load, tmp_path / "agent", device="cpu")
    load(custom_objects=None, print_system_info=False, force_reset=True)
    load(custom_objects={}, print_system_info=True, force_reset=None)  # type: ignore[arg-type]
    assert "Stable-Baselines3" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"custom_objects for lr_schedule.*nothing is pickled"):
        load(custom_objects={"lr_schedule": None})
    with pytest.raises(ValueError, match="leave out force_reset=False"):
        load(force_reset=False)


def test_open_files_and_sb3s_own_files_are_refused(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent()
    for act in (
        agent.save,
        agent.policy.save,
        agent.save_replay_buffer,
        agent.load_replay_buffer,
        CoReSAC.load,
    ):
        with pytest.raises(TypeError, match="Expected a path, not"):
            act(io.BytesIO())
    for name in ("agent.zip", "replay.pkl"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"agent.zip is a file, such as Stable-Baselines3 writes"):
        CoReSAC.load(tmp_path / "agent.zip")
    with pytest.raises(ValueError, match=r"replay.pkl is a file, such as Stable-Baselines3 writes"):
        agent.load_replay_buffer(tmp_path / "replay.pkl")
    with pytest.raises(FileNotFoundError, match="no model folder"):
        CoReSAC.load("user/repo")


def test_vec_monitor_and_evaluate_policy(make_pixels: MakeEnv, make_agent: MakeAgent) -> None:
    env = VecMonitor(vector(make_pixels, 5, 8))
    agent = make_agent(env)
    agent.learn(60)
    assert {info["l"] for info in agent.ep_info_buffer or ()} == {5, 8}
    _, lengths = evaluate_policy(agent, env, 4, return_episode_rewards=True)
    assert set(lengths) == {5, 8}


def test_tensorboard(make_pixels: MakeEnv, tiny_config: Callable[..., CoReConfig], tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    agent = CoReSAC(
        "CoRePolicy", make_pixels(), tiny_config(), tensorboard_log=str(tmp_path), device="cpu"
    )
    for _ in range(2):
        agent.learn(32, log_interval=2, reset_num_timesteps=False)
    agent.logger.close()
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("CoReSAC")
    tags = set()
    for path in folder.iterdir():
        events = EventAccumulator(str(path))
        events.Reload()
        tags |= set(events.Tags()["scalars"])
    assert {"train/contrastive_loss", "rollout/ep_rew_mean", "time/env_steps"} <= tags


def test_a_progress_bar(
    make_pixels: MakeEnv, make_agent: MakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = make_agent(make_pixels())
    agent.learn(24, progress_bar=True)
    assert "24/24" in capsys.readouterr().out


class LearningRates(BaseCallback):
    """Notes each optimiser's learning rates after every episode."""

    def _on_training_start(self) -> None:
        self.seen: list[list[float]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        assert isinstance(self.model, CoReSAC)
        optimizers = (self.model.optimizers.model, self.model.optimizers.actor)
        self.seen.append([group["lr"] for each in optimizers for group in each.param_groups])


def scheduled(
    make_pixels: MakeEnv, config: CoReConfig, schedule: Callable[[float], float] | None
) -> CoReSAC:
    return CoReSAC(
        "CoRePolicy", make_pixels(), config, seed=0, device="cpu", learning_rate_schedule=schedule
    )


def test_a_schedule_scales_every_learning_rate(
    make_pixels: MakeEnv, tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    config = tiny_config(agent={"model_learning_rate": 4e-4, "actor_learning_rate": 2e-3})
    agent = scheduled(make_pixels, config, LinearSchedule(1.0, 0.5, 1.0))
    agent.set_logger(configure(str(tmp_path), ["csv"]))
    rates = LearningRates()
    agent.learn(80, callback=rates, log_interval=1)
    agent.logger.close()
    settings = config.agent
    full = np.array(
        [
            settings.encoder_learning_rate,
            settings.model_learning_rate,
            settings.temperature_learning_rate,
            settings.actor_learning_rate,
        ]
    )
    # The third episode of 8 steps is the first that is learned from: 1 − 0.5 · 24 / 80.
    np.testing.assert_allclose(rates.seen[3], 0.85 * full)
    np.testing.assert_allclose(rates.seen[9], 0.55 * full)
    with open(tmp_path / "progress.csv") as file:
        factors = [row["train/learning_rate_factor"] for row in csv.DictReader(file)]
    assert float(factors[3]) == pytest.approx(0.85)


def test_a_schedule_ends_at_the_end(
    make_pixels: MakeEnv, tiny_config: Callable[..., CoReConfig]
) -> None:
    seen: list[float] = []
    agent = CoReSAC(
        "CoRePolicy",
        make_pixels(length=8),
        tiny_config(),
        learning_rate_schedule=lambda remaining: seen.append(remaining) or remaining,  # type: ignore[func-returns-value]
        device="cpu",
    )
    # Past its last step, to the end of the episode.
    agent.learn(50)
    assert agent.num_timesteps == 56 and min(seen) == 0


def test_a_schedule_is_passed_again_on_load(
    make_pixels: MakeEnv,
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def half(_: float) -> float:
        return 0.5

    agent = scheduled(make_pixels, tiny_config(), half)
    agent.learn(40)
    agent.save(tmp_path / "agent")
    agent.save_replay_buffer(tmp_path / "replay")
    loaded = CoReSAC.load(
        tmp_path / "agent", make_pixels(), device="cpu", learning_rate_schedule=half
    )
    loaded.load_replay_buffer(tmp_path / "replay")
    assert not caplog.records
    rates = LearningRates()
    loaded.learn(16, callback=rates, reset_num_timesteps=False)
    assert rates.seen[1][-1] == 0.5 * tiny_config().agent.actor_learning_rate
    CoReSAC.load(tmp_path / "agent", make_pixels(), device="cpu")
    assert "learning_rate_schedule" in caplog.text


def test_parameters_can_be_taken_and_set(make_agent: MakeAgent) -> None:
    agent, other = make_agent(seed=0), make_agent(seed=1)
    agent.learn(24)
    other.set_parameters(agent.get_parameters())
    for name, tensor in agent.policy.state_dict().items():
        assert torch.equal(tensor, other.policy.state_dict()[name])
    steps = other.optimizers.model.state_dict()["state"][0]["step"]
    assert steps == agent.updates > 0


# Another environment


def test_set_env_records_where_the_agent_learns_now(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(make_pixels(length=8))
    agent.set_env(make_pixels(length=5, terminates=True))
    assert agent.config.environment is not None
    assert agent.config.environment.arguments == {"length": 5, "terminates": True}
    agent.save(tmp_path / "agent")
    loaded = CoReSAC.load(tmp_path / "agent", device="cpu")
    assert loaded.config == agent.config == loaded.world_model.config


class Wrapped(gym.Wrapper[Any, Any, Any, Any]):
    """The pixels with another action space or action repeat."""

    def __init__(self, env: gym.Env[Any, Any], **changes: Any) -> None:
        super().__init__(env)
        for name, value in changes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_space": gym.spaces.Box(-2, 3, (3,))}, r"action_low \(-2\.0, -2\.0\).*has \(-2"),
        ({"action_space": gym.spaces.Box(-2, 1, (2,))}, r"action_high \(3\.0, 3\.0\).*\(1\.0, 1"),
        ({"action_repeat": 2}, r"action_repeat 4.*has 8"),
    ],
)
def test_an_environment_that_the_config_is_not_for_is_refused(
    make_pixels: MakeEnv,
    make_agent: MakeAgent,
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    agent = make_agent(make_pixels())
    with pytest.raises(ValueError, match=message):
        agent.set_env(Wrapped(make_pixels(), **changes))
    agent.save(tmp_path / "agent")
    with pytest.raises(ValueError, match=message):
        CoReSAC.load(tmp_path / "agent", Wrapped(make_pixels(), **changes), device="cpu")


def test_an_agent_that_was_loaded_without_environment_takes_any_number_of_them(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    make_agent(make_pixels()).save(tmp_path / "agent")
    loaded = CoReSAC.load(tmp_path / "agent", device="cpu")
    loaded.set_env(vector(make_pixels, 4, 6, 8))
    loaded.learn(60)
    assert loaded.updates > 0


def test_actions_of_the_environment_that_comes_later(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    class Column(gym.ActionWrapper[Any, Any, Any]):
        action_space = gym.spaces.Box(-2, 3, (1, 2), np.float64)

        def action(self, action: Any) -> Any:
            assert action.shape == (1, 2)
            return action[0]

    make_agent(Column(make_pixels())).save(tmp_path / "agent")
    loaded = CoReSAC.load(tmp_path / "agent", device="cpu")
    loaded.set_env(Column(make_pixels()))
    assert loaded.learn(40).updates > 0
    assert loaded.predict(make_pixels().reset()[0])[0].shape == (1, 2)


def test_another_number_of_environments_is_refused(
    make_pixels: MakeEnv, make_agent: MakeAgent
) -> None:
    with pytest.raises(ValueError, match=r"1 environments at once, but got 2"):
        make_agent(make_pixels()).set_env(vector(make_pixels, 4, 6))


# Input that cannot be used


class Faulty(gym.Wrapper[Any, Any, Any, Any]):
    """Gives something else at one step."""

    def __init__(self, env: gym.Env[Any, Any], at: int, **fault: Any) -> None:
        super().__init__(env)
        self.at, self.fault, self.steps = at, fault, 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        observation, reward, *rest = self.env.step(action)
        if self.steps == self.at:
            observation = self.fault.get("observation", observation)
            reward = self.fault.get("reward", reward)
        return observation, reward, *rest


FAULTS = {
    "a reward that is no number": ({"reward": np.nan}, "reward nan"),
    "an infinite reward": ({"reward": -np.inf}, "reward -inf"),
    "another shape": (
        {"observation": np.zeros((20, 20, 3), np.uint8)},
        r"shape \(20, 20, 3\) instead of \(16, 16, 3\)",
    ),
    "a shape that numpy would spread": (
        {"observation": np.zeros((1, 16, 3), np.uint8)},
        r"shape \(1, 16, 3\) instead of",
    ),
    "another type": ({"observation": np.zeros((16, 16, 3))}, "type float64 instead of uint8"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_step_that_cannot_be_used_is_refused_with_its_number(
    make_pixels: MakeEnv, make_agent: MakeAgent, name: str
) -> None:
    fault, message = FAULTS[name]
    agent = make_agent(Faulty(make_pixels(), 21, **fault))
    where = "At agent step 21: Step 5 of episode 3 of .*"
    with pytest.raises(ValueError, match=where + message) as refusal:
        agent.learn(40)
    assert "\n" not in str(refusal.value)
    # What was collected before is there, and learning can continue.
    assert len(agent.replay_buffer) == 16


def test_episodes_that_do_not_end_are_told_of(
    make_pixels: MakeEnv, make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MANY_STEPS", 8)
    agent = make_agent(make_pixels(length=8))
    with pytest.warns(UserWarning, match=r"within 8 agent steps.*time limit"):
        agent.learn(8)


@pytest.mark.parametrize("reward", [np.nan, 1e300])
def test_rewards_of_a_vector_of_environments_are_checked_too(
    make_pixels: MakeEnv, make_agent: MakeAgent, reward: float
) -> None:
    env = DummyVecEnv([make_pixels, lambda: Faulty(make_pixels(), 3, reward=reward)])
    with pytest.raises(ValueError, match=r"agent step 6: Environment 1 gave the reward (nan|inf)"):
        make_agent(env).learn(40)
