"""SB3's SAC on latents against the same on pixels: return at equal steps and at equal time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import gymnasium as gym
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from core_repr import zoo
from core_repr.benchmarks.report import Figure
from core_repr.evaluation import make_environment
from core_repr.world_model import CoReWorldModel
from core_repr.world_model.storage import write_atomically
from core_repr.wrappers.vec_env_wrapper import CoReVecEnvWrapper

Kind = Literal["latents", "pixels"]
KINDS: tuple[Kind, ...] = ("latents", "pixels")
STACKED = 3
VALIDATION_SEED = 10_000


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


def compare(
    model: str,
    env_steps: int,
    evaluations: int,
    episodes: int,
    seeds: Sequence[int],
    kinds: Sequence[Kind],
    seconds: float,
    folder: Path,
    progress: Callable[[int], object] = lambda env_steps: None,
) -> list[Figure]:
    """Trains SAC with SB3's settings, an ``MlpPolicy`` on latents and a ``CnnPolicy`` on pixels.

    Both train in the environment that the model was trained in, the pixels with three frames
    stacked. Each training writes ``<kind>-seed-<seed>.json``; those that a folder has already are
    not repeated, so that several processes can share the work.

    Args:
        model: A zoo name, a folder or a Hub repository.
        env_steps: Simulator steps of each training.
        evaluations: How often each is evaluated.
        episodes: Episodes of an evaluation.
        seeds: Of the trainings.
        kinds: Which of both to train.
        seconds: A training ends after so many, if it has not taken all its steps by then.
        folder: Where the files go.
        progress: Called with the simulator steps that went by.

    Returns:
        Mean returns over the seeds that are finished of both, at equal steps and at equal time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    world_model = zoo.load(model)
    for seed in seeds:
        for kind in kinds:
            path = folder / f"{kind}-seed-{seed}.json"
            if path.exists():
                progress(env_steps)
                continue
            curve = _train(
                world_model, kind, env_steps, evaluations, episodes, seed, seconds, progress
            )
            content = json.dumps([asdict(evaluation) for evaluation in curve], indent=2) + "\n"
            write_atomically(path, content.encode())
    curves = {kind: _curves(folder, kind, seeds) for kind in KINDS}
    shared = sorted(set(curves["latents"]) & set(curves["pixels"]))
    if not shared:
        return [
            Figure(
                f"{kind}, seed {seed}: return after {curve[-1].env_steps:,} steps",
                curve[-1].mean_return,
            )
            for kind in KINDS
            for seed, curve in curves[kind].items()
        ]
    return _figures([(curves["latents"][seed], curves["pixels"][seed]) for seed in shared])


def _figures(pairs: Sequence[tuple[list[Evaluation], list[Evaluation]]]) -> list[Figure]:
    """Compares pairs of curves on latents and on pixels."""
    # Equal steps: the last ones that all have. Equal time: when the latents were through.
    steps = min(curve[-1].env_steps for pair in pairs for curve in pair)
    at_steps = [[_last(curve, env_steps=steps) for curve in pair] for pair in pairs]
    at_time = [
        [_last(curve, seconds=latents[-1].seconds) for curve in (latents, pixels)]
        for latents, pixels in pairs
    ]
    figures = [Figure("seeds", len(pairs))]
    for name, rows in (
        (f"at {steps:,} environment steps", at_steps),
        ("at equal time", at_time),
    ):
        latents, pixels = (mean(column) for column in zip(*rows, strict=True))
        figures += [
            Figure(f"latents, return {name}", latents),
            Figure(f"pixels, return {name}", pixels),
            Figure(f"latents by pixels, {name}", latents / pixels if pixels else float("inf")),
        ]
    for index, kind in enumerate(KINDS):
        seconds = mean(pair[index][-1].seconds for pair in pairs)
        figures.append(Figure(f"{kind}, training", seconds, "s"))
    return figures


def _last(
    curve: Sequence[Evaluation], env_steps: float = float("inf"), seconds: float = float("inf")
) -> float:
    """Returns the last return up to some steps and seconds; of an untrained agent, if need be."""
    reached = [e for e in curve if e.env_steps <= env_steps and e.seconds <= seconds]
    return reached[-1].mean_return


def _curves(folder: Path, kind: Kind, seeds: Sequence[int]) -> dict[int, list[Evaluation]]:
    paths = {seed: folder / f"{kind}-seed-{seed}.json" for seed in seeds}
    return {
        seed: [Evaluation(**fields) for fields in json.loads(path.read_text())]
        for seed, path in paths.items()
        if path.exists()
    }


def _train(
    model: CoReWorldModel,
    kind: Kind,
    env_steps: int,
    evaluations: int,
    episodes: int,
    seed: int,
    seconds: float,
    progress: Callable[[int], object],
) -> list[Evaluation]:
    environment = model.config.environment
    assert environment is not None
    repeat = environment.action_repeat
    agent_steps = env_steps // repeat
    training, validation = (_environment(model, kind, split) for split in ("train", "val"))
    # A frame is stored six times, for it is in three stacks: no room for more than there will be.
    agent = SAC(
        "MlpPolicy" if kind == "latents" else "CnnPolicy",
        training,
        buffer_size=max(agent_steps, 1),
        seed=seed,
        device=model.device,
    )
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


def _environment(model: CoReWorldModel, kind: Kind, split: str) -> VecEnv:
    environment = model.config.environment
    assert environment is not None

    def make() -> gym.Env[Any, Any]:
        return make_environment(environment, split=split)

    pixels = make_vec_env(make, 1)
    return CoReVecEnvWrapper(pixels, model) if kind == "latents" else VecFrameStack(pixels, STACKED)


def _evaluate(agent: SAC, env: VecEnv, episodes: int) -> float:
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
