from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core_repr import cli
from core_repr.benchmarks.latents import Evaluation, _figures
from core_repr.config import CoReConfig, EnvironmentConfig
from core_repr.world_model import CoReWorldModel


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig], tmp_path: Path) -> Path:
    """A model of an environment whose episodes take ten agent steps."""
    environment = EnvironmentConfig(
        "distracting_control/cartpole-swingup-v0",
        {"frame_size": 40, "action_repeat": 100},
        (-1.0,),
        (1.0,),
        100,
    )
    config = tiny_config(world_model={"frame_size": 40, "crop_size": 36})
    CoReWorldModel(config.replace(environment=environment)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.slow
def test_both_are_trained_and_compared_and_nothing_is_done_twice(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curves, figures = tmp_path / "curves", tmp_path / "figures.json"
    typed = f"""bench latents --model {model} --env-steps 3000 --evaluations 2 --episodes 1
        --seeds 0 1 --folder {curves} --json {figures}""".split()
    assert cli.main([*typed, "--kinds", "latents"]) == 0
    assert sorted(path.name for path in curves.iterdir()) == [
        "latents-seed-0.json",
        "latents-seed-1.json",
    ]
    before = (curves / "latents-seed-0.json").read_bytes()
    assert cli.main(typed) == 0
    assert len(list(curves.iterdir())) == 4
    assert (curves / "latents-seed-0.json").read_bytes() == before
    curve = json.loads((curves / "pixels-seed-1.json").read_text())
    assert [evaluation["env_steps"] for evaluation in curve] == [0, 1500, 3000]
    names = [figure["name"] for figure in json.loads(figures.read_text())["figures"]]
    assert "latents, return at 3,000 environment steps" in names
    assert "pixels, return at equal time" in names
    assert cli.main([*typed, "--episodes", "0"]) == 1
    assert "--episodes must be at least 1, not 0" in capsys.readouterr().err


def test_a_training_ends_when_its_time_is_up(model: Path, tmp_path: Path) -> None:
    typed = f"""bench latents --model {model} --env-steps 3000 --episodes 1 --seeds 0
        --minutes 0 --kinds pixels --folder {tmp_path}""".split()
    assert cli.main(typed) == 0
    curve = json.loads((tmp_path / "pixels-seed-0.json").read_text())
    assert [evaluation["env_steps"] for evaluation in curve] == [0, 100]


def test_returns_are_compared_at_equal_steps_and_at_equal_time() -> None:
    def curve(*points: tuple[int, float, float]) -> list[Evaluation]:
        return [Evaluation(*point) for point in points]

    pairs = [
        (
            curve((0, 0, 1), (100, 10, 20), (200, 20, 40)),
            curve((0, 0, 2), (50, 15, 4), (100, 30, 10)),
        ),
        (
            curve((0, 0, 1), (100, 40, 30), (200, 80, 60)),
            curve((0, 0, 2), (50, 75, 6), (100, 150, 10)),
        ),
    ]
    figures = {figure.name: figure.value for figure in _figures(pairs)}
    assert figures == {
        "seeds": 2,
        "latents, return at 100 environment steps": 25,
        "pixels, return at 100 environment steps": 10,
        "latents by pixels, at 100 environment steps": 2.5,
        "latents, return at equal time": 50,
        "pixels, return at equal time": 5,
        "latents by pixels, at equal time": 10,
        "latents, training": 50,
        "pixels, training": 90,
    }
