"""Stable-Baselines3's algorithms on a model's latents, or on the simulator's true state.

python examples/compare_algorithms.py --tasks cartpole-swingup --algorithms SAC PPO
python examples/compare_algorithms.py --tasks walker-walk --observations state
python examples/compare_algorithms.py --tasks walker-stand --model walker-walk-medium-v1

Appends a row to a CSV file for each evaluation.
"""

import csv
import functools
import itertools
import time
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.wrappers import TransformObservation
from sb3_contrib import TQC, CrossQ, RecurrentPPO
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from core_repr import CoReWrapper
from core_repr.evaluation import evaluate

MODELS = {
    "ball_in_cup-catch": "ball_in_cup-catch-medium-v1",
    "cartpole-swingup": "cartpole-swingup-medium-v0",
    "cheetah-run": "cheetah-run-medium-v1",
    "finger-spin": "finger-spin-medium-v1",
    "reacher-easy": "reacher-easy-medium-v1",
    "walker-walk": "walker-walk-medium-v1",
}

OFF_POLICY: dict[str, Any] = {"batch_size": 256, "learning_starts": 1_000}
ON_POLICY: dict[str, Any] = {
    **{"learning_rate": 3e-4, "gamma": 0.99, "gae_lambda": 0.95, "clip_range": 0.2},
    **{"n_steps": 1024, "batch_size": 64, "n_epochs": 10, "ent_coef": 0.0},
}
SETTINGS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "SAC": (SAC, "MlpPolicy", OFF_POLICY),
    "TQC": (TQC, "MlpPolicy", OFF_POLICY),
    "CrossQ": (CrossQ, "MlpPolicy", OFF_POLICY),
    "TD3": (TD3, "MlpPolicy", OFF_POLICY),
    "PPO": (PPO, "MlpPolicy", ON_POLICY),
    "RecurrentPPO": (RecurrentPPO, "MlpLstmPolicy", {**ON_POLICY, "batch_size": 256}),
}


COLUMNS = (
    *("task", "algorithm", "seed", "observations", "env_steps"),
    *("mean", "standard_error", "episodes", "seconds"),
)


class TrueState(gym.ObservationWrapper[Any, Any, Any]):
    """What the suite itself lets an agent observe of its simulator, in a row."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        env.reset(seed=0)
        size = len(self.observation(None))
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def observation(self, observation: Any) -> Any:
        """Replaces the frame."""
        suite: Any = self.env.unwrapped
        seen = suite._task.get_observation(suite._physics)
        return np.concatenate([np.ravel(part) for part in seen.values()]).astype(np.float32)


class Table:
    """A CSV file with a row for each evaluation, which begins with what was trained."""

    def __init__(self, path: Path, *trained: Any) -> None:
        self.path, self.trained = path, trained

    def append(self, *numbers: Any) -> None:
        """Appends a row."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            table = csv.writer(file)
            if new:
                table.writerow(COLUMNS)
            table.writerow([*self.trained, *numbers])


class Evaluations(BaseCallback):
    """Evaluates at intervals; the time that it takes does not count."""

    def __init__(
        self, env: gym.Env[Any, Any], every: int, episodes: int, repeat: int, table: Table
    ) -> None:
        super().__init__()
        self.env, self.every, self.episodes = env, max(every, 1), episodes
        self.repeat, self.table = repeat, table
        self.started = time.perf_counter()

    def _on_step(self) -> bool:
        if self.n_calls % self.every == 0:
            before = time.perf_counter()
            result = evaluate(self.model, self.env, self.episodes)
            numbers = f"{result.mean:.1f}", f"{result.standard_error:.1f}", self.episodes
            seconds = f"{before - self.started:.0f}"
            self.table.append(self.n_calls * self.repeat, *numbers, seconds)
            self.started += time.perf_counter() - before
        return True


def make_env(task: str, seen: str, difficulty: str, split: str) -> gym.Env[Any, Any]:
    """Makes an environment of latents of a model, or of the true state."""
    arguments: dict[str, Any] = {"difficulty": difficulty, "dynamic": True, "split": split}
    if seen == "state":
        arguments = {"frame_size": 8}
    env = gym.make(f"distracting_control/{task}-v0", **arguments)
    return TrueState(env) if seen == "state" else CoReWrapper(env, seen)


def main(
    tasks: tuple[str, ...] = ("cartpole-swingup",),
    algorithms: tuple[str, ...] = ("SAC",),
    observations: Literal["latents", "state"] = "latents",
    model: str | None = None,
    difficulty: Literal["easy", "medium", "hard"] = "medium",
    env_steps: int = 100_000,
    evaluations: int = 5,
    episodes: int = 10,
    seeds: tuple[int, ...] = (0,),
    normalise: bool = False,
    output: Path = Path("algorithms.csv"),
) -> None:
    """Trains each algorithm on each task, and evaluates it on backgrounds that no training saw."""
    torch.set_num_threads(1)
    for task, name, seed in itertools.product(tasks, algorithms, seeds):
        seen = (model or MODELS[task]) if observations == "latents" else "state"
        make = functools.partial(make_env, task, seen, difficulty)
        algorithm, policy, settings = SETTINGS[name]
        validation = make("val")
        repeat = validation.get_wrapper_attr("action_repeat")
        training: Any = VecMonitor(DummyVecEnv([functools.partial(make, "train")]))
        if normalise:
            training = VecNormalize(training, norm_reward=False)
            validation = TransformObservation(validation, training.normalize_obs, None)
        if name == "TD3":
            size = training.action_space.shape
            settings = {
                **settings,
                "action_noise": NormalActionNoise(np.zeros(size), np.full(size, 0.1)),
            }
        steps = env_steps // repeat
        table = Table(output, task, name, seed, seen + ", normalised" * normalise)
        evaluated = Evaluations(validation, steps // evaluations, episodes, repeat, table)
        agent = algorithm(policy, training, seed=seed, device="cpu", **settings)
        agent.learn(steps, evaluated)
        training.close()
        validation.close()


if __name__ == "__main__":
    tyro.cli(main)
