"""What ships: models, cards, checksums, results."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from core_repr import cli, zoo
from core_repr.commands.demo import Demo
from core_repr.config import SACConfig
from core_repr.envs import PAPER_TASKS
from core_repr.hub import packaged
from core_repr.hub.card import make_card
from core_repr.hub.model_folder import load_config
from core_repr.zoo import recipes
from core_repr.zoo.verification import CHECKSUMS_FILE

MODELS = zoo.list_models()
RESULTS = Path(zoo.__file__).parent / "results"


@pytest.mark.parametrize("name", MODELS)
def test_weights_under_a_name_never_change(name: str) -> None:
    recorded = json.loads((packaged.PRETRAINED / CHECKSUMS_FILE).read_text())
    assert recorded.keys() == set(MODELS)
    sums = zoo.verify(zoo.find(name))
    assert sums == recorded[name] and "agent.safetensors" in sums
    weights = (zoo.find(name) / "model.safetensors").read_bytes()
    assert sums["model.safetensors"] == hashlib.sha256(weights).hexdigest()


def test_a_model_that_was_exchanged_fails_verification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(packaged.PRETRAINED, tmp_path / "zoo")
    monkeypatch.setattr(packaged, "PRETRAINED", tmp_path / "zoo")
    name = MODELS[0]
    assert cli.main(["zoo", "verify", name]) == 0
    config = tmp_path / "zoo" / name / "config.json"
    config.write_text(config.read_text() + "\n")
    assert cli.main(["zoo", "verify", name]) == 1
    assert "under this name it is" in capsys.readouterr().err


@pytest.mark.parametrize("name", MODELS)
def test_the_card_is_what_would_be_made_now(name: str) -> None:
    summary = zoo.summarize(name, zoo.find(name))
    text = (zoo.find(name) / "README.md").read_text()
    assert text == str(make_card(summary.config, summary.facts))
    results = ModelCard(text).data.eval_results or []
    assert [result.metric_type for result in results] == ["mean_reward", "standard_error"]
    assert {"replay.mp4", "learning_curve.png"} <= summary.facts.files


def test_the_package_stays_small() -> None:
    """PyPI takes wheels of 100 MB; the models are almost all of ours."""
    folder = Path(zoo.__file__).parent
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 55e6
    kinds = {".json", ".jsonl", ".csv", ".md", ".png", ".mp4", ".safetensors", ".py", ".pyc"}
    assert {path.suffix for path in sizes} <= kinds


def test_the_package_holds_one_model_for_each_task_and_the_demo_s() -> None:
    tasks = [name.rsplit("-medium-v", 1)[0] for name in MODELS if "-medium-v" in name]
    assert sorted(tasks) == list(PAPER_TASKS)
    assert [name for name in MODELS if "-medium-v" not in name] == [Demo().model]


@pytest.mark.parametrize("name", MODELS)
def test_what_can_be_made_again_is_not_stored(name: str) -> None:
    agent = load_file(zoo.find(name) / "agent.safetensors")
    settings = load_config(zoo.find(name)).agent
    assert isinstance(settings, SACConfig)
    critic = "value" if settings.imagination else "critic"
    assert {key.split(".")[0] for key in agent} == {"actor", critic, "log_entropy_weight"}
    assert not (zoo.find(name) / "diagnostics.png").exists()
    assert (zoo.find(name) / "replay.mp4").stat().st_size < 1e6


def test_the_list_shows_what_one_chooses_by(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["zoo", "list"]) == 0
    shown = capsys.readouterr().out
    for name in MODELS:
        summary = zoo.summarize(name, zoo.find(name))
        for words in (name, summary.task, summary.level, summary.result):
            assert words in shown
        assert f"{summary.facts.env_steps:,}" in shown
    assert all(name in shown for name in recipes.list_recipes())


def test_info_shows_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["zoo", "info", MODELS[0]]) == 0
    assert "What it cannot do" in capsys.readouterr().out


def test_results_agree_with_the_evaluations() -> None:
    with open(RESULTS / "core_repr.csv") as file:
        of_compact = [row for row in csv.DictReader(file) if row["method"] == "CoRe compact"]
    every = [row for row in of_compact if row["seed"] == "0"]
    rows = [row for row in every if row["model"] and row["setting"] == row["model"].split("-")[-2]]
    # Rows of models that are not in the package any more stay, and so do their recipes.
    assert set(MODELS) <= {row["model"] for row in rows} <= set(recipes.list_recipes())
    for row in rows:
        if row["model"] not in MODELS:
            continue
        facts = zoo.summarize(row["model"], zoo.find(row["model"])).facts
        assert facts.evaluation is not None
        for column, value in (("mean", "mean"), ("stderr", "standard_error")):
            # One decimal, or two where rounding twice would give another whole number.
            decimals = len(row[column].partition(".")[2])
            assert decimals in (1, 2)
            assert row[column] == f"{facts.evaluation[value]:.{decimals}f}"
        assert int(row["episodes"]) == len(facts.evaluation["returns"])
        assert int(row["env_steps"]) == facts.env_steps


def test_the_papers_figures_are_beside_them() -> None:
    with open(RESULTS / "paper.csv") as file:
        rows = list(csv.DictReader(file))
    assert {"CoRe", "RSAC+Dyn", "CURL", "RSAC"} < {row["method"] for row in rows}
    [cartpole] = [
        row
        for row in rows
        if (row["method"], row["setting"], row["dynamic"]) == ("CoRe", "none", "False")
        and (row["env_steps"], row["task"]) == ("500000", "cartpole-swingup")
    ]
    assert float(cartpole["mean"]) == 796
