"""From runs to a folder for the Hub: which seed, what it is tried under, what its card tells."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from core_repr import cli, publishing, zoo
from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig
from core_repr.evaluation.pictures import see

FOGGY = "core-repr-tests/Foggy-v0"
LEVELS = {None: 0, "easy": 1, "medium": 2, "hard": 3}


class Foggy(gym.Env[Any, Any]):
    """Four steps, each worth 10 less three times what the level takes; pixels of noise."""

    observation_space = gym.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    action_space = gym.spaces.Box(-2, 3, (2,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        difficulty: str | None = None,
        dynamic: bool = False,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.reward = 10.0 - 3 * LEVELS[difficulty]
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._frame(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self._frame(), self.reward, False, self.steps == 4, {}

    def render(self) -> Any:
        return self._frame()

    def _frame(self) -> Any:
        return self.np_random.integers(256, size=(16, 16, 3), dtype=np.uint8)


gym.register(FOGGY, Foggy)


@pytest.fixture
def make_run(tmp_path: Path, tiny_config: Callable[..., CoReConfig]) -> Callable[..., Path]:
    """Leaves what a training in :class:`Foggy` leaves."""

    def make(folder: str, seed: int, last: float, **changes: Any) -> Path:
        config = tiny_config(**changes)
        assert config.environment is not None
        environment = dataclasses.replace(
            config.environment,
            id=FOGGY,
            arguments={"difficulty": "medium", "dynamic": True},
            wrappers=(),
            action_repeat=1,
        )
        run = tmp_path / folder
        agent = CoReSAC(
            "CoRePolicy", None, config.replace(environment=environment), seed=seed, device="cpu"
        )
        agent.save_pretrained(run / "model")
        settings = {
            "schedule": {"seed": seed},
            "environment": {"validation": {"split": "val"}},
            "versions": {},
        }
        (run / "settings.json").write_text(json.dumps(settings))
        evaluation = {
            **{"env_steps": 800, "mean": last, "standard_error": 1.0},
            **{"returns": [last, last], "lengths": [4, 4], "seeds": [0, 1]},
        }
        (run / "evaluations.jsonl").write_text(json.dumps(evaluation) + "\n")
        rows = f"time/env_steps,eval/mean_reward\n400,1\n800,{last}\n"
        (run / "progress.csv").write_text(rows)
        return run

    return make


def test_the_best_seed_becomes_the_model(make_run: Callable[..., Path]) -> None:
    runs = [make_run(f"runs/seed-{seed}", seed, last) for seed, last in enumerate((5, 9, 7))]
    assert publishing.best_of(runs[0].parent) == (runs[1], [runs[0], runs[2]])
    assert publishing.best_of(runs[0]) == (runs[0], [])
    (runs[0] / "evaluations.jsonl").write_text('{"env_steps": 800, "mean": null}\n')
    (runs[2] / "evaluations.jsonl").write_text("")
    assert publishing.best_of(runs[0].parent) == (runs[1], [runs[0], runs[2]])


def test_a_card_tells_of_levels_and_seeds(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_in: list[Any] = []

    def see_a_little(agent: Any, training: Any, validation: Any, **options: Any) -> Any:
        shown_in.extend((env.unwrapped.reward, env.spec.kwargs) for env in (training, validation))
        return see(agent, training, validation, training_episodes=2, updates=2, **options)

    monkeypatch.setattr(publishing, "see", see_a_little)
    run, other = make_run("a", 3, 5), make_run("b", 4, 6)
    (run / "probes.json").write_text('{"model": "/home/me/x", "r2": {"latent": {"angle": 0.876}}}')
    folder = tmp_path / "published"
    folder.mkdir()
    stages = []

    def progress(unit: str, count: int) -> Callable[[], object]:
        stages.append([unit, count, 0])
        stage = stages[-1]
        return lambda: stage.__setitem__(2, stage[2] + 1)

    facts = publishing.prepare(
        run, "user/foggy", folder, 2, others=[other], progress=progress
    ).facts
    assert stages == [
        ["episode", 2, 2],
        ["episode", 6, 6],
        ["episode", 2, 2],
        ["episode", 3, 3],
        ["update", 2, 2],
    ]
    medium = {"difficulty": "medium", "dynamic": True}
    assert shown_in == [(4.0, {**medium, "split": split}) for split in ("train", "val")]
    card = (folder / "README.md").read_text()
    rows = [line for line in card.splitlines() if line.endswith("0.0 |")]
    assert rows == [
        "| Foggy | 2 | 16.0 ± 0.0 |",
        "| without distractions | 2 | 40.0 ± 0.0 |",
        "| level easy | 2 | 28.0 ± 0.0 |",
        "| level hard | 2 | 4.0 ± 0.0 |",
        "| random actions | 2 | 40.0 ± 0.0 |",
        "| 3 (this model) | 800 | 2 | 16.0 ± 0.0 |",
        "| 4 | 800 | 2 | 16.0 ± 0.0 |",
    ]
    assert "Mean over the 2 seeds: 16.0 ± 0.0" in card and "| angle | 0.88 |" in card
    assert {"sees.png", "seeds.json", "robustness.json", "learning_curve.png"} <= facts.files
    assert "![What the model sees, expects and imagines](sees.png)" in card
    assert not any("/home/me" in file.read_text() for file in folder.glob("*.json"))
    # Without evaluating again, it would be the same.
    again = tmp_path / "again"
    again.mkdir()
    assert publishing.prepare(folder, "user/foggy", again).facts.robustness == facts.robustness


def test_what_a_run_holds_already_is_taken(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run("a", 0, 5)
    tried = {
        **{"group": "alone", "name": "ca|mera", "changes": {"backgrounds": "/home/me/videos"}},
        **{"mean": 3.0, "standard_error": None, "returns": [3.0]},
    }
    (run / "robustness.json").write_text(json.dumps({"conditions": [tried]}))
    folder = tmp_path / "published"
    folder.mkdir()
    publishing.prepare(run, "user/foggy", folder, 1, picture=False)
    card = (folder / "README.md").read_text()
    assert "| ca\\|mera alone | 1 | 3.0 |" in card and "hard" not in card
    assert "/home/me" not in (folder / "robustness.json").read_text()


@pytest.mark.parametrize("differs_in", ["config", "episodes"])
def test_another_training_is_refused(
    make_run: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    differs_in: str,
) -> None:
    changes = {"agent": {"batch_size": 3}} if differs_in == "config" else {}
    run, other = make_run("a", 0, 5), make_run("b", 1, 5, **changes)
    if differs_in == "episodes":
        settings = json.loads((other / "settings.json").read_text())
        settings["schedule"]["episode_steps"] = 100
        (other / "settings.json").write_text(json.dumps(settings))
    typed = ["zoo", "push", str(run), "user/foggy", "--yes", "--other-seeds", str(other)]
    assert cli.main(typed) == 1
    assert f"{other} is not another seed of the same training" in capsys.readouterr().err


def test_the_same_seed_again_is_refused(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run, same, other = make_run("a", 0, 5), make_run("b", 0, 5), make_run("c", 1, 5)
    for others, repeated, owner in (([other, same], same, run), ([other, other], other, other)):
        sentence = f"{repeated} is not another seed: .* is that of {owner} already"
        with pytest.raises(ValueError, match=sentence):
            publishing.prepare(run, "user/foggy", tmp_path / "published", 0, others=others)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("robustness.json", {"conditions": [{"group": "level"}]}),
        ("robustness.json", {"conditions": 3}),
        ("robustness.json", {"conditions": [3]}),
        ("robustness.json", {"conditions": None}),
        ("seeds.json", {"trainings": [{"training": {"seed": "x"}}]}),
        ("probes.json", {"r2": {"latent": {"angle": "high"}}}),
        ("probes.json", {"r2": []}),
    ],
)
def test_records_that_do_not_fit_are_told(
    make_run: Callable[..., Path], file: str, content: dict[str, Any]
) -> None:
    model = make_run("a", 0, 5) / "model"
    (model / file).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="records of the training lack or have something unknown"):
        zoo.summarize("a", model)
    if file == "seeds.json":
        return  # It is made anew.
    folder = model.parent.parent / "published"
    folder.mkdir()
    with pytest.raises(ValueError, match="records of the training lack or have something unknown"):
        publishing.prepare(model.parent, "user/foggy", folder, 0)
