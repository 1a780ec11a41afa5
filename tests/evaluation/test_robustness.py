from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from core_repr import cli
from core_repr.config import EnvironmentConfig
from core_repr.environments import distraction_choices, make_environment
from core_repr.evaluation import RandomAgent, conditions, robustness

LENGTH = 3


class Foggy(gym.Env[Any, Any]):
    """A step of action 1 is worth 1 without distractions, and less, the larger their scale is."""

    observation_space = gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    made: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(self, **changes: Any) -> None:
        self.made.append(changes)
        self.fog = changes["scale"] if changes.get("difficulty") else 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros((8, 8, 3), np.uint8), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        reward = float(action[0]) * (1 - self.fog)
        return np.zeros((8, 8, 3), np.uint8), reward, False, self.steps == LENGTH, {}


class Always:
    def predict(self, *_: Any, **__: Any) -> tuple[Any, Any]:
        return np.ones(1, np.float32), None


def named(tried: list[Any], group: str) -> dict[str, Any]:
    return {c.name: dict(c.changes) for c in tried if c.group == group}


def test_what_is_tried_of_the_suite() -> None:
    tried = conditions({"difficulty": "medium", "dynamic": False, "num_videos": 2})
    assert named(tried, "reference")["without distractions"] == {"difficulty": None}
    trained = named(tried, "reference")["as trained"]
    assert trained["scale"] == 0.2 and trained["dynamic"] is False and trained["lighting"] is False
    seen = {**trained, "split": "train", "num_videos": 2}
    assert named(tried, "reference")["training backgrounds"] == seen
    hard = named(tried, "level")["hard"]
    assert hard == {**trained, "difficulty": "hard", "scale": 0.3, "num_videos": None}
    assert list(named(tried, "scale")) == ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]
    assert named(tried, "scale")["0.2"] == trained
    alone = named(tried, "alone")
    assert list(alone) == ["background", "camera", "colours", "lighting"]
    for place, (part, changes) in enumerate(alone.items()):
        on = [changes[name] for name in ("background", "camera", "color", "lighting")]
        assert on == [place == other for other in range(4)], part
    assert named(tried, "movement") == {"static": trained, "dynamic": {**trained, "dynamic": True}}


def test_what_an_environment_does_not_know_is_not_tried() -> None:
    tried = conditions({"difficulty": "hard"}, {"difficulty", "dynamic", "camera", "textures"})
    assert {c.group for c in tried} == {"reference", "level", "alone", "movement"}
    assert list(named(tried, "alone")) == ["camera", "textures"]
    assert "training backgrounds" not in named(tried, "reference")
    # Clips need a place: backgrounds, and in a picture what tells where it is.
    known = {"difficulty", "split", "camera", "background", "backgrounds", "mask_key"}
    for trained in ({"backgrounds": None, "mask_key": "grass"}, {"mask_key": None}):
        tried = conditions({"difficulty": "hard", **trained}, known)
        assert list(named(tried, "alone")) == ["camera"]
        assert "training backgrounds" not in named(tried, "reference")
    with pytest.raises(ValueError, match="no backgrounds"):
        conditions({"difficulty": "hard"}, known, "clips")
    with pytest.raises(ValueError, match=r"no argument 'difficulty'.*DistractionWrapper"):
        conditions({}, {"frame_size"})


def test_an_environment_without_levels_is_tried_with_each_choice() -> None:
    door = EnvironmentConfig("distracting_robosuite/Door-v0", {}, (-1.0,), (1.0,))
    choices = distraction_choices(door)
    tried = conditions({"distractions": "color"}, {"distractions"}, None, choices)
    assert [(c.group, c.name, dict(c.changes)) for c in tried] == [
        ("reference", "without distractions", {"distractions": None}),
        ("reference", "as trained", {"distractions": "color"}),
        ("distractions", "color", {"distractions": "color"}),
        ("distractions", "color-camera", {"distractions": "color-camera"}),
    ]
    made: list[dict[str, Any]] = []

    def make(**changes: Any) -> Foggy:
        made.append(changes)
        return Foggy(scale=0.5, difficulty=changes.get("distractions"))

    report = robustness(Always(), make, tried, episodes=1)
    assert [r.evaluation.mean for r in report.results] == [3, 1.5, 1.5, 1.5]
    assert made[-1] == {"distractions": None}
    robustness(Always(), make, tried[1:], episodes=1)
    assert made[-1] == {}
    with pytest.raises(ValueError, match="no backgrounds"):
        conditions({}, {"distractions"}, "clips", choices)


def test_what_cannot_be_made_is_said_before_anything_is_played() -> None:
    played: list[int] = []

    def make(**changes: Any) -> Foggy:
        if changes.get("difficulty") == "hard":
            raise ValueError("the fog is too thick")
        return Foggy(**{"scale": 0.5, **changes})

    with pytest.raises(ValueError, match="too thick"):
        robustness(Always(), make, progress=lambda *_: played.append(1))
    assert not played


