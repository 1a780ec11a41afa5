"""A training run: a folder with settings, log, evaluations, checkpoints and the newest model."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from stable_baselines3.common.logger import Logger

from core_repr.agent import SequenceAlgorithm, agent_folder, algorithm_of, learning_state
from core_repr.config import CoReConfig
from core_repr.environments import EnvironmentChoice
from core_repr.files.json_files import read_json
from core_repr.files.names import (
    CHECKPOINTS_FOLDER,
    EVALUATIONS_FILE,
    MANIFEST_FILE,
    MODEL_FOLDER,
    PROGRESS_FILE,
    REPLAY_FOLDER,
    SETTINGS_FILE,
)
from core_repr.files.places import user_path
from core_repr.files.writing import refuse_links
from core_repr.training.callback import RunCallback
from core_repr.training.folders import close_logger, in_use, refuse_to_replace, restore_logs
from core_repr.training.interruption import StopRequest
from core_repr.training.loggers import LoggerName, further_outputs
from core_repr.training.origin import Origin, newest_checkpoint
from core_repr.training.progress import ProgressFile
from core_repr.training.run_state import RunState
from core_repr.training.settings import RunSettings, Schedule
from core_repr.training.training_episodes import TrainingEpisodes


def train(
    environment: EnvironmentChoice,
    config: CoReConfig,
    run: str | Path,
    schedule: Schedule,
    device: str = "auto",
    origin: Origin | None = None,
    loggers: Sequence[LoggerName] = ("csv",),
) -> SequenceAlgorithm:
    """Trains a model and its agent, and writes everything about it into a new folder.

    The folder holds ``settings.json``, ``progress.csv`` (losses and returns), ``progress.png``,
    ``evaluations.jsonl`` (an evaluation a line, with every episode's return and seed),
    ``model/``, which ``CoReWorldModel.from_pretrained`` loads and which is written at each
    evaluation, and what :func:`resume` resumes from: the newest one of ``checkpoints/``, and
    ``replay/``.

    Args:
        environment: Where to train and where to validate.
        config: Sizes and settings.
        run: The folder; it must not hold a run, nor files of a run's names.
        schedule: How long to train and how often to look.
        device: Where the networks are.
        origin: A model to continue from, with a replay buffer that its policy fills first; of the
            config's sizes.
        loggers: "tensorboard" and "wandb" beside "csv", which is always written.

    Returns:
        The agent.

    Raises:
        FileExistsError: If ``run`` holds a run already, or something that it would replace.
        ValueError: If the schedule ends before learning starts, or an argument of the environment
            could not be loaded again once it is saved.
        FloatingPointError: If a loss or a gradient is not finite; the last checkpoint stays.
        Interrupted: If a signal asked it to stop.
        OSError: If the folder cannot be written to, or the disk is full; the last checkpoint
            stays.
    """
    folder = user_path(run)
    if (folder / SETTINGS_FILE).exists():
        raise FileExistsError(
            f"{folder} already holds a run; resume it with --resume {folder}, choose another "
            "folder with --run, or delete it."
        )
    refuse_to_replace(folder)
    settings = RunSettings(environment, config, schedule, origin)
    settings.check()
    if origin is not None:
        origin.check(config)
    return _learn(folder, settings, device, loggers)


def resume(
    run: str | Path,
    env_steps: int | None = None,
    device: str = "auto",
    loggers: Sequence[LoggerName] = ("csv",),
) -> SequenceAlgorithm:
    """Resumes a run from its newest checkpoint.

    On one thread of the same machine, it ends bit for bit as if it had never stopped: the
    generators of torch, NumPy and Python, which the whole process shares, are set to where they
    were.

    Args:
        run: A folder that :func:`train` made.
        env_steps: Simulator steps to train to, instead of those in the run's settings.
        device: Where the networks are.
        loggers: As for :func:`train`.

    Returns:
        The agent.

    Raises:
        FileExistsError: If something else is in the place of a folder or file of the run.
        FileNotFoundError: If the folder holds no run, or a file of it is missing.
        ValueError: If a file of it is broken or the run has finished.
        FloatingPointError: If a loss or a gradient is not finite; the last checkpoint stays.
        Interrupted: If a signal asked it to stop.
        OSError: If the folder cannot be written to, or the disk is full; the last checkpoint
            stays.
    """
    folder = user_path(run)
    settings = RunSettings.read(folder)
    _check_folders(folder)
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        _refuse_to_start_again(folder, settings.origin)
    if env_steps is not None:
        settings = replace(settings, schedule=replace(settings.schedule, env_steps=env_steps))
    if checkpoint is not None:
        state = RunState.read(checkpoint)
        if env_steps is not None and not state.finished and state.env_steps >= env_steps:
            raise ValueError(
                f"{folder} has {state.env_steps} environment steps already; name more with "
                "--env-steps, or leave it out."
            )
        if state.finished and state.env_steps >= settings.schedule.env_steps:
            raise ValueError(
                f"{folder} has finished, at {state.env_steps} environment steps; to train it "
                "further, say how far with --env-steps."
            )
    return _learn(folder, settings, device, loggers)


def _learn(
    folder: Path, settings: RunSettings, device: str, loggers: Sequence[LoggerName]
) -> SequenceAlgorithm:
    schedule, origin = settings.schedule, settings.origin
    training_env = TrainingEpisodes(
        settings.environment.make(), schedule.seed, schedule.episode_steps
    )
    validation_env = settings.environment.make(validation=True)
    agent = algorithm_of(settings.config)(
        "CoRePolicy",
        training_env,
        settings.config,
        stats_window_size=2 * schedule.log_interval,
        seed=schedule.seed,
        device=device,
        replay_folder=folder / REPLAY_FOLDER,
    )
    agent.replay_buffer.deletes_later = True
    try:
        with in_use(folder), ExitStack() as at_end:
            checkpoint = newest_checkpoint(folder)
            if checkpoint is None:
                _check_goal(agent, schedule.env_steps, origin)
            if checkpoint is not None:
                agent.load_weights(checkpoint)
                learning_state.restore(agent, checkpoint, with_global_generators=True)
                agent.replay_buffer.restore(read_json(checkpoint / MANIFEST_FILE))
            elif origin is not None:
                origin.load_into(agent)
            # No episode before the origin had a number as high as its count of steps.
            before = 0 if origin is None else origin.agent_steps
            training_env.episode = before + agent._episode_num
            replace(settings, config=agent.config).write(folder, agent)
            restore_logs(folder, checkpoint)
            further = further_outputs(loggers, folder, settings.fields())
            progress = ProgressFile(folder / PROGRESS_FILE)
            agent.set_logger(Logger(str(folder), [progress, *further]))
            at_end.callback(close_logger, agent.logger)
            goal = math.ceil(schedule.env_steps / agent.environment_config.action_repeat)
            with StopRequest() as stop:
                callback = RunCallback(folder, validation_env, settings, stop)
                if checkpoint is not None:
                    callback.restore(checkpoint, agent)
                agent.learn(
                    max(goal - agent.num_timesteps, 0),
                    callback,
                    log_interval=None,  # type: ignore[arg-type]
                    reset_num_timesteps=False,
                )
    except FloatingPointError as error:
        raise FloatingPointError(
            f"{error} The last good checkpoint is {newest_checkpoint(folder)}: core-repr train "
            f"--from {folder} --agent.model-learning-rate ... continues from it."
        ) from error
    except FileNotFoundError:
        # Of what is to be read; it says what to do.
        raise
    except OSError as error:
        kept = newest_checkpoint(folder)
        if kept is None:
            raise
        raise OSError(
            f"{str(error).rstrip('.')}. The training in {folder} has stopped; its last checkpoint, "
            f"{kept}, is whole. When the cause is gone, resume it with: core-repr train --resume "
            f"{folder}"
        ) from error
    finally:
        training_env.close()
        validation_env.close()
    return agent


def _check_folders(folder: Path) -> None:
    """Refuses what a training could not write to, before hours have passed."""
    for name in (MODEL_FOLDER, CHECKPOINTS_FOLDER, REPLAY_FOLDER):
        path = folder / name
        if os.path.lexists(path) and not path.is_dir():
            what = "a link that leads nowhere" if path.is_symlink() else "a file"
            raise FileExistsError(
                f"{path} is {what} in the place of a run's folder; move it away, or link it to a "
                "folder."
            )
    if (folder / MODEL_FOLDER).is_dir():
        refuse_links(folder / MODEL_FOLDER, [*agent_folder.FILES])


def _refuse_to_start_again(folder: Path, origin: Origin | None) -> None:
    """Refuses a run whose checkpoints were deleted: its logs would be lost."""
    evaluations = folder / EVALUATIONS_FILE
    lines = evaluations.read_bytes().count(b"\n") if evaluations.exists() else 0
    # The evaluation of the origin comes before the first checkpoint.
    if lines > (origin is not None):
        raise ValueError(
            f"{folder} has evaluations but no checkpoint to resume from; train on with "
            f"core-repr train --from {folder} --run ANOTHER_FOLDER."
        )


def _check_goal(agent: SequenceAlgorithm, env_steps: int, origin: Origin | None) -> None:
    """Refuses a training that would end, as if all were well, without a single update."""
    repeat = agent.environment_config.action_repeat
    before = 0 if origin is None else origin.agent_steps
    start = repeat * (before + agent.learning_starts)
    if env_steps <= start:
        own = f"the model's own {repeat * before:,} and then " if before else ""
        raise ValueError(
            f"{env_steps:,} environment steps end before learning starts: {own}"
            f"{agent.learning_starts:,} agent steps of {repeat} come before, {start:,} in all; "
            "raise --env-steps, or lower --agent.learning-starts."
        )
    learning = agent.config.agent
    steps = math.ceil(env_steps / repeat) - before - agent.learning_starts
    if learning.initial_updates + steps * learning.updates_per_step < 1:
        raise ValueError(
            f"{env_steps:,} environment steps end before the first update: {steps:,} agent steps "
            f"of {repeat} learn, with {learning.updates_per_step:g} updates each; raise "
            "--env-steps or --agent.updates-per-step."
        )
