from __future__ import annotations

import csv
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core_repr import campaign, cli
from core_repr.campaign import Grid, Outcome, Setting, run_campaign, runner
from core_repr.config import EnvironmentConfig
from core_repr.evaluation import Evaluation
from core_repr.evaluation.results import COLUMNS, Training, append


def small(**fields: Any) -> Grid:
    """Two episodes of cartpole for each training, with a few updates."""
    return Grid(
        **{
            "title": "Small",
            "environments": ("cartpole-swingup",),
            "settings": {"none": Setting()},
            "env_steps": 2_000,
            "options": {
                "world_model.frame_size": 36,
                "agent.learning_starts": 100,
                "agent.initial_updates": 0,
                "agent.updates_per_step": 0.02,
                "agent.batch_size": 2,
            },
            "seeds": (0, 1),
            "episodes": 2,
            "evaluation_episodes": 1,
            **fields,
        }
    )


def rows(folder: Path, table: str = "results.csv") -> list[dict[str, str]]:
    with open(folder / table, newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["model"])


@pytest.mark.slow
def test_a_grid_is_trained_once_whatever_happens(tmp_path: Path) -> None:
    grid = small(variants=("core", "sac-rad"), options={**small().options, "agent.batch_size": 2})
    cells = grid.cells()
    # The last one fails: another file is in the place of its settings.
    broken = tmp_path / "runs" / cells[-1].name / "settings.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{}")
    told: list[tuple[str, bool, int, int]] = []

    def report(outcome: Outcome, done: int, total: int) -> None:
        told.append((outcome.cell.name, outcome.evaluation is not None, done, total))

    outcomes = run_campaign(grid, tmp_path, processes=2, attempts=2, report=report)
    assert {o.cell.name for o in outcomes} == {cell.name for cell in cells}
    failed = [outcome for outcome in outcomes if outcome.evaluation is None]
    assert [outcome.cell for outcome in failed] == [cells[-1]]
    assert "settings.json" in failed[0].error and "\n" not in failed[0].error
    assert [name for name, fine, *_ in told if not fine] == 2 * [cells[-1].name]
    assert max(done for *_, done, _ in told) == 3 and {total for *_, total in told} == {4}
    first = rows(tmp_path)
    assert [*first[0]] == list(COLUMNS)
    assert [row["model"] for row in first] == sorted(cell.name for cell in cells[:-1])
    assert {row["variant"] for row in first} == {"core", "sac-rad"}
    assert {row["env_steps"] for row in first} == {"2000"}
    assert {(row["episodes"], row["first_seed"]) for row in first} == {("2", "0")}
    assert json.loads(first[0]["arguments"])["split"] == "val"

    broken.unlink()
    progress = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("progress.csv")}
    (again,) = run_campaign(grid, tmp_path, processes=1)
    assert again.cell == cells[-1] and again.evaluation is not None
    assert progress == {path: path.stat().st_mtime_ns for path in progress}
    assert len(rows(tmp_path)) == 4
    assert run_campaign(grid, tmp_path) == []

    # A row that is lost comes back without a training or an evaluation.
    table = tmp_path / "results.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json*")}
    assert len(run_campaign(grid, tmp_path, processes=1)) == 1
    assert sorted(table.read_text().splitlines()) == sorted("".join(lines).splitlines())
    assert before == {path: path.stat().st_mtime_ns for path in before}

    # With other episodes, a training is evaluated again and has another row.
    of_core = [row for row in rows(tmp_path) if row["variant"] == "core"]
    of_others = [row for row in rows(tmp_path) if row["variant"] != "core"]
    progress = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("progress.csv")}
    assert len(run_campaign(small(episodes=3), tmp_path, processes=1)) == 2
    assert progress == {path: path.stat().st_mtime_ns for path in progress}
    assert len(rows(tmp_path)) == 4
    again_core = [row for row in rows(tmp_path) if row["variant"] == "core"]
    assert [row["episodes"] for row in again_core] == ["3", "3"]
    assert [row["model"] for row in again_core] == [row["model"] for row in of_core]
    assert [row for row in rows(tmp_path) if row["variant"] != "core"] == of_others
    assert run_campaign(small(episodes=3), tmp_path) == []
    assert len(run_campaign(small(), tmp_path, processes=1)) == 2
    assert [row for row in rows(tmp_path) if row["variant"] == "core"] == of_core

    # More steps continue the trainings; other settings are not mixed with theirs.
    longer = small(seeds=(0,), env_steps=3_000)
    (outcome,) = run_campaign(longer, tmp_path, processes=1)
    name = outcome.cell.name
    assert outcome.evaluation is not None
    steps = [row["env_steps"] for row in rows(tmp_path) if row["model"] == name]
    assert sorted(steps) == ["2000", "3000"]
    curve = [row for row in rows(tmp_path, "curves.csv") if row["model"] == name]
    points = [row["env_steps"] for row in curve]
    assert len(points) == len({*points}) and {*points} >= {"2000", "3000"}
    assert {row["episodes"] for row in curve} == {"1"}
    settings = json.loads((tmp_path / "runs" / name / "settings.json").read_text())
    assert settings["schedule"]["env_steps"] == 3_000
    # A row of fewer steps is there; one that is not would be of the longer training.
    assert run_campaign(small(seeds=(0,)), tmp_path) == []
    with pytest.raises(ValueError, match=r"went on to 3,000 .* after 2,000: expected 2 episodes"):
        run_campaign(small(seeds=(0,), episodes=3), tmp_path)
    with pytest.raises(ValueError, match=r"training of 3,000 environment steps, more.*2,500"):
        run_campaign(small(seeds=(0,), env_steps=2_500), tmp_path)
    other = small(seeds=(0,), options={**small().options, "agent.batch_size": 3})
    with pytest.raises(ValueError, match="holds a training with other settings than the grid's"):
        run_campaign(other, tmp_path)


