from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig
from core_repr.training import EnvironmentChoice, Schedule, resume, train

PIXELS = EnvironmentChoice("core-repr-tests/Pixels-v0", {"frame_size": 16}, {"length": 6}, {})
SCHEDULE = Schedule(
    env_steps=300,
    seed=5,
    evaluation_interval=4,
    evaluation_episodes=1,
    log_interval=3,
    checkpoint_minutes=0,
)
CLOCKS = ("seconds", "time/fps", "time/time_elapsed")


def learned(agent: CoReSAC) -> dict[str, torch.Tensor]:
    """Everything that moved while learning."""
    tensors = dict(agent.policy.state_dict())
    for name in ("model_optimizer", "critic_optimizer", "actor_optimizer", "entropy_optimizer"):
        for i, state in getattr(agent, name).state_dict()["state"].items():
            tensors |= {f"{name}.{i}.{key}": value for key, value in state.items()}
    return tensors


def assert_same_end(one: CoReSAC, two: CoReSAC) -> None:
    first, second = learned(one), learned(two)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert one.num_timesteps == two.num_timesteps and one._n_updates == two._n_updates
    assert torch.equal(one.policy.generator.get_state(), two.policy.generator.get_state())
    assert one.replay_buffer.rng.bit_generator.state == two.replay_buffer.rng.bit_generator.state
    for episode, other in zip(one.replay_buffer.episodes, two.replay_buffer.episodes, strict=True):
        assert episode.records.tobytes() == other.records.tobytes()


def logs(run: Path) -> list[Any]:
    """Both logs, without what a clock says."""
    with open(run / "progress.csv") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    evaluations = [json.loads(line) for line in (run / "evaluations.jsonl").open()]
    return [
        {name: value for name, value in line.items() if name not in CLOCKS}
        for line in rows + evaluations
    ]


@pytest.fixture(scope="module")
def unbroken(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Callable[..., CoReConfig]
) -> tuple[Path, CoReSAC]:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    return folder, train(PIXELS, tiny_config(), folder, SCHEDULE, device="cpu")


class Killed(BaseException):
    """Stands for a process that ends at once."""


@pytest.mark.parametrize("at_update", [1, 7, 20])
def test_a_run_that_was_broken_off_ends_as_if_it_never_was(
    unbroken: tuple[Path, CoReSAC],
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_update: int,
) -> None:
    plain = CoReSAC.update

    def update(agent: CoReSAC, batch: Any) -> None:
        plain(agent, batch)
        if agent._n_updates == at_update:
            raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(CoReSAC, "update", update)
        with pytest.raises(Killed):
            train(PIXELS, tiny_config(), run, SCHEDULE, device="cpu")
    torch.manual_seed(77)
    agent = resume(run, device="cpu")
    assert_same_end(unbroken[1], agent)
    for line, expected in zip(logs(run), logs(unbroken[0]), strict=True):
        assert line == expected


# Killed for real


class Server:
    """Starts trainings in processes of their own; see ``training_server.py``."""

    def __init__(self, config: Path) -> None:
        script = Path(__file__).with_name("training_server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, run: Path, env_steps: int) -> int:
        """Returns the number of a process that trains."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{run} {env_steps}\n")
        self.process.stdin.flush()
        return self._read()

    def end(self) -> int:
        """Waits for it; returns its exit status."""
        return self._read()

    def _read(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Callable[..., CoReConfig]
) -> Iterator[Server]:
    config = tmp_path_factory.mktemp("server") / "config.json"
    config.write_text(tiny_config(agent={"replay_size": 80}).to_json())
    server = Server(config)
    yield server
    server.process.kill()
    server.process.wait()


def newest(run: Path) -> int:
    """Number of the newest checkpoint; −1 if there is none."""
    return max((int(path.name) for path in (run / "checkpoints").glob("[0-9]*")), default=-1)


def state_of(run: Path) -> dict[str, bytes]:
    """What a run came to, byte for byte: its newest checkpoint and its model."""
    checkpoint = run / "checkpoints" / f"{newest(run):08d}"
    paths = [checkpoint / name for name in ("model.safetensors", "agent.safetensors")]
    paths += [checkpoint / "training.safetensors", *(run / "model").glob("*.safetensors")]
    return {
        f"{'model' if path.parent.name == 'model' else 'checkpoint'}/{path.name}": path.read_bytes()
        for path in paths
    }


@pytest.mark.parametrize(
    ("kills", "env_steps"), [(3, 300), pytest.param(50, 1_500, marks=pytest.mark.slow)]
)
def test_a_run_that_was_killed_again_and_again_ends_as_if_it_never_was(
    server: Server, tmp_path: Path, kills: int, env_steps: int
) -> None:
    server.start(tmp_path / "unbroken", env_steps)
    assert server.end() == 0
    rng = np.random.default_rng(0)
    broken, finished = 0, 0
    run = tmp_path / "run-0"
    while broken < kills:
        before = newest(run)
        process = server.start(run, env_steps)
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0, 1.2))
        else:
            # While a checkpoint is being written, some moments after its folder was made.
            deadline = time.monotonic() + rng.uniform(0, 1.2)
            while time.monotonic() < deadline or not list(run.glob("checkpoints/.0*")):
                if time.monotonic() > deadline + 5:
                    break
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.02))
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        status = server.end()
        assert status in (0, -signal.SIGKILL)
        assert newest(run) >= before, "a checkpoint was lost"
        if status == 0:
            assert_same_run(run, tmp_path / "unbroken")
            finished += 1
            run = tmp_path / f"run-{finished}"
        else:
            broken += 1
    server.start(run, env_steps)
    assert server.end() == 0
    assert_same_run(run, tmp_path / "unbroken")


def assert_same_run(run: Path, unbroken: Path) -> None:
    one, two = state_of(run), state_of(unbroken)
    assert one.keys() == two.keys() and len(one) == 5
    for name, content in one.items():
        assert content == two[name], name
    assert logs(run) == logs(unbroken)
    # Nothing of what was broken off is left over.
    assert not list(run.rglob(".*"))
    assert len(list(run.glob("checkpoints/*"))) == 1
