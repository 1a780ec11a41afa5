import json
from pathlib import Path

import pytest
import torch

from core_repr import cli
from core_repr.benchmarks.resnet import resnet18
from core_repr.benchmarks.wrapper import benchmark_wrapper


def test_resnet18_is_the_one_that_everybody_knows() -> None:
    network = resnet18()
    # As torchvision counts them, less the last layer's 513,000.
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_689_512 - 513_000
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert network(torch.zeros(2, 3, 224, 224)).shape == (2, 512)


def test_each_wrapper_is_measured_beside_a_resnet() -> None:
    threads = torch.get_num_threads()
    rounds = []
    figures = benchmark_wrapper("compact", 2, 2, 1, lambda: rounds.append(0))
    assert len(rounds) == 2 and torch.get_num_threads() == threads
    assert [figure.name for figure in figures[::3]] == [
        "CoReWrapper, 1 environment",
        "CoReVectorWrapper, each of 2 environments",
        "CoReVecEnvWrapper, each of 2 environments",
    ]
    for own, other, ratio in zip(figures[::3], figures[1::3], figures[2::3], strict=True):
        assert own.unit == other.unit == "ms/step" and ratio.unit == ""
        assert ratio.value == pytest.approx(other.value / own.value) and ratio.value > 1


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrapper.json"
    typed = f"bench wrapper --environments 2 --rounds 1 --json {file}"
    assert cli.main(typed.split()) == 0
    assert "1 thread" in capsys.readouterr().out
    assert len(json.loads(file.read_text())["figures"]) == 9
    assert cli.main(["bench", "wrapper", "--threads", "0"]) == 1
    assert "--threads must be at least 1, not 0" in capsys.readouterr().err
