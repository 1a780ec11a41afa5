from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from core_repr import cli
from core_repr.campaign.report import read_rows, report
from core_repr.evaluation.results import COLUMNS

MEDIUM = {"difficulty": "medium", "dynamic": True, "backgrounds": "procedural", "task": "x"}


def write(folder: Path, *rows: tuple[str, float], steps: int = 500_000, **arguments: Any) -> Path:
    path = folder / "results.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for model, mean in rows:
            known = {"model": model, "env_steps": steps, "episodes": 30, "mean": mean}
            writer.writerow({**known, "arguments": json.dumps({**MEDIUM, **arguments})})
    return path


def test_figures_are_means_over_seeds_beside_the_paper_s(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ("walker-walk/m/curl/seed-0", 50.0),
        ("cartpole-swingup/m/core/seed-0", 400.0),
        ("cartpole-swingup/m/core/seed-1", 300.0),
        ("cartpole-swingup/m/core/seed-1", 500.0),
        ("walker-walk/m/core/seed-0", 600.0),
        ("walker-walk/m/core+small/seed-3", 1.0),
    )
    lines = report(read_rows(path)).splitlines()
    assert lines[0] == "## m, 500,000 environment steps"
    assert lines[2].startswith('Seeds 0, 1, 3, 30 episodes each; backgrounds "procedural"')
    assert "ten seeds, 100 episodes each, backgrounds of DAVIS" in lines[2]
    assert lines[4:] == [
        "| | walker-walk | cartpole-swingup | mean |",
        "|---|---|---|---|",
        "| CoRe | 600 | 450 ± 50 | 525 |",
        "| *the paper's* | 479 ± 31 | 354 ± 26 |  |",
        "| CoRe, small | 1 |  |  |",
        "| CURL | 50 |  |  |",
        *[line for line in lines if line.startswith("| *the paper's* |")][1:],
    ]


def test_a_changed_row_changes_the_table(tmp_path: Path) -> None:
    one = report(read_rows(write(tmp_path, ("walker-walk/m/core/seed-0", 50.0))))
    other = report(read_rows(write(tmp_path, ("walker-walk/m/core/seed-0", 51.0))))
    assert one.replace("| 50 |", "| 51 |") == other != one


def test_settings_and_steps_have_tables_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path, ("a-b/x/core/seed-0", 1.0), ("a-b/y/core/seed-0", 2.0), steps=7_000)
    text = report(read_rows(path.parent))
    assert text.count("## ") == 2 and "## y, 7,000 environment steps" in text
    assert "paper" not in text


def test_a_background_alone_shows_what_the_paper_has_for_both_numbers(tmp_path: Path) -> None:
    arguments = {"difficulty": "hard", "camera": False, "color": False}
    path = write(tmp_path, ("cheetah-run/b/curl/seed-0", 1.0), **arguments)
    text = report(read_rows(path))
    assert "(DAVIS 2 videos); " in text and "(DAVIS 60 videos)" in text


def test_the_command_prints_or_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, ("walker-walk/m/core/seed-0", 50.0))
    assert cli.main(["report", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert cli.main(["report", str(path), "--output", str(tmp_path / "tables.md")]) == 0
    assert (tmp_path / "tables.md").read_text() == printed
    for rows, message in (
        ([], "holds no finished training yet"),
        ([("walker", 1.0)], "line 2, is not a row of a campaign"),
    ):
        write(tmp_path, *rows)
        assert cli.main(["report", str(path)]) == 1
        assert message in capsys.readouterr().err
    path.write_text("a,b\n")
    assert cli.main(["report", str(path)]) == 1
    assert "does not begin with the columns" in capsys.readouterr().err
    path.unlink()
    assert cli.main(["report", str(tmp_path)]) == 1
    assert "There is no table of results" in capsys.readouterr().err