def test_real_videos(tmp_path: Path) -> None:
    street = tmp_path / "street"
    street.mkdir()
    for number in range(5):
        (street / f"{number}.mp4").touch()
    few = named(conditions(videos=street), "reference")["videos of street"]
    assert few["backgrounds"] == str(street) and few["num_videos"] == 2
    assert few["difficulty"] == "medium" and few["scale"] == 0.2
    # However many clips the training was validated with.
    more = named(conditions({"num_videos": 9}, videos=street), "reference")["videos of street"]
    assert more == few
    davis = named(conditions(videos="davis"), "reference")["videos of davis"]
    assert davis["backgrounds"] == "davis" and "num_videos" not in davis
    with pytest.raises(FileNotFoundError, match="nowhere"):
        conditions(videos=tmp_path / "nowhere")


def test_a_report_of_returns_that_are_known() -> None:
    Foggy.made.clear()
    asked: list[tuple[str, int]] = []
    tried = conditions({"difficulty": "medium"})
    report = robustness(
        Always(), Foggy, tried, episodes=2, progress=lambda c, n: asked.append((c.name, n))
    )
    # Every condition counts, and what is the same is made once, to see whether it can be, and once
    # to play; one more is for random actions.
    different = len({json.dumps(c.changes) for c in tried})
    assert len(asked) == 2 * len(tried)
    assert len(Foggy.made) == 1 + 2 * different and different < len(tried)
    returned = {(r.condition.group, r.condition.name): r.evaluation.mean for r in report.results}
    assert returned["reference", "without distractions"] == LENGTH
    assert returned["scale", "0.4"] == pytest.approx(0.6 * LENGTH)
    assert returned["level", "hard"] == pytest.approx(0.7 * LENGTH)
    random = report.at_random.mean
    kept = (0.6 * LENGTH - random) / (LENGTH - random)
    assert f"|  | 0.4 | 2 ± 0 | {kept:.0%} |" in report.table()
    told = json.loads(json.dumps(report.to_dict()))
    (foggy,) = (c for c in told["conditions"] if c["name"] == "0.4")
    assert foggy["returns"] == pytest.approx([0.6 * LENGTH] * 2)
    assert foggy["kept"] == pytest.approx(kept)
    curve, bars = report.figure("Foggy").axes
    heights = curve.lines[0].get_ydata()
    assert heights == pytest.approx([LENGTH * (1 - s) for s in (0, 0.1, 0.2, 0.3, 0.4, 0.5)])
    widths = [patch.get_width() for patch in bars.patches]
    others = [r.evaluation.mean for r in report.results if r.condition.group != "scale"]
    assert widths == pytest.approx(others)


def test_an_agent_that_is_no_better_than_chance_keeps_nothing() -> None:
    report = robustness(RandomAgent(Foggy.action_space), Foggy, conditions(), episodes=1)
    assert report.share(report.results[1].evaluation) is None
    *others, at_random = report.table().splitlines()[2:]
    assert all(line.endswith("|  |") for line in others) and at_random.endswith("| 0% |")
    with pytest.raises(ValueError, match="no condition"):
        robustness(Always(), Foggy, [])
    with pytest.raises(ValueError, match="episodes is 0"):
        robustness(Always(), Foggy, conditions(), episodes=0)


@pytest.mark.slow
def test_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []

    def make(environment: Any, **changes: Any) -> Any:
        made.append(changes)
        return gym.wrappers.TimeLimit(make_environment(environment, **changes), 2)

    monkeypatch.setattr("core_repr.environments.make_environment", make)
    output = tmp_path / "robust"
    typed = ["robustness", "cartpole-swingup-medium-v1", "--episodes", "1"]
    few = conditions({"difficulty": "medium", "dynamic": True})[:2]
    monkeypatch.setattr("core_repr.evaluation.conditions", lambda *_: few)
    assert cli.main([*typed, "--output", str(output)]) == 0
    told = capsys.readouterr().out
    assert "| reference | without distractions |" in told and "as trained" in told
    assert [changes["split"] for changes in made] == ["val"] * 5
    assert {path.name for path in output.iterdir()} == {
        f"robustness.{ending}" for ending in ("md", "png", "json")
    }
    assert "cartpole-swingup-medium-v1" in (output / "robustness.md").read_text()
    assert len(json.loads((output / "robustness.json").read_text())["conditions"]) == 2


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--output", "file"], "not a folder"),
        (["--output", "no/folder"], "no folder"),
        (["--env", "Reacher-v9"], "not the id"),
        (["--env", "Reacher-v5"], "no argument 'difficulty'"),
        (["--env-args", "fog=1"], "no argument 'fog'"),
        (["--episodes", "0"], "at least 1"),
        (["--videos", "nowhere"], "nowhere"),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert cli.main(["robustness", "cartpole-swingup-medium-v1", *typed]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("core-repr: ") and message in error
