"""A run that learns a world model from recorded episodes alone, without a simulator."""

from __future__ import annotations

import json
import sys
import time
import warnings
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr.agent import CoReSAC, SequenceReplayBuffer, learning_state
from core_repr.config import CoReConfig, SACConfig
from core_repr.datasets import EpisodeDataset, open_dataset
from core_repr.datasets.episodes import RecordedEnv
from core_repr.evaluation.foresight import Played, imagined_reward_r2
from core_repr.evaluation.plots import UPDATES, training_diagnostics
from core_repr.evaluation.recorded import Recording, observe, to_model
from core_repr.files.json_files import read_json, write_json
from core_repr.files.names import (
    DIAGNOSTICS_FILE,
    EVALUATIONS_FILE,
    MANIFEST_FILE,
    MODEL_FOLDER,
    PROGRESS_FILE,
    REPLAY_FOLDER,
    SETTINGS_FILE,
)
from core_repr.files.places import user_path
from core_repr.files.writing import append, new_folder, remove
from core_repr.training.folders import (
    close_logger,
    copy_logs,
    in_use,
    refuse_to_replace,
    restore_logs,
)
from core_repr.training.interruption import Interrupted, StopRequest
from core_repr.training.loggers import (
    LoggerName,
    further_outputs,
    pending,
)
from core_repr.training.origin import checkpoints, newest_checkpoint, next_checkpoint
from core_repr.training.progress import ProgressFile
from core_repr.training.run_state import RunState
from core_repr.training.settings import check_schedule, made_with

HELD_OUT = 10
"""Every tenth episode is for validation, and not learned from."""

MOST_HELD_OUT = 20
VALIDATION_BATCHES = 4
LOG_INTERVAL = 50
"""Updates between two lines of the log."""


@dataclass(frozen=True)
class DatasetSchedule:
    """What to learn from, how long, and how often to look.

    Attributes:
        dataset: A folder, or the id of a data set of Minari's.
        camera: Which camera of several.
        updates: Of the world model.
        seed: Seeds everything that is random.
        evaluation_interval: Updates between two evaluations on the episodes that are held out.
        checkpoint_minutes: A checkpoint is taken at each evaluation, and after so many minutes.
    """

    dataset: str
    camera: str | None = None
    updates: int = 10_000
    seed: int = 0
    evaluation_interval: int = 500
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        check_schedule(self)


def train_from_dataset(
    config: CoReConfig,
    run: str | Path,
    schedule: DatasetSchedule,
    device: str = "auto",
    loggers: Sequence[LoggerName] = ("csv",),
) -> CoReSAC:
    """Trains a world model from recorded episodes, and writes everything about it into a folder.

    Every tenth episode, twenty at most, is held out: the losses there, and how well imagined
    rewards fit, are written to ``evaluations.jsonl``. The model is ``model/``; there is no agent.

    Args:
        config: Sizes and settings.
        run: The folder; it must not hold a run, nor files of a run's names.
        schedule: What to learn from, and how long.
        device: Where the networks are.
        loggers: As for :func:`train`.

    Returns:
        The learner, whose ``world_model`` has learned.

    Raises:
        FileExistsError: If ``run`` holds a run already, or something that it would replace.
        FileNotFoundError: If there is no such data set.
        ValueError: If the data set does not fit the config, or has too few episodes.
        FloatingPointError: If a loss or a gradient is not finite; the last checkpoint stays.
        Interrupted: If a signal asked it to stop.
        OSError: If the folder cannot be written to, or the disk is full.
    """
    folder = user_path(run)
    if (folder / SETTINGS_FILE).exists():
        raise FileExistsError(
            f"{folder} already holds a run; resume it with --resume {folder}, choose another "
            "folder with --run, or delete it."
        )
    refuse_to_replace(folder)
    return _learn(folder, config, schedule, device, loggers)


