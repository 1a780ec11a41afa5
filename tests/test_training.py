import csv
import functools
import json
import math
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig
from core_repr.environments import EnvironmentChoice
from core_repr.evaluation import evaluate
from core_repr.training import DatasetSchedule, Schedule, resume, train
from core_repr.training.settings import RunSettings
from core_repr.world_model import CoReWorldModel

PIXELS = EnvironmentChoice("core-repr-tests/Pixels-v0", {"frame_size": 16}, {"length": 6}, {})
FILES = [
    "checkpoints",
    "evaluations.jsonl",
    "model",
    "progress.csv",
    "progress.png",
    "replay",
    "settings.json",
]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Callable[..., CoReConfig]
) -> tuple[Path, CoReSAC]:
    """A finished run: 36 agent steps of 4 simulator steps, in 6 episodes."""
    folder = tmp_path_factory.mktemp("runs") / "deep" / "run"
    schedule = Schedule(
        env_steps=130, seed=5, evaluation_interval=2, evaluation_episodes=2, log_interval=3
    )
    return folder, train(PIXELS, averaging(tiny_config), folder, schedule, device="cpu")


def averaging(tiny_config: Callable[..., CoReConfig]) -> CoReConfig:
    return tiny_config(agent={"averaging_rate": 0.1})


def test_a_run_is_a_folder_with_everything_about_it(run: tuple[Path, CoReSAC]) -> None:
    folder, agent = run
    assert sorted(path.name for path in folder.iterdir()) == FILES
    # 130 simulator steps are 33 agent steps; whole episodes of 6 make them 36.
    assert (agent.num_timesteps, agent.env_steps) == (36, 144)


def test_settings_say_how_the_run_was_made(run: tuple[Path, CoReSAC]) -> None:
    folder, agent = run
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["environment"]["id"] == PIXELS.id
    assert settings["environment"]["training"] == {"length": 6}
    assert settings["schedule"]["seed"] == 5 and settings["schedule"]["env_steps"] == 130
    assert CoReConfig.from_json(json.dumps(settings["config"])) == agent.config
    assert settings["config"]["environment"]["arguments"] == {"frame_size": 16, "length": 6}
    assert settings["versions"]["torch"] == version("torch")
    assert (settings["device"], settings["precision"]) == ("cpu", "float32")


def test_evaluations_are_on_the_validation_environment(run: tuple[Path, CoReSAC]) -> None:
    evaluations = read_jsonl(run[0] / "evaluations.jsonl")
    # After episodes 2 and 4, and at the end, after the updates that follow episode 6.
    assert [line["agent_steps"] for line in evaluations] == [12, 24, 36]
    assert [line["env_steps"] for line in evaluations] == [48, 96, 144]
    # Learning starts after 16 steps and makes 3 updates for an episode of 6, after the callback.
    assert [line["updates"] for line in evaluations] == [0, 3, 12]
    for line in evaluations:
        assert line["lengths"] == [8, 8] and line["seeds"] == [10_000, 10_001]
        assert line["mean"] == pytest.approx(np.mean(line["returns"]))


def test_progress_has_losses_and_returns(run: tuple[Path, CoReSAC]) -> None:
    with open(run[0] / "progress.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["time/env_steps"] for row in rows] == ["72", "144"]
    for name in ("rollout/ep_rew_mean", "eval/mean_reward"):
        assert all(math.isfinite(float(row[name])) for row in rows)
    assert math.isfinite(float(rows[1]["train/contrastive_loss"]))


def test_the_model_of_a_run_is_the_averaged_one_that_was_evaluated(
    run: tuple[Path, CoReSAC],
) -> None:
    folder, agent = run
    model = CoReWorldModel.from_pretrained(folder / "model")
    loaded = CoReSAC.from_pretrained(folder / "model", device="cpu")
    frame = np.zeros((16, 16, 3), np.uint8)
    newest = agent.predict(frame, deterministic=True)[0]
    with agent.averaged_weights():
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, agent.world_model.state_dict()[name])
        action = agent.predict(frame, deterministic=True)[0]
    assert np.array_equal(loaded.predict(frame, deterministic=True)[0], action)
    assert not np.array_equal(action, newest)
    evaluation = evaluate(loaded, PIXELS.make(validation=True), 2, seed=10_000)
    assert list(evaluation.returns) == read_jsonl(folder / "evaluations.jsonl")[-1]["returns"]


