import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from core_repr import cli, training, zoo
from core_repr.agent import CoReSAC
from core_repr.environments import EnvironmentChoice
from core_repr.zoo import recipes

EASY = "cartpole-swingup-easy-v0"


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What ``core-repr train`` asks for, instead of a training."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(training, "train", lambda *arguments, **_: asked.append(arguments))
    return asked


@pytest.fixture
def fields() -> dict[str, Any]:
    text = (recipes.FOLDER / f"{EASY}.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The model of a run that walker-walk-medium-v1 can continue from."""
    model = tmp_path / "runs" / "walker-walk-medium-v0" / "model"
    shutil.copytree(zoo.find("walker-walk-medium-v1"), model)
    for file in model.glob("*.jsonl"):
        file.unlink()
    return model


def environment_of(name: str) -> EnvironmentChoice:
    """Where a recipe trains, or those that it continues from."""
    recipe = recipes.load(name)
    if recipe.environment is not None:
        return recipe.environment
    assert recipe.continued_from is not None
    return environment_of(recipe.continued_from)


@pytest.mark.parametrize("name", recipes.list_recipes())
def test_shipped_recipes_load_and_can_be_trained(
    name: str,
    trainings: list[tuple[Any, ...]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    recipe = recipes.load(name)
    typed = ["train", "--recipe", name]
    if recipe.continued_from is not None:
        assert cli.main(typed) == 1
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        # What it says to type.
        first, then = (shlex.split(part)[1:] for part in message.split("`")[1::2])
        assert cli.main(first) == 0
        _, before, run, schedule, _, _ = trainings.pop()
        assert before.world_model == recipe.config.world_model
        assert schedule.env_steps < recipe.env_steps
        stem = name.rpartition("-v")[0]
        shipped = next(model for model in zoo.list_models() if model.startswith(stem))
        trained_in = zoo.load(shipped).config.environment
        agent = CoReSAC("CoRePolicy", None, before.replace(environment=trained_in), device="cpu")
        agent.save_pretrained(tmp_path / run / "model")
        assert then[:3] == typed and then[3] == "--from"
        typed = [*typed, "--from", str(tmp_path / then[4])]
    assert cli.main(typed) == 0
    ((choice, config, run, schedule, _, origin),) = trainings
    assert config.replace(environment=None) == recipe.config
    assert (schedule.env_steps, schedule.seed) == (recipe.env_steps, recipe.seed)
    if recipe.continued_from is None:
        assert origin is None
        assert choice == recipe.environment
        assert run == Path("runs") / name.rpartition("-v")[0] / "seed-0"
    else:
        assert origin.model == typed[-1]
        assert choice.id == environment_of(name).id


@pytest.mark.parametrize("name", zoo.list_models())
def test_each_model_has_a_recipe_of_its_name_and_settings(name: str) -> None:
    model = zoo.load(name).config
    recipe = recipes.load(name)
    assert recipe.config == model.replace(environment=None)
    summary = zoo.summarize(name, zoo.find(name))
    assert recipe.env_steps == summary.facts.env_steps and recipe.seed == summary.facts.seed
    assert model.environment is not None
    if recipe.continued_from is not None:
        settings = json.loads((zoo.find(name) / "settings.json").read_text())
        assert settings["continued_from"]["model"] == recipe.continued_from
    choice = environment_of(name)
    assert choice.arguments["action_repeat"] == model.environment.action_repeat
    assert choice.arguments["difficulty"] == model.environment.arguments["difficulty"]
    assert model.environment.id == choice.id


def test_options_change_a_recipe(trainings: list[tuple[Any, ...]]) -> None:
    typed = ["train", "--recipe", EASY, "--seed", "7", "--difficulty", "hard", "--env-steps", "9"]
    assert cli.main([*typed, "--agent.batch-size", "3"]) == 0
    ((choice, config, _, schedule, _, _),) = trainings
    assert choice.arguments["difficulty"] == "hard" and choice.arguments["action_repeat"] == 8
    assert (schedule.seed, schedule.env_steps, config.agent.batch_size) == (7, 9, 3)


def test_a_file_is_a_recipe_too(
    trainings: list[tuple[Any, ...]], fields: dict[str, Any], tmp_path: Path
) -> None:
    fields["environment"]["id"] = "distracting_control/walker-walk-v0"
    (tmp_path / "mine.json").write_text(json.dumps(fields))
    assert cli.main(["train", "--recipe", str(tmp_path / "mine.json")]) == 0
    assert trainings[0][0].id == "distracting_control/walker-walk-v0"


@pytest.fixture
def further(fields: dict[str, Any], tmp_path: Path) -> str:
    """A recipe that continues from a model of the zoo."""
    fields.update(environment=None, env_steps=300_000, continued_from=EASY)
    fields["config"]["agent"]["averaging_rate"] = 0.25
    (tmp_path / "further.json").write_text(json.dumps(fields))
    return str(tmp_path / "further.json")


def test_a_recipe_can_go_on_from_a_model(trainings: list[tuple[Any, ...]], further: str) -> None:
    assert cli.main(["train", "--recipe", further, "--seed", "3"]) == 0
    ((choice, config, run, schedule, _, origin),) = trainings
    model = zoo.load(EASY).config
    assert model.environment is not None
    assert choice == EnvironmentChoice.recorded(model.environment)
    assert config.world_model == model.world_model
    assert (config.agent.averaging_rate, model.agent.averaging_rate) == (0.25, 1.0)
    assert Path(origin.model) == zoo.find(EASY) and origin.agent_steps == 25_000
    assert (schedule.env_steps, schedule.seed) == (300_000, 3)
    assert run == Path("runs") / f"from-{EASY}" / "seed-3"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--difficulty", "hard"], "leave out the environment's options"),
        (["--world-model.crop-size", "60"], f"the sizes of {EASY}"),
        (["--task", "walker-walk"], "leave out the environment's options"),
        (["--from", "walker-walk-medium-v1"], "config.world_model is not that of walker-walk"),
        (["--resume", "runs/x"], "leave out --resume"),
        (["--preset", "paper"], "leave out --preset"),
    ],
)
def test_what_the_model_of_a_recipe_decides_is_refused(
    trainings: list[tuple[Any, ...]],
    capsys: pytest.CaptureFixture[str],
    further: str,
    typed: list[str],
    words: str,
) -> None:
    assert cli.main(["train", "--recipe", further, *typed]) == 1
    assert words in capsys.readouterr().err and trainings == []


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--recipe", "cartpole-swing-easy-v0"], f"did you mean {EASY}"),
        (["--recipe", "x"], "there are ball_in_cup-catch-medium-v0"),
        (["--recipe", EASY, "--preset", "paper"], "leave out --preset"),
        (["--recipe", EASY, "--resume", "runs/x"], "leave out --resume"),
        (["--recipe", EASY, "--from", EASY], "leave out --from"),
    ],
)
def test_what_does_not_go_together_is_refused(
    trainings: list[tuple[Any, ...]],
    capsys: pytest.CaptureFixture[str],
    typed: list[str],
    words: str,
) -> None:
    assert cli.main(["train", *typed]) == 1
    assert words in capsys.readouterr().err and trainings == []