def resume_from_dataset(
    run: str | Path,
    updates: int | None = None,
    device: str = "auto",
    loggers: Sequence[LoggerName] = ("csv",),
) -> CoReSAC:
    """Resumes what :func:`train_from_dataset` began.

    Args:
        run: The folder.
        updates: To train to, instead of those in its settings.
        device: Where the networks are.
        loggers: As for :func:`train`.

    Raises:
        FileNotFoundError: If it holds no such run.
        ValueError: If it has finished, a file is broken, or the data set has changed since.
    """
    folder = user_path(run)
    settings = read_json(folder / SETTINGS_FILE)
    try:
        schedule = DatasetSchedule(**settings["schedule"])
        config = CoReConfig.from_json(json.dumps(settings["config"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / SETTINGS_FILE} lacks or has an unknown {error}.") from None
    if updates is not None:
        schedule = replace(schedule, updates=updates)
    checkpoint = newest_checkpoint(folder)
    done = 0 if checkpoint is None else RunState.read(checkpoint).updates
    if done >= schedule.updates:
        raise ValueError(
            f"{folder} has {done} updates already; to train it further, say how far with --updates."
        )
    return _learn(folder, config, schedule, device, loggers)


def is_from_dataset(run: str | Path) -> bool:
    """Whether a folder holds a run of :func:`train_from_dataset`."""
    path = user_path(run) / SETTINGS_FILE
    schedule = read_json(path).get("schedule") if path.is_file() else None
    return isinstance(schedule, dict) and "dataset" in schedule


def _learn(
    folder: Path,
    config: CoReConfig,
    schedule: DatasetSchedule,
    device: str,
    loggers: Sequence[LoggerName],
) -> CoReSAC:
    dataset = open_dataset(schedule.dataset, config.world_model.frame_size, schedule.camera)
    _check(dataset, config)
    agent = CoReSAC(
        "CoRePolicy",
        DummyVecEnv([lambda: RecordedEnv(dataset)]),
        config.replace(environment=None),
        seed=schedule.seed,
        device=device,
    )
    if not len(agent.world_model.objectives):
        raise ValueError(
            "This variant's world model learns nothing by itself, only from its critics; take "
            "another one."
        )
    with in_use(folder), ExitStack() as at_end, StopRequest() as stop:
        run = _Run(folder, agent, dataset, schedule, stop)
        checkpoint = newest_checkpoint(folder)
        run.fill(checkpoint)
        read = run.what_was_read()
        if checkpoint is not None:
            before = read_json(folder / SETTINGS_FILE).get("dataset", {})
            _check_unchanged(dataset, {**read, **_bounds(config), **before}, read)
        restore_logs(folder, checkpoint)
        if checkpoint is not None:
            agent.load_weights(checkpoint)
            learning_state.restore(agent, checkpoint, with_global_generators=True)
        settings = {"schedule": asdict(schedule), "config": json.loads(agent.config.to_json())}
        write_json(folder / SETTINGS_FILE, {**settings, "dataset": read, **made_with(agent)})
        further = further_outputs(loggers, folder, settings)
        agent.set_logger(Logger(str(folder), [ProgressFile(folder / PROGRESS_FILE), *further]))
        at_end.callback(close_logger, agent.logger)
        if checkpoint is not None:
            RunState.read(checkpoint).restore_log(agent.logger)
        run.learn()
    return agent


def _check(dataset: EpisodeDataset, config: CoReConfig) -> None:
    """Refuses what cannot be learned from, before anything is written."""
    if not isinstance(config.agent, SACConfig):
        raise ValueError(
            "This variant has no world model that could learn from recorded episodes; take core or "
            "another recurrent one."
        )
    if len(dataset) < 2:
        raise ValueError(
            f"{dataset.name} has {len(dataset)} episodes; it takes two or more, of which one is "
            "held out."
        )
    if config.objectives.reward is not None and not dataset.has_rewards:
        raise ValueError(
            f"{dataset.name} has no rewards to predict; take --variant no-reward, or settings with "
            "objectives: {reward: null}."
        )


def _bounds(config: CoReConfig) -> dict[str, object]:
    """The bounds of actions that a run's config records, for runs that tell them nowhere else."""
    environment = config.environment
    if environment is None:
        return {}
    return {"action_bounds": [list(environment.action_low), list(environment.action_high)]}


def _check_unchanged(
    dataset: EpisodeDataset, before: Mapping[str, object], now: Mapping[str, object]
) -> None:
    """Refuses other episodes and bounds than before.

    The model may have learned from episodes that would be held out now, and actions of other bounds
    are scaled otherwise.
    """
    if before != now:
        what = "other actions or rewards in the episodes that are held out"
        if before["episodes"] != now["episodes"]:
            what = f"{before['episodes']} episodes then and {now['episodes']} now"
        elif before["action_bounds"] != now["action_bounds"]:
            what = f"actions within {before['action_bounds']} then and {now['action_bounds']} now"
        raise ValueError(
            f"{dataset.name} has changed since the training began: {what}. Resume with the data "
            "set as it was, or start a new training."
        )


class _Run:
    """A training from a data set: its episodes, its log, its checkpoints."""

    def __init__(
        self,
        folder: Path,
        agent: CoReSAC,
        dataset: EpisodeDataset,
        schedule: DatasetSchedule,
        stop: StopRequest,
    ) -> None:
        self.folder, self.agent, self.dataset = folder, agent, dataset
        self.schedule, self.stop = schedule, stop
        self.held_out: list[Recording] = []
        self.validation = self._buffer(None)
        self._rewards: set[float] = set()
        self.started = self.saved = time.monotonic()
        self.last: dict[str, float] = {}

    def _buffer(self, folder: Path | None) -> SequenceReplayBuffer:
        """A replay buffer that holds whatever there is."""
        side, environment = self.agent.config.world_model.frame_size, self.agent.environment_config
        return SequenceReplayBuffer(
            sys.maxsize,
            (side, side, 3),
            environment.action_size,
            self.schedule.seed,
            folder,
            environment.proprioception_size,
        )

    def fill(self, checkpoint: Path | None) -> None:
        """Reads the episodes: those to learn from into files of the run, the others into memory.

        Args:
            checkpoint: One that names these files already.
        """
        from tqdm import tqdm

        count, stored = len(self.dataset), self.folder / REPLAY_FOLDER
        every = min(HELD_OUT, count)
        held_out = {*[*range(every - 1, count, every)][:MOST_HELD_OUT]}
        if checkpoint is None and stored.is_dir():
            remove(stored)
        buffer = self._buffer(stored)
        for number in tqdm(range(count), "reading", unit="episode", leave=False):
            if number in held_out:
                recording = self._read(number)
                self.held_out.append(recording)
                self._store(self.validation, recording)
            elif checkpoint is None:
                self._store(buffer, self._read(number))
        predicts = self.agent.config.objectives.reward is not None
        if checkpoint is None and predicts and len(self._rewards) == 1:
            (reward,) = self._rewards
            warnings.warn(
                f"All rewards of {self.dataset.name} that have a frame after them are {reward:g}, "
                "so there is nothing to predict; --variant no-reward learns without them.",
                stacklevel=2,
            )
        if checkpoint is not None:
            buffer.restore(read_json(checkpoint / MANIFEST_FILE))
            self.started -= RunState.read(checkpoint).seconds
        self.agent.replay_buffer = buffer

    def what_was_read(self) -> dict[str, object]:
        """How many episodes there are, their actions' bounds, and a checksum of those held out.

        Frames have no part in it: another decoder may round them in another way.
        """
        checksum = 0
        for recording in self.held_out:
            for array in (recording.actions, np.asarray(recording.rewards, np.float32)):
                checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
        space = self.dataset.action_space
        bounds = [space.low.ravel().tolist(), space.high.ravel().tolist()]
        return {"episodes": len(self.dataset), "action_bounds": bounds, "checksum": checksum}

    def _read(self, number: int) -> Recording:
        episode = self.dataset.read(number)
        where = f"Episode {number} of {self.dataset.name}"
        try:
            seen = self.agent.policy.reader.finite(episode.observations)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        steps = len(episode.rewards)
        if not (len(seen.frames) == steps + 1 and len(episode.actions) == steps and steps):
            raise ValueError(
                f"{where} has {len(seen.frames)} frames, {len(episode.actions)} actions and "
                f"{steps} rewards; expected as many actions as rewards, and one frame more."
            )
        if not (np.isfinite(episode.actions).all() and np.isfinite(episode.rewards).all()):
            raise ValueError(f"{where} has actions or rewards that are not finite.")
        # Two of them say all that is asked of them.
        self._rewards |= {*np.unique(episode.rewards)[:2].tolist()}
        actions = np.asarray(episode.actions, np.float32)
        return Recording(
            number,
            seen.frames,
            seen.proprioception,
            actions.reshape(steps, *self.dataset.action_space.shape),
            episode.rewards,
            np.zeros((steps + 1, 0)),
            terminated=episode.terminated,
        )

    def _store(self, buffer: SequenceReplayBuffer, recording: Recording) -> None:
        actions = self.agent.policy.actions.to_model(recording.actions)
        seen = zip(recording.frames, recording.proprioception, strict=True)
        for action, reward in zip(actions, recording.rewards, strict=True):
            frame, proprioception = next(seen)
            buffer.add(0, frame, action, float(reward), proprioception)
        buffer.end_episode(0, *next(seen), terminated=recording.terminated)

    def learn(self) -> None:
        """Makes the updates, and all that comes between them."""
        from tqdm import tqdm

        agent, schedule = self.agent, self.schedule
        settings = agent.config.agent
        with tqdm(total=schedule.updates, initial=agent.updates, unit="update") as bar:
            while agent.updates < schedule.updates:
                if self.stop.signal_number is not None:
                    self._save_checkpoint()
                    raise Interrupted(
                        f"The training was stopped at {agent.updates} updates and saved; resume "
                        f"it with: core-repr train --resume {self.folder}",
                        self.stop.signal_number,
                    )
                agent.policy.set_training_mode(True)
                batch = agent.replay_buffer.sample(settings.batch_size, settings.sequence_length)
                agent.update_world_model(batch.to(agent.device))
                bar.update()
                due = agent.updates % schedule.evaluation_interval == 0
                if due or agent.updates == schedule.updates:
                    self._evaluate()
                    bar.set_postfix({name: f"{value:.3g}" for name, value in self.last.items()})
                    self._log()
                    self._save_checkpoint()
                elif agent.updates % LOG_INTERVAL == 0:
                    self._log()
                if time.monotonic() - self.saved >= 60 * schedule.checkpoint_minutes:
                    self._save_checkpoint()
        training_diagnostics(self.folder / PROGRESS_FILE, self.folder / DIAGNOSTICS_FILE)

    def _log(self) -> None:
        self.agent.read_losses()
        self.agent.logger.record(UPDATES, self.agent.updates)
        self.agent.logger.dump(self.agent.updates)

    def _evaluate(self) -> None:
        """Looks at the episodes that are held out, and writes the model."""
        agent = self.agent
        settings = agent.config.agent
        self.validation.rng = np.random.default_rng(self.schedule.seed)
        agent.policy.set_training_mode(False)
        with agent.averaged_weights():
            losses: dict[str, list[float]] = {}
            for _ in range(VALIDATION_BATCHES):
                batch = self.validation.sample(settings.batch_size, settings.sequence_length)
                for name, value in agent.model_losses(batch.to(agent.device)).items():
                    losses.setdefault(name, []).append(float(value))
            scores = imagined_reward_r2(agent.world_model, [*map(self._played, self.held_out)])
            agent.world_model.save_pretrained(self.folder / MODEL_FOLDER)
        means = {name: float(np.mean(values)) for name, values in losses.items()}
        for name, mean in means.items():
            agent.logger.record(f"validation/{name}", mean)
        for horizon, score in scores.items():
            if score is not None:
                agent.logger.record(f"validation/imagined_reward_r2_{horizon}", score)
        shown = {name: means[name] for name in ("contrastive_loss", "reward_loss") if name in means}
        self.last = {f"validation {name.replace('_', ' ')}": value for name, value in shown.items()}
        line = {
            "updates": agent.updates,
            "seconds": round(time.monotonic() - self.started, 1),
            "losses": means,
            "imagined_reward_r2": {str(horizon): score for horizon, score in scores.items()},
        }
        append(self.folder / EVALUATIONS_FILE, json.dumps(line) + "\n")

    def _played(self, recording: Recording) -> Played:
        agent = self.agent
        _, posterior = observe(agent, recording)
        steps = len(recording.rewards)
        actions = torch.from_numpy(to_model(agent, recording))[:steps].to(agent.device)
        return Played(posterior.map(lambda field: field[:steps]), actions, recording.rewards)

    def _save_checkpoint(self) -> None:
        older = checkpoints(self.folder)
        with new_folder(next_checkpoint(self.folder)) as checkpoint:
            self.agent.save_checkpoint(checkpoint)
            write_json(checkpoint / MANIFEST_FILE, self.agent.replay_buffer.manifest())
            seconds = time.monotonic() - self.started
            log = pending(self.agent.logger)
            RunState(seconds=seconds, updates=self.agent.updates, **log).write(checkpoint)
            copy_logs(self.folder, checkpoint)
        for path in older:
            remove(path)
        self.saved = time.monotonic()