@pytest.mark.slow
def test_policy_similarity_records_its_own_pairs(tmp_path: Path) -> None:
    grid = small(variants=("pse",), seeds=(0,), pairs=2)
    outcomes = run_campaign(grid, tmp_path, processes=1)
    assert outcomes[0].error == ""
    name = grid.cells()[0].name
    settings = json.loads((tmp_path / "runs" / name / "settings.json").read_text())
    pairs = tmp_path / "pairs" / name
    assert settings["config"]["agent"]["similarity"]["pairs"] == str(pairs)
    assert len(json.loads((pairs / "replay.json").read_text())["segments"]) > 0
    # With more steps, the training goes on with the same pairs.
    made = (pairs / "replay.json").stat().st_mtime_ns
    outcomes = run_campaign(replace(grid, env_steps=3_000), tmp_path, processes=1)
    assert outcomes[0].error == ""
    assert (pairs / "replay.json").stat().st_mtime_ns == made
    assert {row["env_steps"] for row in rows(tmp_path)} == {"2000", "3000"}
    with pytest.raises(ValueError, match="holds 2 pairs of episodes, not the grid's 3"):
        run_campaign(replace(grid, pairs=3), tmp_path)


@pytest.mark.slow
def test_a_lost_machine_costs_no_row(tmp_path: Path) -> None:
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
        lost: list[str] = []

        def report(outcome: Outcome, done: int, total: int) -> None:
            if outcome.evaluation is None:
                lost.append(outcome.cell.name)
            elif len(workers) == 2:
                cluster.remove_node(workers.pop(), allow_graceful=False)

        grid = small(seeds=(0, 1, 2, 3))
        outcomes = run_campaign(
            grid, tmp_path / "two", address=cluster.address, attempts=3, report=report
        )
        assert len(workers) == 1 and all(outcome.evaluation for outcome in outcomes)
    finally:
        ray.shutdown()
        cluster.shutdown()
    alone = run_campaign(grid, tmp_path / "one", processes=1)
    assert all(outcome.evaluation for outcome in alone)
    assert rows(tmp_path / "two") == rows(tmp_path / "one")


