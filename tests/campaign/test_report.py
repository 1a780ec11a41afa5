from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core_repr import cli
from core_repr.campaign.aggregate import interquartile_mean
from core_repr.campaign.figures import final_returns, learning_curves
from core_repr.campaign.report import _comparable, report
from core_repr.campaign.results import Row, published, read_rows
from core_repr.evaluation.results import COLUMNS

MEDIUM = {"difficulty": "medium", "dynamic": True, "backgrounds": "procedural", "task": "x"}


def write(
    folder: Path,
    *rows: tuple[str, float],
    steps: int = 500_000,
    name: str = "results.csv",
    **arguments: Any,
) -> Path:
    path = folder / name
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
    lines = report(read_rows(path)).text.splitlines()
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
    one = report(read_rows(write(tmp_path, ("walker-walk/m/core/seed-0", 50.0)))).text
    other = report(read_rows(write(tmp_path, ("walker-walk/m/core/seed-0", 51.0)))).text
    assert one.replace("| 50 |", "| 51 |") == other != one


def test_settings_and_steps_have_tables_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path, ("a-b/x/core/seed-0", 1.0), ("a-b/y/core/seed-0", 2.0), steps=7_000)
    text = report(read_rows(path.parent)).text
    assert text.count("## ") == 2 and "## y, 7,000 environment steps" in text
    assert "paper" not in text


def test_a_background_alone_shows_what_the_paper_has_for_both_numbers(tmp_path: Path) -> None:
    arguments = {"difficulty": "hard", "camera": False, "color": False}
    path = write(tmp_path, ("cheetah-run/b/curl/seed-0", 1.0), **arguments)
    text = report(read_rows(path)).text
    assert "(DAVIS 2 videos); " in text and "(DAVIS 60 videos)" in text


