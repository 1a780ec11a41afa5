from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
