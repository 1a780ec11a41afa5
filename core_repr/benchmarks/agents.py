"""SB3's agents on latents, on pixels and on the physics' state: return by steps and by time."""

from __future__ import annotations

import csv
import io
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal, get_args

import numpy as np
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from core_repr import zoo
from core_repr.benchmarks.agent_names import AgentName
from core_repr.benchmarks.physics import state_environment
from core_repr.benchmarks.report import Figure
from core_repr.config import EnvironmentConfig
from core_repr.environments import make_environment, split_arguments
from core_repr.envs import task_names
from core_repr.envs.checks import require_choice
from core_repr.files.writing import write_atomically
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers.vec_env_wrapper import CoReVecEnvWrapper

AGENTS: tuple[AgentName, ...] = get_args(AgentName)
STACKED = 3
EXPLORATION = 0.1
FIRST_ENTROPY_WEIGHT = 0.1
VALIDATION_SEED = 10_000

OFF_POLICY: dict[str, Any] = {
    "learning_rate": 1e-3,
    "batch_size": 128,
    "tau": 0.02,
    "learning_starts": 250,
}
"""Rates as in CoRe's own agent: what is observed is ready, so values can follow faster."""

PIXELS_LEARNING_RATE = 3e-4
"""SB3's, for convolutions."""

ON_POLICY: dict[str, Any] = {"n_steps": 512, "batch_size": 64, "gamma": 0.99}
"""Shorter roll-outs than SB3's 2,048 steps, of which few tasks here have many; rewards are
normalised, as in RL Baselines3 Zoo."""


@dataclass(frozen=True)
class Evaluation:
    """How good an agent was at some time of its training.

    Attributes:
        env_steps: Simulator steps of the training.
        seconds: Seconds of the training, without evaluations.
        mean_return: Mean return on validation backgrounds.
    """

    env_steps: int
    seconds: float
    mean_return: float


Curve = list[Evaluation]


def compare(
    model: str,
    agents: Sequence[AgentName],
    env_steps: int,
    evaluations: int,
    episodes: int,
    seeds: Sequence[int],
    seconds: float,
    folder: Path,
    progress: Callable[[int], object] = lambda env_steps: None,
    task: str | None = None,
) -> list[Figure]:
    """Trains agents from nothing, with the same few settings for all tasks.

    All train in the environment that the model was trained in: on the model's frozen latents with
    an ``MlpPolicy``, on three stacked frames with a ``CnnPolicy``, or on the state that no camera
    has seen. TD3, which explores with the noise that one gives it, gets normal noise with a
    standard deviation of 0.1. The entropy weights of SAC and TQC start at 0.1, as SAC-AE and CURL
    have it, not at SB3's 1: from there, entropy outweighs the suite's rewards for thousands of
    updates.

    Each training writes ``<agent>-seed-<seed>.csv``; those that a folder has already are not
    repeated, so that several processes can share the work.

    Args:
        model: A zoo name, a folder or a Hub repository.
        agents: Which agents to train.
        env_steps: Simulator steps of each training.
        evaluations: How often each is evaluated.
        episodes: Episodes of an evaluation.
        seeds: Of the trainings.
        seconds: A training ends after so many, if it has not taken all its steps by then.
        folder: Where the files go.
        progress: Called with the simulator steps that went by.
        task: Another task of the suite than the model's, with the same body.

    Returns:
        Of each agent that has a finished training in the folder, mean and standard error over its
        seeds, at equal steps and at equal time.

    Raises:
        ModuleNotFoundError: If TQC, CrossQ or RecurrentPPO is asked for without sb3-contrib.
        ValueError: If the state is asked for where nothing but pixels is known.
    """
    world_model = zoo.load(model)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for agent in agents:
            path = folder / f"{agent}-seed-{seed}.csv"
            if path.exists():
                progress(env_steps)
                continue
            curve = _train(
                world_model, agent, env_steps, evaluations, episodes, seed, seconds, progress, task
            )
            write_atomically(path, _to_csv(curve).encode())
    return figures(read_curves(folder))