@pytest.mark.parametrize("start", ["--from", "--recipe"])
def test_the_environment_of_a_model_may_be_named_but_not_changed(
    trainings: list[tuple[Any, ...]],
    capsys: pytest.CaptureFixture[str],
    start: str,
    trained: Path,
) -> None:
    typed = ["train", start, "walker-walk-medium-v1", "--env-steps", "300000"]
    if start == "--recipe":
        typed += ["--from", str(trained)]
    # What all commands would otherwise begin with is no less an option.
    assert cli.main([*typed, "--task", "cartpole-swingup"]) == 1
    assert "leave out the environment's options" in capsys.readouterr().err and trainings == []
    assert cli.main([*typed, "--task", "walker-walk", "--action-repeat", "2"]) == 0
    assert trainings[0][0].id == "distracting_control/walker-walk-v0"
    with pytest.raises(SystemExit):
        cli.main([*typed, "--help"])
    assert "walker-walk" in capsys.readouterr().out


def _drop(fields: dict[str, Any], name: str) -> None:
    del fields[name]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: _drop(f, "seed"), "lacks the field 'seed'"),
        (lambda f: f.update(extra=1), "'extra' is not known"),
        (lambda f: f.update(seed="0"), "'seed' does not fit: input should be a valid integer"),
        (lambda f: f.update(seed=True), "'seed' does not fit: input should be a valid integer"),
        (lambda f: f.update(environment=[]), "'environment' does not fit: input should be"),
        (lambda f: f["environment"].update(id="chess-v0"), "'chess-v0' is not the id of a"),
        (lambda f: f["environment"].update(robot="x"), "'environment.robot' is not known"),
        (lambda f: f["config"]["agent"].update(batch_size=-1), "batch_size"),
        (lambda f: _drop(f["config"]["agent"], "batch_size"), "batch_size"),
        (lambda f: f.clear(), "lacks the field"),
        (lambda f: f.update(continued_from=EASY), "environment must be null where continued_from"),
        (lambda f: f.update(continued_from=1), "'continued_from' does not fit"),
        (
            lambda f: f.update(continued_from="chess-v0", environment=None),
            "mine.json' does not fit: 'chess-v0' is neither a zoo name",
        ),
        (
            lambda f: f.update(continued_from="walker-walk-medium-v1", environment=None),
            "config.world_model is not that of walker-walk-medium-v1",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    trainings: list[tuple[Any, ...]],
    capsys: pytest.CaptureFixture[str],
    fields: dict[str, Any],
    tmp_path: Path,
    change: Any,
    words: str,
) -> None:
    change(fields)
    (tmp_path / "mine.json").write_text(json.dumps(fields))
    assert cli.main(["train", "--recipe", str(tmp_path / "mine.json")]) == 1
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1 and trainings == []
