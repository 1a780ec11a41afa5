"""The options that choose an environment, from the command line to what records it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from core_repr import cli, training, zoo
from core_repr.agent import CoReSAC
from core_repr.commands.environment import DistractingControl, EnvironmentChanges, import_module
from core_repr.config import EnvironmentConfig
from core_repr.environments import EnvironmentChoice, label, split_arguments
from core_repr.zoo import recipes

CARTPOLE = "distracting_control/cartpole-swingup-v0"
BACKGROUND_ONLY = ["--difficulty", "hard", "--no-camera", "--no-color"]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What ``core-repr train`` asks for, instead of a training."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(training, "train", lambda *arguments, **_: asked.append(arguments))
    return asked


def recorded(**arguments: Any) -> EnvironmentConfig:
    return EnvironmentConfig(CARTPOLE, arguments, (-1.0,), (1.0,), 8)


@pytest.mark.parametrize(
    ("options", "training_videos", "validation_videos"),
    [
        (["--num-videos", "2"], 2, None),
        (["--num-videos", "60", "--validation-videos", "30"], 60, 30),
        (["--validation-videos", "3"], None, 3),
    ],
)
def test_background_only_with_numbers_of_videos(
    trainings: list[tuple[Any, ...]],
    options: list[str],
    training_videos: int | None,
    validation_videos: int | None,
) -> None:
    assert cli.main(["train", *BACKGROUND_ONLY, *options]) == 0
    ((choice, _, run, *_),) = trainings
    assert choice.arguments["difficulty"] == "hard"
    assert choice.arguments["camera"] is choice.arguments["color"] is False
    assert choice.training == {"split": "train", "num_videos": training_videos}
    assert choice.validation == {"split": "val", "num_videos": validation_videos}
    assert str(run).startswith("runs/cartpole-swingup-hard-background")
    made = [choice.make(validation) for validation in (False, True)]
    for env, count in zip(made, (training_videos or 60, validation_videos or 30), strict=True):
        parts = env.unwrapped.distractions
        assert set(parts) == {"background"} and len(parts["background"]._clips) == count
        env.close()


def test_the_preset_paper_renders_in_full_unless_asked_otherwise(
    trainings: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    for typed in ([], ["--preset", "paper"], ["--preset", "paper", "--rendering", "fast"]):
        assert cli.main(["train", *typed]) == 0
    renderings = [choice.arguments.get("rendering", "fast") for choice, *_ in trainings]
    assert renderings == ["fast", "full", "fast"]
    assert trainings[1][0].arguments["frame_size"] == 100
    env = trainings[1][0].make()
    assert env.spec.kwargs["rendering"] == "full"
    env.close()
    with pytest.raises(SystemExit):
        cli.main(["train", "--preset", "paper", "--help-all"])
    assert "(default: full)" in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--num-videos", "0"], "--num-videos must be at least 1, not 0; .* --no-background"),
        (["--validation-videos", "-1"], "--validation-videos must be at least 1, not -1"),
        (["--num-videos", "61"], "has 60 clips in split 'train', but 61 are asked for"),
        (["--validation-videos", "31"], "has 30 clips in split 'val', but 31 are asked for"),
        (["--no-background", "--no-camera", "--no-color"], "nothing to distract with.*none"),
        (["--no-background", "--num-videos", "2"], "--num-videos counts background videos, but"),
        (["--difficulty", "none", "--validation-videos", "2"], "--validation-videos counts"),
        (["--backgrounds", ""], "backgrounds='' is empty"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run_begins(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    options: list[str],
    words: str,
) -> None:
    run = tmp_path / "run"
    assert cli.main(["train", "--run", str(run), *options]) == 1
    error = capsys.readouterr().err
    assert re.search(words, error) and error.count("\n") == 1
    assert not run.exists()


def test_every_choice_reaches_the_environment_and_comes_back_from_a_model() -> None:
    chosen = DistractingControl(
        "reacher-easy",
        "medium",
        False,
        True,
        False,
        True,
        True,
        "procedural",
        3,
        5,
        True,
        "full",
        2,
    )
    training_arguments, validation_arguments = chosen.splits()
    choice = EnvironmentChoice(
        chosen.id, chosen.arguments(24), training_arguments, validation_arguments
    )
    for validation, split, count in ((False, "train", 3), (True, "val", 5)):
        env = choice.make(validation)
        expected = {
            "difficulty": "medium", "dynamic": False, "camera": False, "lighting": True,
            "suite_camera": True,
            "rendering": "full", "action_repeat": 2, "split": split, "num_videos": count,
        }  # fmt: skip
        assert expected.items() <= env.spec.kwargs.items()
        assert set(env.unwrapped.distractions) == {"background", "color", "lighting"}
        env.close()
    assert chosen.label == (
        "reacher-easy-medium-static-background-color-lighting-3-videos-suite-camera-full"
    )


def test_labels_of_the_plain_levels_are_short() -> None:
    assert DistractingControl().label == "cartpole-swingup-easy"
    assert DistractingControl(difficulty="none", dynamic=False).label == "cartpole-swingup-none"


def test_a_card_says_what_distracts() -> None:
    common = {"difficulty": "hard", "dynamic": True}
    assert label(recorded(**common)) == "cartpole-swingup, hard, dynamic"
    background_only = {**common, "camera": False, "color": False, "num_videos": 2}
    assert label(recorded(**background_only)) == (
        "cartpole-swingup, hard, dynamic, background only, 2 videos"
    )
    lit = {**common, "lighting": True}
    assert label(recorded(**lit)) == "cartpole-swingup, hard, dynamic, with lighting"
    others = {**common, "background": False, "suite_camera": True, "num_videos": None}
    assert label(recorded(**others)) == (
        "cartpole-swingup, hard, dynamic, camera and colours only, the suite's camera"
    )


def test_a_recipe_takes_every_option(trainings: list[tuple[Any, ...]], tmp_path: Path) -> None:
    fields = json.loads((recipes.FOLDER / "cartpole-swingup-easy-v0.json").read_text())
    fields["environment"]["arguments"] |= {
        "difficulty": "hard",
        "camera": False,
        "color": False,
        "rendering": "full",
    }
    fields["environment"]["training"]["num_videos"] = 2
    fields["environment"]["validation"]["num_videos"] = 7
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(fields))
    assert cli.main(["train", "--recipe", str(path)]) == 0
    assert cli.main(["train", "--recipe", str(path), "--camera", "--num-videos", "9"]) == 0
    (one, *_), (other, *_) = trainings
    assert one.arguments["rendering"] == "full" and one.arguments["camera"] is False
    assert (one.training["num_videos"], one.validation["num_videos"]) == (2, 7)
    assert "camera" not in other.arguments and other.training["num_videos"] == 9


def test_a_recipe_for_any_environment(trainings: list[tuple[Any, ...]], tmp_path: Path) -> None:
    fields = json.loads((recipes.FOLDER / "cartpole-swingup-easy-v0.json").read_text())
    fields["environment"] = {
        "id": "core-repr-tests/Pixels-v0",
        "arguments": {"frame_size": 72, "bounds": {"$tuple": [1, 2]}},
        "training": {"length": 9},
        "validation": {"length": 5},
    }
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(fields))
    assert cli.main(["train", "--recipe", str(path)]) == 0
    ((choice, _, run, *_),) = trainings
    assert choice == EnvironmentChoice(
        "core-repr-tests/Pixels-v0",
        {"frame_size": 72, "bounds": (1, 2), "length": 9},
        {},
        {"length": 5},
    )
    assert run == Path("runs/core-repr-tests-Pixels-v0/seed-0")


def test_of_other_backgrounds_there_are_as_many_as_the_training_validated_with(
    tmp_path: Path,
) -> None:
    environment = recorded(difficulty="hard", num_videos=2)
    assert split_arguments(environment, "train", tmp_path) == {"split": "train"}
    assert split_arguments(environment, "val", tmp_path) == {"split": "val", "num_videos": None}
    settings = {"environment": {"validation": {"split": "val", "num_videos": 5}}}
    run = tmp_path / "run"
    for place in (run, run / "model", run / "checkpoints" / "00000003"):
        place.mkdir(parents=True)
    (run / "settings.json").write_text(json.dumps(settings))
    for place in (run, run / "model", run / "checkpoints" / "00000003"):
        found = split_arguments(environment, "val", place)
        assert found == {"split": "val", "num_videos": 5}
    for broken in ({"environment": []}, {"environment": {"validation": [1]}}):
        (run / "settings.json").write_text(json.dumps(broken))
        assert split_arguments(environment, "val", run)["num_videos"] is None
    choice = EnvironmentChoice.recorded(environment, run)
    assert choice.arguments["num_videos"] == 2 and choice.validation["num_videos"] is None


@pytest.mark.parametrize(
    ("changes", "split", "expected"),
    [
        ({}, "val", {"split": "val", "num_videos": None}),
        ({}, "train", {"split": "train"}),
        ({"difficulty": "none"}, "val", {"difficulty": None, "num_videos": None}),
        ({"difficulty": "easy"}, "train", {"difficulty": "easy", "num_videos": None}),
        ({"num_videos": 4, "difficulty": "easy"}, "train", {"num_videos": 4}),
        ({"camera": True, "color": False}, "val", {"camera": True, "color": False}),
        ({"rendering": "full", "suite_camera": True}, "val", {"suite_camera": True}),
        ({"dynamic": False}, "val", {"dynamic": False}),
    ],
)
def test_changes_of_a_model_s_own_environment(
    changes: dict[str, Any], split: Any, expected: dict[str, Any], tmp_path: Path
) -> None:
    environment = recorded(difficulty="hard", camera=False, color=False, num_videos=2)
    found = EnvironmentChanges(**changes).apply(environment, split, tmp_path)
    assert expected.items() <= found.items()


@pytest.mark.parametrize(
    "changes", [{"scale": 0.3}, {"camera": True}, {"dynamic": True}, {"num_videos": 2}]
)
def test_a_change_of_distractions_that_are_not_there_is_refused(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    for environment, more in (
        (recorded(difficulty=None), {}),
        (recorded(difficulty="easy"), {"difficulty": "none"}),
    ):
        with pytest.raises(ValueError, match="changes nothing without distractions"):
            EnvironmentChanges(**changes, **more).apply(environment, "val", tmp_path)
    EnvironmentChanges(camera=False).apply(recorded(difficulty=None), "val", tmp_path)
    EnvironmentChanges(**changes, difficulty="easy").apply(
        recorded(difficulty=None), "val", tmp_path
    )


def test_a_change_that_an_environment_does_not_know_is_refused(tmp_path: Path) -> None:
    own = EnvironmentConfig("core-repr-tests/Pixels-v0", {}, (-1.0,), (1.0,), 1)
    with pytest.raises(
        ValueError,
        match=r"has no argument 'camera'; leave it out, or name one of action_size",
    ):
        EnvironmentChanges(camera=False).apply(own, "val", tmp_path)
    assert EnvironmentChanges().apply(own, "val", tmp_path) == {}
    changes = EnvironmentChanges(env_args=("length=3", "terminates=true"))
    assert changes.apply(own, "val", tmp_path) == {"length": 3, "terminates": True}
    with pytest.raises(ValueError, match="'length' is not an argument of the form name=value"):
        EnvironmentChanges(env_args=("length",)).apply(own, "val", tmp_path)


@pytest.mark.slow
def test_evaluate_and_probe_pass_the_changes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []

    class Asked(ValueError):
        pass

    def make(environment: EnvironmentConfig, **arguments: Any) -> gym.Env[Any, Any]:
        asked.append(arguments)
        raise Asked("asked")

    monkeypatch.setattr("core_repr.environments.make_environment", make)
    name = "cartpole-swingup-medium-v1"
    typed = ["--no-camera", "--color", "--num-videos", "3", "--rendering", "full"]
    assert cli.main(["evaluate", name, *typed]) == 1
    assert cli.main(["probe", name, *typed]) == 1
    assert cli.main(["probe", name]) == 1
    changes = {"camera": False, "color": True, "num_videos": 3, "rendering": "full"}
    assert asked[0] == {"split": "val", **changes}
    assert asked[1] == {"split": "train", "physics_state": True, **changes}
    assert asked[2] == {"split": "train", "physics_state": True}


def test_a_module_beside_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "my_own_rooms.py").write_text("import gymnasium\nregistered = True\n")
    (tmp_path / "my_broken_rooms.py").write_text("import a_package_that_is_missing\n")
    import_module("my_own_rooms")
    assert sys.modules["my_own_rooms"].registered
    import_module(None)
    with pytest.raises(ModuleNotFoundError, match=r"no module 'my_rooms.there' to import"):
        import_module("my_rooms.there")
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_missing"):
        import_module("my_broken_rooms")
    assert cli.main(["evaluate", "cartpole-swingup-easy-v0", "--import", "nowhere"]) == 1
    assert "no module 'nowhere'" in capsys.readouterr().err


@pytest.mark.slow
def test_background_only_is_trained_evaluated_and_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    sizes = """--world-model.frame-size 40 --world-model.crop-size 36 --agent.batch-size 2
        --agent.sequence-length 4 --agent.learning-starts 125 --agent.initial-updates 1
        --agent.updates-per-step 0.02 --evaluation-episodes 1 --device cpu"""
    typed = ["train", "--run", str(run), *BACKGROUND_ONLY, "--num-videos", "2"]
    assert (
        cli.main([*typed, "--validation-videos", "3", *sizes.split(), "--env-steps", "2000"]) == 0
    )
    settings = json.loads((run / "settings.json").read_text())
    assert settings["environment"]["training"] == {"split": "train", "num_videos": 2}
    arguments = CoReSAC.from_pretrained(run / "model", device="cpu").environment_config.arguments
    assert (arguments["num_videos"], arguments["camera"], arguments["split"]) == (2, False, "train")
    summary = zoo.summarize("mine", run / "model")
    assert summary.level == "hard, dynamic, background only, 2 videos"
    assert cli.main(["train", "--resume", str(run), "--env-steps", "3000", "--device", "cpu"]) == 0
    typed = ["train", "--from", str(run), "--run", str(tmp_path / "next"), "--env-steps", "5000"]
    assert cli.main([*typed, "--agent.learning-starts", "125", "--device", "cpu"]) == 0
    further = json.loads((tmp_path / "next" / "settings.json").read_text())
    assert further["environment"]["validation"] == {"split": "val", "num_videos": 3}
    capsys.readouterr()
    output = tmp_path / "outcome.json"
    typed = ["evaluate", str(run / "model"), "--episodes", "1", "--output", str(output)]
    for options, number in (([], 3), (["--num-videos", "30"], 30)):
        assert cli.main([*typed, *options]) == 0
        outcome = json.loads(output.read_text())["environment"]["arguments"]
        assert (outcome["num_videos"], outcome["split"], outcome["camera"]) == (
            number,
            "val",
            False,
        )