def read_curves(folder: Path) -> dict[AgentName, dict[int, Curve]]:
    """Returns the trainings that a folder of :func:`compare` holds: agent → seed → curve."""
    curves: dict[AgentName, dict[int, Curve]] = {}
    for agent in AGENTS:
        paths = {int(path.stem.split("-")[-1]): path for path in folder.glob(f"{agent}-seed-*.csv")}
        if paths:
            curves[agent] = {seed: _from_csv(paths[seed]) for seed in sorted(paths)}
    return curves


def figures(curves: Mapping[AgentName, Mapping[int, Curve]]) -> list[Figure]:
    """Compares agents at the steps that all have taken, and when the first one was through.

    Between two evaluations, returns are taken from the line that joins them; an agent that was
    through earlier keeps its last one.
    """
    every = [curve for seeds in curves.values() for curve in seeds.values()]
    first = next(iter(curves.values()))
    steps = min(curve[-1].env_steps for curve in every)
    seconds = mean(curve[-1].seconds for curve in first.values())
    found = []
    moments: tuple[tuple[str, Literal["env_steps", "seconds"], float], ...] = (
        (f"at {steps:,} environment steps", "env_steps", steps),
        (f"after {seconds:,.0f} s", "seconds", seconds),
    )
    for when, by, value in moments:
        for agent, seeds in curves.items():
            returns = [evaluation_at(curve, by, value).mean_return for curve in seeds.values()]
            many = f"{len(returns)} seed{'s' * (len(returns) > 1)}"
            found.append(Figure(f"{agent}, return {when}, {many}", mean(returns)))
            if len(returns) > 1:
                error = stdev(returns) / len(returns) ** 0.5
                found.append(Figure(f"{agent}, its standard error", error))
    for agent, seeds in curves.items():
        taken = mean(curve[-1].seconds for curve in seeds.values())
        found.append(Figure(f"{agent}, training", taken, "s"))
    return found


def evaluation_at(curve: Curve, by: Literal["env_steps", "seconds"], value: float) -> Evaluation:
    """Interpolates linearly between the evaluations of a curve.

    Args:
        curve: The evaluations.
        by: What ``value`` is.
        value: Environment steps or seconds.

    Returns:
        The evaluation there; after the curve's last one, that.
    """
    where = [getattr(evaluation, by) for evaluation in curve]
    env_steps, seconds, mean_return = (
        float(np.interp(value, where, column))
        for column in zip(*(astuple(evaluation) for evaluation in curve), strict=True)
    )
    return Evaluation(round(env_steps), seconds, mean_return)


def _to_csv(curve: Iterable[Evaluation]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Evaluation)], lineterminator="\n")
    writer.writeheader()
    for evaluation in curve:
        row = asdict(evaluation)
        writer.writerow({**row, "seconds": round(row["seconds"], 1)})
    return text.getvalue()


def _from_csv(path: Path) -> Curve:
    with open(path, newline="") as file:
        return [
            Evaluation(int(row["env_steps"]), float(row["seconds"]), float(row["mean_return"]))
            for row in csv.DictReader(file)
        ]


