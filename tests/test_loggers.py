"""A run's log in other places than progress.csv."""

from __future__ import annotations

import json
import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat

from core_repr.config import CoReConfig
from core_repr.environments import EnvironmentChoice
from core_repr.training import Schedule, resume, train
from core_repr.training.callback import RunCallback
from core_repr.training.interruption import Interrupted
from core_repr.training.loggers import WandbOutput, pending
from core_repr.training.run_state import RunState

PIXELS = EnvironmentChoice("core-repr-tests/Pixels-v0")


class FakeWandb(types.ModuleType):
    def __init__(self) -> None:
        super().__init__("wandb")
        self.runs: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = 0

    def init(self, **options: Any) -> FakeWandb:
        self.runs.append(options)
        return self

    def log(self, numbers: dict[str, float], step: int) -> None:
        self.logged.append((step, numbers))

    def finish(self) -> None:
        self.finished += 1


def test_tensorboard_and_wandb(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    run = tmp_path / "cartpole" / "seed-0"
    schedule = Schedule(200, evaluation_episodes=1, log_interval=1)
    train(PIXELS, tiny_config(), run, schedule, "cpu", loggers=("tensorboard", "wandb"))
    (started,) = wandb.runs
    assert (started["name"], started["resume"]) == ("cartpole-seed-0", "allow")
    assert started["config"]["schedule"]["env_steps"] == 200
    steps, numbers = wandb.logged[-1]
    assert steps > 0 and "eval/mean_reward" in numbers and wandb.finished == 1
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert "eval/mean_reward" in events.Tags()["scalars"]
    assert len((run / "progress.csv").read_text().splitlines()) > 2
    resume(run, 300, "cpu", loggers=("wandb", "tensorboard"))
    assert wandb.runs[-1]["id"] == started["id"] and wandb.logged[-1][0] > steps
    # One of the same name elsewhere is another run.
    other = tmp_path / "other" / "cartpole" / "seed-0"
    other.mkdir(parents=True)
    WandbOutput(other, {})
    assert wandb.runs[-1]["name"] == started["name"] and wandb.runs[-1]["id"] != started["id"]
    (other / "wandb.json").write_text('{"id": "a/b"}')
    with pytest.raises(ValueError, match=r"wandb\.json holds no id"):
        WandbOutput(other, {})


def test_what_waits_for_the_next_line_of_the_log_is_kept(tmp_path: Path) -> None:
    logger = Logger(None, [])
    logger.record("train/n_updates", 7, exclude="tensorboard")
    for loss in (1.0, 2.0):
        logger.record_mean("train/loss", np.float32(loss))
    state = json.loads(json.dumps(pending(logger)))
    for kept in (state, {name: state[name] for name in ("log", "log_counts")}):
        other = Logger(None, [TensorBoardOutputFormat(str(tmp_path))])
        RunState(seconds=0, **kept).restore_log(other)
        other.record_mean("train/loss", 6.0)
        assert (
            other.name_to_value["train/loss"] == 3 and other.name_to_value["train/n_updates"] == 7
        )
        other.dump(0)
    assert state["log_excluded"]["train/n_updates"] == ["tensorboard"]


def test_a_run_that_stopped_between_two_lines_resumes_with_every_logger(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = RunCallback._on_rollout_start

    def stop(self: RunCallback) -> None:
        if self.model._episode_num == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        plain(self)

    loggers, schedule = ("csv", "tensorboard"), Schedule(300, evaluation_episodes=1)
    with monkeypatch.context() as patch:
        patch.setattr(RunCallback, "_on_rollout_start", stop)
        with pytest.raises(Interrupted):
            train(PIXELS, tiny_config(), tmp_path / "run", schedule, "cpu", loggers=loggers)
    agent = resume(tmp_path / "run", device="cpu", loggers=loggers)
    assert agent.env_steps >= 300


def test_what_is_missing_is_named(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ModuleNotFoundError, match="pip install wandb"):
        train(PIXELS, tiny_config(), tmp_path / "run", Schedule(200), "cpu", loggers=("wandb",))