def test_a_cluster_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"127.0.0.1:{port}", "127.0.0.1:nothing"):
        with pytest.raises(ConnectionError, match="There is no Ray cluster at"):
            run_campaign(small(), tmp_path / "new", address=address)
        assert not (tmp_path / "new").exists()


def finished(folder: Path, grid: Grid) -> Path:
    """A table that has a row for each training of a grid."""
    environment = EnvironmentConfig("an/Env-v0", {"split": "val"}, (-1.0,), (1.0,))
    evaluation = Evaluation((1.0,) * grid.episodes, (9,) * grid.episodes, (0,) * grid.episodes)
    for cell in grid.cells():
        training = Training(cell.name, cell.system, grid.env_steps, 0, "abc")
        append(folder / "results.csv", training, environment, evaluation)
    return folder / "results.csv"


def test_what_has_a_row_of_as_many_episodes_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_ray() -> None:
        raise ModuleNotFoundError("there is something to do")

    monkeypatch.setattr(runner, "_import_ray", no_ray)
    table = finished(tmp_path, small())
    assert run_campaign(small(), tmp_path) == []
    with pytest.raises(ModuleNotFoundError, match="there is something to do"):
        run_campaign(small(episodes=3), tmp_path)
    # Of several rows of a training, the last one counts.
    finished(tmp_path, small(episodes=3))
    assert run_campaign(small(episodes=3), tmp_path) == []

    # The last row is torn: its commit may not be whole.
    table.write_bytes(table.read_bytes()[:-3])
    with (
        pytest.warns(UserWarning, match="has no line end"),
        pytest.raises(ModuleNotFoundError, match="there is something to do"),
    ):
        run_campaign(small(episodes=3), tmp_path)
    assert len(rows(tmp_path)) == 3

    text = table.read_text()
    table.write_text(text.replace(",2000,", ",2x,", 1))
    with pytest.raises(ValueError, match=r"results.csv, line 2, is not a row of a campaign"):
        run_campaign(small(), tmp_path)


def test_other_pairs_are_not_mixed_with_those_that_were_recorded(tmp_path: Path) -> None:
    grid = small(variants=("pse",), seeds=(0,))
    manifest = tmp_path / "pairs" / grid.cells()[0].name / "replay.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"segments": [{"episodes": [[0, 2]] * 4}]}))
    with pytest.raises(ValueError, match=r"seed-0 holds 2 pairs of episodes, not the grid's 500"):
        run_campaign(grid, tmp_path)


def test_a_file_in_the_place_of_the_folder_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").write_text("mine")
    assert cli.main(["campaign", "compact", "--folder", str(tmp_path / "notes")]) == 1
    error = capsys.readouterr().err
    assert "notes is a file, where a campaign needs a folder; choose another" in error
    assert len(error.splitlines()) == 1
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    ("returns", "text"),
    [((1.0,), "return 1.0 (1 episode)\n"), ((1.0, 3.0), "return 2.0 ± 1.0 (2 episodes)\n")],
)
def test_an_outcome_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    returns: tuple[float, ...],
    text: str,
) -> None:
    def run(grid: Grid, *_: Any, report: Any, **__: Any) -> list[Outcome]:
        numbers = tuple(range(len(returns)))
        report(Outcome(grid.cells()[0], Evaluation(returns, numbers, numbers)), 1, 1)
        return []

    monkeypatch.setattr(campaign, "run_campaign", run)
    assert cli.main(["campaign", "compact"]) == 0
    assert capsys.readouterr().out.splitlines(keepends=True)[1].endswith(text)


def test_a_table_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="does not begin with the columns"):
        run_campaign(small(), tmp_path)
    assert (tmp_path / "results.csv").read_text() == "a,b\n1,2\n"