def test_the_command_prints_or_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, ("walker-walk/m/core/seed-0", 50.0))
    assert cli.main(["report", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert cli.main(["report", str(path), "--output", str(tmp_path / "tables.md")]) == 0
    assert "and 1 figures" in capsys.readouterr().out
    written = (tmp_path / "tables.md").read_text()
    assert written == f"{printed}\n![Returns](tables/returns.png)\n"
    assert cli.main(["report", str(path), "--output", str(tmp_path / "tables.txt")]) == 1
    assert "must be a Markdown file" in capsys.readouterr().err
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


def row(system: str, mean: float, seed: int = 0, **fields: Any) -> Row:
    known = {"environment": "walker-walk", "setting": "medium", "env_steps": 500_000}
    known |= {"arguments": MEDIUM, "episodes": 30}
    return Row(system=system, mean=mean, seed=seed, **{**known, **fields})


def test_the_interquartile_mean_is_that_of_a_stratified_bootstrap() -> None:
    rng = np.random.default_rng(0)
    returns = rng.normal(400, 80, (6, 4))
    found = interquartile_mean(returns.tolist())
    assert found is not None
    middle = np.sort(returns, None)[6:18]
    assert found.iqm == pytest.approx(middle.mean())
    drawn = [
        np.sort([rng.choice(task, 4) for task in returns], None)[6:18].mean() for _ in range(4_000)
    ]
    assert (found.low, found.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=3)
    assert interquartile_mean([[1.0, 2.0], [3.0]]) is None
    assert interquartile_mean([[1.0, 2.0], [3.0, 4.0, 5.0]]) is None
    assert interquartile_mean([]) is None


def test_intervals_stand_where_seeds_allow_them(tmp_path: Path) -> None:
    cells = [(f"{task}/m/core/seed-{n}", 100.0 * n) for task in ("a-b", "c-d") for n in range(3)]
    path = write(tmp_path, *cells, ("a-b/m/curl/seed-0", 1.0), ("a-b/m/curl/seed-1", 3.0))
    tables = report(read_rows(path))
    assert "| | a-b | c-d | mean | IQM |" in tables.text
    assert "| CoRe | 100 ± 58 | 100 ± 58 | 100 | 100 [" in tables.text
    assert "| CURL | 2 ± 1 |  |  |  |" in tables.text
    assert [*tables.intervals["m"]] == ["core"]


def test_the_spread_over_changes_is_told(tmp_path: Path) -> None:
    means = {"beta-0": 1.0, "beta-1": 3.0, "beta-2": 5.0}
    path = write(tmp_path, *((f"a-b/m/core+{c}/seed-0", m) for c, m in means.items()))
    assert report(read_rows(path)).text.endswith("| | a-b |\n|---|---|\n| CoRe | 2 |\n")


def panels(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """Title of each panel → label of a line → its heights."""
    return {
        axes.get_title(): {
            str(line.get_label()): list(line.get_ydata())
            for line in axes.lines
            if not str(line.get_label()).startswith("_")
        }
        for axes in learning_curves(rows).axes
        if axes.get_title()
    }


def test_curves_are_means_over_the_seeds_that_are_there() -> None:
    rows = [
        row("core", mean, seed, env_steps=steps)
        for seed, means in ((0, (10, 20, 30)), (1, (30, 40)))
        for steps, mean in zip((1_000, 2_000, 3_000), means, strict=False)
    ]
    assert panels(rows) == {"walker-walk": {"CoRe": [20, 30]}}


def test_curves_of_seeds_that_were_evaluated_at_other_steps_are_interpolated() -> None:
    rows = [
        row("core", mean, seed, env_steps=steps)
        for seed, curve in enumerate(
            ({1_000: 10, 2_000: 20, 4_000: 40}, {1_500: 115, 2_500: 125, 3_500: 135})
        )
        for steps, mean in curve.items()
    ]
    (axes,) = learning_curves(rows).axes
    (line,) = [line for line in axes.lines if line.get_label() == "CoRe"]
    assert list(line.get_xdata()) == [1_500, 2_000, 2_500, 3_500]
    assert list(line.get_ydata()) == [65, 70, 75, 85]
    assert len(axes.collections) == 1  # the band


def test_bars_are_of_one_number_of_steps() -> None:
    rows = [row("core", 100, seed, env_steps=100_000) for seed in range(3)]
    rows.append(row("core", 700))
    assert _comparable(rows) == rows[:3]


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({}, 1),
        ({"scale": 0.2}, 1),
        ({"scale": 0.0}, 0),
        ({"camera": False}, 0),
        ({"background": False}, 0),
        ({"lighting": True}, 0),
        ({"action_repeat": 1}, 0),
    ],
)
def test_the_paper_s_figure_is_of_its_own_settings_alone(
    changes: dict[str, Any], figures: int
) -> None:
    assert len(published(row("core", 300.0, arguments={**MEDIUM, **changes}))) == figures


TWO = ("core", "curl")


@pytest.mark.parametrize(
    ("rows", "titles", "lines"),
    [
        (
            [row(s, 1, environment=e, setting=p) for e in "ab" for p in "xy" for s in TWO],
            ["a, x", "b, x", "a, y", "b, y"],
            {"CoRe", "CURL"},
        ),
        (
            [
                row("core", 1, setting=f"{d}{m}", arguments={"dynamic": m})
                for m in (0, 1)
                for d in "ab"
            ],
            ["static", "dynamic"],
            {"a0", "b0"},
        ),
        (
            [row(f"{v}+{c}", 1) for v in ("core", "posterior-decoding") for c in ("low", "high")],
            ["CoRe", "CoRe, posterior decoding"],
            {"low", "high"},
        ),
    ],
)
def test_panels_and_lines_are_those_of_the_paper(
    rows: list[Row], titles: list[str], lines: set[str]
) -> None:
    drawn = panels(rows)
    assert [*drawn] == titles
    assert set(drawn[titles[0]]) == lines


def test_the_paper_s_figure_is_a_diamond() -> None:
    (axes,) = learning_curves([row("core", 300.0)]).axes
    (diamond,) = [line for line in axes.lines if line.get_marker() == "D"]
    assert list(diamond.get_ydata()) == [479]
    (axes,) = learning_curves([row("core", 300.0, env_steps=100_000)]).axes
    assert not [line for line in axes.lines if line.get_marker() == "D"]


def test_bars_are_the_returns_and_their_mean() -> None:
    rows = [row("core", 100), row("core", 300, 1), row("curl", 50)]
    rows += [row("core", 400, environment="cheetah-run")]
    (axes,) = final_returns(rows).axes
    assert [bar.get_height() for bar in axes.patches] == [200, 50, 400, 300]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "walker-walk",
        "cheetah-run",
        "mean",
    ]


def test_a_report_has_all_its_figures(tmp_path: Path) -> None:
    cells = [(f"{task}/m/core/seed-{n}", 100.0 * n) for task in ("a-b", "c-d") for n in range(2)]
    write(tmp_path, *cells)
    write(tmp_path, *cells, name="curves.csv")
    output = tmp_path / "report.md"
    assert cli.main(["report", str(tmp_path), "--output", str(output)]) == 0
    made = {path.name for path in (tmp_path / "report").iterdir()}
    assert made == {"curves.png", "returns.png", "intervals.png"}
    assert all(f"(report/{name})" in output.read_text() for name in made)
