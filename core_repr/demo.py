"""The demo: a shipped model, its agent, and an SB3 agent that learns on its latents."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm import TqdmExperimentalWarning, tqdm

from core_repr import zoo
from core_repr.adapters.layers import action_repeat
from core_repr.agent import load_agent
from core_repr.environments import make_environment, split_arguments, written
from core_repr.evaluation import (
    Agent,
    Evaluation,
    RandomAgent,
    evaluate,
    learning_curve,
    record_episode,
)
from core_repr.files.names import PROGRESS_FILE
from core_repr.files.places import user_path
from core_repr.files.strict_json import parse_json
from core_repr.files.writing import write_atomically
from core_repr.wrappers import CoReWrapper

VIDEO_FILE, CURVE_FILE = "agent.mp4", "learning_curve.png"
RESULTS_FILE = "results.json"
RANDOM, OWN_AGENT, ON_LATENTS = "random policy", "CoRe's own agent", "SB3 SAC on latents"

_console = Console()


def demo(
    model: str | Path, folder: str | Path, env_steps: int, episodes: int, seed: int
) -> dict[str, Evaluation]:
    """Shows a model at work and what its latents are good for.

    Evaluates a random policy and the agent that was trained with the model on validation
    backgrounds, trains SB3's SAC with an ``MlpPolicy`` from nothing on the frozen latents, and
    evaluates that too. Writes ``agent.mp4``, ``learning_curve.png``, ``progress.csv`` and
    ``results.json``.

    Args:
        model: A zoo name or a folder that ``save_pretrained`` wrote.
        folder: Where the files go.
        env_steps: Simulator steps to train SB3's SAC for.
        episodes: Episodes of each evaluation.
        seed: Seeds everything that is random.

    Returns:
        The evaluations by the agents' names.
    """
    folder = user_path(folder)
    _refuse_what_is_not_a_demo(folder)
    source = zoo.find(model)
    core_agent = load_agent(source, device="cpu")
    environment = core_agent.environment_config
    if env_steps < environment.action_repeat:
        raise ValueError(
            f"--env-steps must be at least {environment.action_repeat}, not {env_steps}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Whoever finds it knows that the other files are a demo's, also of one that was broken off.
    write_atomically(folder / RESULTS_FILE, b"{}\n")
    _console.print(
        f"[bold]{escape(Path(model).name)}[/] was trained in {escape(written(environment))}."
    )
    validation = make_environment(
        environment, render_mode="rgb_array", **split_arguments(environment, "val", source)
    )
    core_agent.set_env(validation)
    latent_validation = CoReWrapper(validation, core_agent.world_model)
    results = {}
    _console.print("\n[bold]1. Validation backgrounds, which no training has seen[/]")
    random_agent = RandomAgent(validation.action_space, seed)
    results[RANDOM] = _evaluate(RANDOM, random_agent, validation, episodes, seed)
    name = OWN_AGENT
    results[name] = _evaluate(name, core_agent, validation, episodes, seed)
    video = record_episode(core_agent, validation, folder / VIDEO_FILE, seed)

    _console.print(
        f"\n[bold]2. SB3 SAC with an MlpPolicy, from nothing, on the frozen latents[/]: "
        f"{env_steps:,} environment steps"
    )
    training = CoReWrapper(
        make_environment(environment, **split_arguments(environment, "train")),
        core_agent.world_model,
    )
    sb3_agent = train_on_latents(training, latent_validation, folder, env_steps, seed)
    name = ON_LATENTS
    results[name] = _evaluate(name, sb3_agent, latent_validation, episodes, seed)
    training.close()
    latent_validation.close()

    curve = learning_curve({name: folder / PROGRESS_FILE}, folder / CURVE_FILE)
    results_file = folder / RESULTS_FILE
    content = json.dumps({name: result.to_dict() for name, result in results.items()}, indent=2)
    write_atomically(results_file, f"{content}\n".encode())
    _print_results(results)
    _console.print(f"What the agent saw:  {video}", soft_wrap=True, markup=False)
    _console.print(f"Learning curve:      {curve}", soft_wrap=True, markup=False)
    _console.print(f"Every episode:       {results_file}", soft_wrap=True, markup=False)
    return results


def _refuse_what_is_not_a_demo(folder: Path) -> None:
    """Refuses a folder with files of a demo's names that no demo wrote."""
    for name in ("settings.json", "config.json"):
        if (folder / name).exists():
            raise FileExistsError(
                f"{folder} holds a run or a model ({name}), whose curve the demo would replace; "
                "choose another --folder."
            )
    names = (VIDEO_FILE, CURVE_FILE, PROGRESS_FILE, RESULTS_FILE)
    found = [name for name in names if os.path.lexists(folder / name)]
    try:
        results = parse_json((folder / RESULTS_FILE).read_bytes()) if found else {}
        is_demo = isinstance(results, dict) and results.keys() <= {RANDOM, OWN_AGENT, ON_LATENTS}
    except (OSError, ValueError):
        is_demo = False
    if not is_demo:
        raise FileExistsError(
            f"{folder} holds {found[0]!r}, which is not of an earlier demo, and this one would "
            "replace it; choose another --folder."
        )


def train_on_latents(
    env: gym.Env[Any, Any],
    validation: gym.Env[Any, Any],
    folder: Path,
    env_steps: int,
    seed: int,
    evaluations: int = 5,
) -> Agent:
    """Trains SB3's SAC with an ``MlpPolicy`` on a wrapped environment.

    Args:
        env: Where to train.
        validation: Where to look how far it got.
        folder: ``progress.csv`` goes there.
        env_steps: Simulator steps.
        seed: Seeds everything that is random.
        evaluations: How often to look, with three episodes each time.
    """
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import CSVOutputFormat, Logger

    repeat = action_repeat(env)
    agent_steps = env_steps // repeat

    class Validation(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps % max(1, agent_steps // evaluations) == 0:
                evaluation = evaluate(sac, validation, 3, seed=1_000)
                self.logger.record("time/env_steps", self.num_timesteps * repeat)
                self.logger.record("eval/mean_reward", evaluation.mean)
                self.logger.dump(self.num_timesteps)
            return True

    # Rates as in CoRe's own agent: the latents are ready, so values can follow faster.
    sac = SAC(
        "MlpPolicy",
        env,
        learning_rate=1e-3,
        batch_size=128,
        tau=0.02,
        learning_starts=250,
        seed=seed,
        device="cpu",
    )
    sac.set_logger(Logger(str(folder), [CSVOutputFormat(str(folder / PROGRESS_FILE))]))
    with warnings.catch_warnings():
        # SB3's progress bar is tqdm's with rich, which tqdm calls experimental.
        warnings.simplefilter("ignore", TqdmExperimentalWarning)
        sac.learn(agent_steps, callback=Validation(), log_interval=10**9, progress_bar=True)
    sac.logger.close()
    return sac


def _evaluate(
    name: str, agent: Agent, env: gym.Env[Any, Any], episodes: int, seed: int
) -> Evaluation:
    with tqdm(total=episodes, desc=f"{name:>20}", unit="episode") as bar:
        return evaluate(agent, env, episodes, seed, progress=lambda *_: bar.update())


def _print_results(results: dict[str, Evaluation]) -> None:
    table = Table(title="\nReturn on validation backgrounds, deterministic policies")
    table.add_column("agent")
    table.add_column("episodes", justify="right")
    table.add_column("mean ± standard error", justify="right")
    for name, result in results.items():
        table.add_row(
            name, str(len(result.returns)), f"{result.mean:.0f} ± {result.standard_error:.0f}"
        )
    _console.print(table)