def test_a_folder_that_holds_a_run_is_left_alone(
    run: tuple[Path, CoReSAC], tiny_config: Callable[..., CoReConfig]
) -> None:
    folder = run[0]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=r"already holds a run.*--run"):
        train(PIXELS, tiny_config(), folder, Schedule(), device="cpu")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


LEFT = f".core-repr-{'0' * 16}.unfinished"
"""What a process that was killed leaves behind."""


def test_what_else_lies_in_the_folder_stays(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    mine = [tmp_path / ".git" / "HEAD", tmp_path / ".env", tmp_path / "thesis.txt"]
    mine[0].parent.mkdir()
    for path in mine:
        path.write_text(path.name)
    for folder in (tmp_path, tmp_path / "model", tmp_path / "checkpoints"):
        (folder / LEFT).mkdir(parents=True)
    schedule = Schedule(env_steps=80, evaluation_episodes=1)
    train(PIXELS, tiny_config(), tmp_path, schedule, device="cpu")
    assert [path.read_text() for path in mine] == [path.name for path in mine]
    assert not list(tmp_path.rglob(LEFT))


@pytest.mark.parametrize(
    "name", ["evaluations.jsonl", "progress.csv", "progress.png", "model", "replay", "checkpoints"]
)
def test_what_a_run_would_replace_is_refused(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=rf"holds '{name}', which is of no run.*--run"):
        train(PIXELS, tiny_config(), tmp_path, Schedule(env_steps=24), device="cpu")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_folders_may_lie_elsewhere_from_the_start(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    run, disk = tmp_path / "run", tmp_path / "disk"
    (disk / "run").mkdir(parents=True)
    run.symlink_to("disk/run")
    for name in ("model", "checkpoints", "replay"):
        (disk / name).mkdir()
        (disk / name / ".DS_Store").write_text("")
        (run / name).symlink_to(disk / name)
    schedule = Schedule(env_steps=80, evaluation_episodes=1)
    train(PIXELS, tiny_config(), run, schedule, device="cpu")
    resume(run, 120, "cpu")
    assert all((run / name).is_symlink() for name in ("model", "checkpoints", "replay"))
    assert (disk / "model" / "config.json").exists() and len(list((disk / "replay").iterdir())) > 1
    for name in ("model", "checkpoints", "replay"):
        assert (disk / name / ".DS_Store").exists()
    assert run.is_symlink() and not list(tmp_path.rglob(".core-repr*"))


@pytest.mark.parametrize("name", ["model", "replay", "progress.csv"])
def test_a_link_to_nowhere_is_refused_at_the_start(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, name: str
) -> None:
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(FileExistsError, match=rf"holds '{name}'.*--run"):
        train(PIXELS, tiny_config(), tmp_path, Schedule(env_steps=80), device="cpu")


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (EnvironmentChoice(PIXELS.id, {"length": float("nan")}), "'length'.*NaN"),
        (EnvironmentChoice(PIXELS.id, {}, {}, {"length": {1}}), "'length'.*set"),
        (EnvironmentChoice(PIXELS.id, {}, {"length": "a\x00"}, {}), "'length'.*control character"),
    ],
)
def test_arguments_that_cannot_be_saved_are_refused_before_anything_is_made(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, choice: EnvironmentChoice, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        train(choice, tiny_config(), tmp_path / "deep" / "run", Schedule(80), device="cpu")
    assert not list(tmp_path.iterdir())


def test_settings_are_read_as_they_were_written(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    choice = EnvironmentChoice("x-v0", {"range": (0.7, math.inf)}, {"a": [1]}, {"b": -0.0})
    config = tiny_config()
    settings = RunSettings(choice, config, Schedule(80), None)
    settings.check()
    settings.write(tmp_path, CoReSAC("CoRePolicy", None, config, device="cpu"))
    assert RunSettings.read(tmp_path) == settings
    assert "Infinity" not in (tmp_path / "settings.json").read_text()


def test_a_training_without_an_update_is_refused(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    words = r"64 environment steps end before.*16 agent steps of 4 .* 64 in all.*learning-starts"
    with pytest.raises(ValueError, match=words):
        train(PIXELS, tiny_config(), tmp_path / "new" / "run", Schedule(env_steps=64), device="cpu")
    words = r"^80 environment steps end before the first update: 4 agent steps of 4 .*1e-09 updates"
    config = tiny_config(agent={"updates_per_step": 1e-9})
    with pytest.raises(ValueError, match=words):
        train(PIXELS, config, tmp_path / "new" / "run", Schedule(env_steps=80), device="cpu")
    assert not list(tmp_path.iterdir())


def test_the_same_seed_gives_the_same_run(
    run: tuple[Path, CoReSAC], tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    schedule = Schedule(
        env_steps=130, seed=5, evaluation_interval=2, evaluation_episodes=2, log_interval=3
    )
    train(PIXELS, averaging(tiny_config), tmp_path / "again", schedule, device="cpu")
    first, again = (
        [{**line, "seconds": 0} for line in read_jsonl(folder / "evaluations.jsonl")]
        for folder in (run[0], tmp_path / "again")
    )
    assert first == again


def test_a_diverged_run_keeps_the_last_model_that_was_sound(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CoReSAC.update

    def update(agent: CoReSAC, batch: Any) -> None:
        if agent.updates == 4:
            batch = batch._replace(rewards=batch.rewards * math.nan)
        plain(agent, batch)

    monkeypatch.setattr(CoReSAC, "update", update)
    schedule = Schedule(2_000, evaluation_interval=1, evaluation_episodes=1)
    with pytest.raises(FloatingPointError, match="nan"):
        train(PIXELS, tiny_config(), tmp_path / "run", schedule, device="cpu")
    # The weights after the fourth update hold NaN, and such a model would not load.
    CoReSAC.from_pretrained(tmp_path / "run" / "model", device="cpu")


@pytest.mark.parametrize(
    "field", ["env_steps", "evaluation_interval", "evaluation_episodes", "log_interval", "seed"]
)
def test_a_schedule_takes_positive_numbers(field: str) -> None:
    lowest = 0 if field == "seed" else 1
    Schedule(**{field: lowest})
    with pytest.raises(ValueError, match=f"{field}.*{lowest - 1}"):
        Schedule(**{field: lowest - 1})


def test_a_schedule_takes_finite_numbers() -> None:
    for field, value in (("checkpoint_minutes", math.inf), ("checkpoint_minutes", math.nan)):
        with pytest.raises(ValueError, match=rf"{field} must be at (most|least) .*, not {value}\."):
            Schedule(**{field: value})
    Schedule(seed=2**32 - 1)
    for kind in (Schedule, functools.partial(DatasetSchedule, "data")):
        with pytest.raises(ValueError, match=r"^seed must be at most 4294967295, not 4294967296\."):
            kind(seed=2**32)


def test_training_and_validation_differ_where_they_should() -> None:
    choice = EnvironmentChoice(PIXELS.id, {"length": 4}, {"action_size": 1}, {"length": 7})
    training, validation = choice.make().unwrapped, choice.make(validation=True).unwrapped
    assert (training.length, training.action_space.shape) == (4, (1,))
    assert (validation.length, validation.action_space.shape) == (7, (2,))