def _train(
    model: CoReWorldModel,
    name: AgentName,
    env_steps: int,
    evaluations: int,
    episodes: int,
    seed: int,
    seconds: float,
    progress: Callable[[int], object],
    task: str | None,
) -> Curve:
    environment = model.config.environment
    assert environment is not None
    repeat = environment.action_repeat
    agent_steps = env_steps // repeat
    training, validation = (_environment(model, name, split, task) for split in ("train", "val"))
    agent = _agent(name, training, agent_steps, seed)
    curve = [Evaluation(0, 0.0, _evaluate(agent, validation, episodes))]

    class Watch(BaseCallback):
        """Evaluates the agent from time to time, off the clock."""

        def _on_training_start(self) -> None:
            self.start = time.perf_counter()

        def _on_step(self) -> bool:
            progress(repeat)
            taken = time.perf_counter() - self.start
            over = taken >= seconds or self.num_timesteps == agent_steps
            if over or self.num_timesteps % max(1, agent_steps // evaluations) == 0:
                mean_return = _evaluate(agent, validation, episodes)
                curve.append(Evaluation(self.num_timesteps * repeat, taken, mean_return))
                self.start = time.perf_counter() - taken
            return not over

    agent.learn(agent_steps, callback=Watch())
    training.close()
    validation.close()
    return curve


def _agent(name: AgentName, env: VecEnv, agent_steps: int, seed: int) -> BaseAlgorithm:
    """An untrained agent; on a CPU, where its small networks are fastest."""
    observation, algorithm = name.split("-", 1)
    kind, policy = _algorithm(algorithm)
    if algorithm.endswith("ppo"):
        return kind(policy, env, seed=seed, device="cpu", **ON_POLICY)
    settings = dict(OFF_POLICY)
    if algorithm == "crossq":
        del settings["tau"]  # It has no slow critics.
    if algorithm == "td3":
        actions = env.action_space.shape
        assert actions is not None
        settings["action_noise"] = NormalActionNoise(
            np.zeros(actions), np.full(actions, EXPLORATION)
        )
    else:
        settings["ent_coef"] = f"auto_{FIRST_ENTROPY_WEIGHT}"
    # A stack of frames is stored twice: no room for more than there will be.
    settings |= {"buffer_size": max(agent_steps, 1), "seed": seed}
    if observation == "pixels":
        settings["learning_rate"] = PIXELS_LEARNING_RATE
        return kind("CnnPolicy", env, device="auto", **settings)
    return kind(policy, env, device="cpu", **settings)


def _algorithm(name: str) -> tuple[Callable[..., BaseAlgorithm], str]:
    """The class of an algorithm, and its policy of vectors."""
    own: dict[str, Callable[..., BaseAlgorithm]] = {"sac": SAC, "td3": TD3, "ppo": PPO}
    if name in own:
        return own[name], "MlpPolicy"
    try:
        from sb3_contrib import TQC, CrossQ, RecurrentPPO
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"{name} needs sb3-contrib: pip install sb3-contrib.") from None
    if name == "recurrent-ppo":
        return RecurrentPPO, "MlpLstmPolicy"
    return {"tqc": TQC, "crossq": CrossQ}[name], "MlpPolicy"


def _environment(
    model: CoReWorldModel, name: AgentName, split: Literal["train", "val"], task: str | None = None
) -> VecEnv:
    environment = model.config.environment
    assert environment is not None
    if task is not None:
        environment = _other_task(environment, task)
    if name.startswith("state"):
        venv = make_vec_env(lambda: state_environment(environment), 1)
    else:
        pixels = make_vec_env(
            lambda: make_environment(environment, **split_arguments(environment, split)), 1
        )
        if name.startswith("pixels"):
            return VecFrameStack(pixels, STACKED)
        with warnings.catch_warnings():
            if task is not None:
                warnings.filterwarnings("ignore", "The model was trained in")
            venv = CoReVecEnvWrapper(pixels, model)
    if split == "train" and name.endswith("ppo"):
        return VecNormalize(venv, norm_obs=False, gamma=ON_POLICY["gamma"])
    return venv


def _other_task(environment: EnvironmentConfig, task: str) -> EnvironmentConfig:
    require_choice("task", task, task_names())
    return replace(environment, id=f"distracting_control/{task}-v0")


def _evaluate(agent: BaseAlgorithm, env: VecEnv, episodes: int) -> float:
    """Returns the mean return of the deterministic policy; every time of the same episodes."""
    returns = []
    for episode in range(episodes):
        env.seed(VALIDATION_SEED + episode)
        observation, total, over = env.reset(), 0.0, False
        while not over:
            action, _ = agent.predict(observation, deterministic=True)  # type: ignore[arg-type]
            observation, rewards, dones, _ = env.step(action)
            total, over = total + float(rewards[0]), bool(dones[0])
        returns.append(total)
    return mean(returns)
