"""A training run: a folder with settings, log, evaluations and the newest model."""

from __future__ import annotations

import json
import logging
import math
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat, Logger

from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig
from core_repr.evaluation.episodes import Evaluation, evaluate
from core_repr.evaluation.plots import training_diagnostics

if TYPE_CHECKING:
    from tqdm import tqdm

_log = logging.getLogger(__name__)

MODEL_FOLDER = "model"
PROGRESS_FILE = "progress.csv"
SETTINGS_FILE = "settings.json"
EVALUATIONS_FILE = "evaluations.jsonl"


@dataclass(frozen=True)
class Schedule:
    """How long to train and how often to look.

    Attributes:
        env_steps: Simulator steps, before action repeat.
        seed: Seeds everything that is random.
        evaluation_interval: Training episodes between two evaluations.
        evaluation_episodes: Episodes of an evaluation, with the deterministic policy.
        log_interval: Training episodes between two lines of the log.
    """

    env_steps: int = 500_000
    seed: int = 0
    evaluation_interval: int = 20
    evaluation_episodes: int = 5
    log_interval: int = 5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < (0 if name == "seed" else 1):
                raise ValueError(f"{name} must be positive, not {value}.")


@dataclass(frozen=True)
class EnvironmentChoice:
    """An environment for training and one, with other backgrounds, for validation.

    Attributes:
        id: Gymnasium id.
        arguments: Arguments of ``gym.make`` for both.
        training: Further ones for training.
        validation: Further ones for validation.
    """

    id: str
    arguments: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)

    def make(self, validation: bool = False) -> gym.Env[Any, Any]:
        """Makes one of the two environments."""
        further = self.validation if validation else self.training
        return gym.make(self.id, **{**self.arguments, **further})


def train(
    environment: EnvironmentChoice,
    config: CoReConfig,
    run: str | Path,
    schedule: Schedule,
    device: str = "auto",
) -> CoReSAC:
    """Trains a model and its agent, and writes everything about it into a new folder.

    The folder holds ``settings.json``, ``progress.csv`` (losses and returns), ``progress.png``,
    ``evaluations.jsonl`` (an evaluation a line, with every episode's return and seed) and
    ``model/``, which ``CoReWorldModel.from_pretrained`` loads. The model is written at each
    evaluation and at the end, also when the training is interrupted; one that diverged is not.

    Args:
        environment: Where to train and where to validate.
        config: Sizes and settings.
        run: The folder; it must not hold a run.
        schedule: How long to train and how often to look.
        device: Where the networks are.

    Returns:
        The agent.

    Raises:
        FileExistsError: If ``run`` holds a run already.
        FloatingPointError: If a loss is not finite.
    """
    folder = Path(run)
    if (folder / SETTINGS_FILE).exists():
        raise FileExistsError(
            f"{folder} already holds a run; choose another folder with --run, or delete it."
        )
    training_env = environment.make()
    validation_env = environment.make(validation=True)
    agent = CoReSAC(
        "CoRePolicy",
        training_env,
        config,
        stats_window_size=2 * schedule.log_interval,
        seed=schedule.seed,
        device=device,
    )
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "environment": asdict(environment),
        "schedule": asdict(schedule),
        "config": json.loads(agent.config.to_json()),
        "versions": _versions(),
    }
    (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n")
    agent.set_logger(Logger(str(folder), [CSVOutputFormat(str(folder / PROGRESS_FILE))]))
    agent_steps = math.ceil(schedule.env_steps / agent.environment_config.action_repeat)
    try:
        agent.learn(agent_steps, RunCallback(folder, validation_env, schedule), log_interval=None)  # type: ignore[arg-type]
    except FloatingPointError:
        # The weights are no numbers any more: the model of the last evaluation stays.
        raise
    except BaseException:
        agent.save_pretrained(folder / MODEL_FOLDER)
        raise
    finally:
        agent.logger.close()
        training_env.close()
        validation_env.close()
    return agent


class RunCallback(BaseCallback):
    """Evaluates, logs, saves and shows progress after training episodes.

    Args:
        folder: The run's folder.
        validation_env: Where to evaluate.
        schedule: How often.
    """

    model: CoReSAC

    def __init__(self, folder: Path, validation_env: gym.Env[Any, Any], schedule: Schedule) -> None:
        super().__init__()
        self.folder = folder
        self.validation_env = validation_env
        self.schedule = schedule
        self.last_return: float | None = None
        self.bar: tqdm[Any] | None = None

    def _on_training_start(self) -> None:
        from tqdm import tqdm

        self.started = time.monotonic()
        self.bar = tqdm(total=self.schedule.env_steps, unit="step", smoothing=0.05)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        episode = self.model._episode_num
        self._show()
        if episode % self.schedule.evaluation_interval == 0:
            self._evaluate()
        if episode % self.schedule.log_interval == 0:
            self.model.dump_logs()

    def _on_training_end(self) -> None:
        self._evaluate()
        self.model.dump_logs()
        training_diagnostics(self.folder / PROGRESS_FILE, self.folder / "progress.png")
        if self.bar is not None:
            self.bar.close()

    def _evaluate(self) -> None:
        evaluation = evaluate(
            self.model, self.validation_env, self.schedule.evaluation_episodes, seed=10_000
        )
        self.last_return = evaluation.mean
        self.logger.record("eval/mean_reward", evaluation.mean)
        self.logger.record("eval/standard_error", evaluation.standard_error)
        self._append(evaluation)
        self.model.save_pretrained(self.folder / MODEL_FOLDER)
        self._show()

    def _append(self, evaluation: Evaluation) -> None:
        line = {
            "env_steps": self.model.env_steps,
            "agent_steps": self.num_timesteps,
            "updates": self.model._n_updates,
            "seconds": round(time.monotonic() - self.started, 1),
            **evaluation.to_dict(),
        }
        with open(self.folder / EVALUATIONS_FILE, "a") as file:
            file.write(json.dumps(line) + "\n")

    def _show(self) -> None:
        if self.bar is None:
            return
        values = self.logger.name_to_value
        shown = {"L_c": values.get("train/contrastive_loss"), "validation": self.last_return}
        self.bar.set_postfix({key: f"{v:.2f}" for key, v in shown.items() if v is not None})
        self.bar.update(self.model.env_steps - self.bar.n)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    packages = ("core-repr", "torch", "gymnasium", "stable-baselines3", "dm_control", "mujoco")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
