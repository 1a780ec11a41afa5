"""What a run does besides learning: evaluating, logging, saving and showing progress."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import safe_mean

from core_repr.agent import SequenceAlgorithm
from core_repr.evaluation.episodes import evaluate
from core_repr.evaluation.foresight import Foresight
from core_repr.evaluation.plots import training_diagnostics
from core_repr.files.json_files import write_json
from core_repr.files.names import (
    DIAGNOSTICS_FILE,
    EVALUATIONS_FILE,
    MANIFEST_FILE,
    MODEL_FOLDER,
    PROGRESS_FILE,
)
from core_repr.files.writing import append, new_folder, remove
from core_repr.training.folders import copy_logs
from core_repr.training.interruption import Interrupted, StopRequest
from core_repr.training.loggers import pending
from core_repr.training.origin import checkpoints, next_checkpoint
from core_repr.training.run_state import RunState
from core_repr.training.settings import RunSettings

if TYPE_CHECKING:
    from tqdm import tqdm

VALIDATION_SEED = 10_000


class RunCallback(BaseCallback):
    """Evaluates, logs, saves and shows progress between training episodes.

    Args:
        folder: The run's folder.
        validation_env: Where to evaluate.
        settings: How often.
        stop: Whether a signal asks to stop.
    """

    model: SequenceAlgorithm

    def __init__(
        self,
        folder: Path,
        validation_env: gym.Env[Any, Any],
        settings: RunSettings,
        stop: StopRequest,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.validation_env = validation_env
        self.settings = settings
        self.schedule = settings.schedule
        self.stop = stop
        self.last_return: float | None = None
        self.bar: tqdm[Any] | None = None
        self._shown: dict[str, str] = {}
        self.started = time.monotonic()
        self._is_new = True
        self._checkpoint_due = True

    def restore(self, checkpoint: Path, agent: SequenceAlgorithm) -> None:
        """Resumes from a checkpoint: the clock, the last evaluation, the values to be logged."""
        state = RunState.read(checkpoint)
        self.started = time.monotonic() - state.seconds
        self.last_return = state.last_return
        state.restore_log(agent.logger)
        self._is_new = self._checkpoint_due = False

    def _on_training_start(self) -> None:
        from tqdm import tqdm

        self._saved_at, self._saved_steps = time.monotonic(), self.model.num_timesteps
        self.bar = tqdm(
            total=self.schedule.env_steps,
            initial=self.model.env_steps,
            unit="step",
            smoothing=0.05,
        )
        self.model.safe_point = self._between_updates
        if self._is_new and self.settings.origin is not None:
            # How good the model is that the training continues from.
            self._evaluate()
            self.model.dump_logs()
        # What an interruption between updates left to be done, also after the last episode.
        self.model.train(0, 0)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        minutes = (time.monotonic() - self._saved_at) / 60
        # Files of the replay buffer that gave way are deleted after a checkpoint only.
        steps = self.model.num_timesteps - self._saved_steps
        if (
            self._checkpoint_due
            or minutes >= self.schedule.checkpoint_minutes
            or steps >= self.model.replay_buffer.size / 50
        ):
            self._save_checkpoint()
        self._stop_if_asked()

    def _on_rollout_end(self) -> None:
        episode = self.model._episode_num
        self._show()
        if self.model.env_steps >= self.schedule.env_steps:
            return  # What follows the last updates is evaluated and logged.
        if episode % self.schedule.evaluation_interval == 0:
            self._evaluate()
        if episode % self.schedule.log_interval == 0:
            self.model.dump_logs()

    def _on_training_end(self) -> None:
        self._evaluate()
        self.model.dump_logs()
        training_diagnostics(self.folder / PROGRESS_FILE, self.folder / DIAGNOSTICS_FILE)
        self._save_checkpoint(finished=True)
        if self.bar is not None:
            self.bar.close()

    def _between_updates(self) -> None:
        self._stop_if_asked()
        updates, initial = self.model.updates, self.model.config.agent.initial_updates
        if updates < initial and updates % 10 == 0:
            self._shown["initial updates"] = f"{updates}/{initial}"
            self._show()
        elif updates == initial:
            self._shown.pop("initial updates", None)

    def _stop_if_asked(self) -> None:
        number = self.stop.signal_number
        if number is None:
            return
        self._save_checkpoint()
        if self.bar is not None:
            self.bar.close()
        raise Interrupted(
            f"The training was stopped at {self.model.env_steps} environment steps and saved; "
            f"resume it with: core-repr train --resume {self.folder}",
            number,
        )

    def _save_checkpoint(self, finished: bool = False) -> None:
        older = checkpoints(self.folder)
        with new_folder(next_checkpoint(self.folder)) as checkpoint:
            self.model.save_checkpoint(checkpoint)
            write_json(checkpoint / MANIFEST_FILE, self.model.replay_buffer.manifest())
            self._state(finished).write(checkpoint)
            copy_logs(self.folder, checkpoint)
        for path in older:
            remove(path)
        self.model.replay_buffer.delete_dropped()
        self._checkpoint_due = False
        self._saved_at, self._saved_steps = time.monotonic(), self.model.num_timesteps

    def _state(self, finished: bool) -> RunState:
        return RunState(
            seconds=time.monotonic() - self.started,
            finished=finished,
            env_steps=self.model.env_steps,
            last_return=self.last_return,
            **pending(self.logger),
        )

    def _evaluate(self) -> None:
        foresight = Foresight(self.model, self.validation_env)
        with self.model.averaged_weights():
            evaluation = evaluate(
                foresight,
                foresight,
                self.schedule.evaluation_episodes,
                seed=VALIDATION_SEED,
            )
            outcome = foresight.to_dict(evaluation)
            self.model.save_pretrained(self.folder / MODEL_FOLDER)
        self.last_return = evaluation.mean
        self.logger.record("eval/mean_reward", evaluation.mean)
        if math.isfinite(evaluation.standard_error):
            self.logger.record("eval/standard_error", evaluation.standard_error)
        for horizon, score in outcome["imagined_reward_r2"].items():
            if score is not None:
                self.logger.record(f"eval/imagined_reward_r2_{horizon}", score)
        self._append(outcome)
        self._checkpoint_due = True
        self._show()

    def _append(self, evaluation: dict[str, Any]) -> None:
        line = {
            "env_steps": self.model.env_steps,
            "agent_steps": self.model.num_timesteps,
            "updates": self.model.updates,
            "seconds": round(time.monotonic() - self.started, 1),
            **evaluation,
        }
        append(self.folder / EVALUATIONS_FILE, json.dumps(line) + "\n")

    def _show(self) -> None:
        if self.bar is None:
            return
        self.model.read_losses()
        values = self.logger.name_to_value
        for column, chance in values.items():
            if column.startswith("train/") and column.endswith("_chance"):
                name = column.removeprefix("train/").removesuffix("_chance")
                loss = values[f"train/{name}_loss"]
                self._shown[f"{name.replace('_', ' ')} loss"] = f"{loss:.2f} (chance {chance:.2f})"
        if self.model.ep_info_buffer:
            mean = safe_mean([info["r"] for info in self.model.ep_info_buffer])
            self._shown["return"] = f"{mean:.1f}"
        if self.last_return is not None:
            self._shown["validation"] = f"{self.last_return:.1f}"
        self.bar.set_postfix(self._shown)
        self.bar.update(self.model.env_steps - self.bar.n)
