import json
from pathlib import Path

import pytest

from core_repr.benchmarks.report import Figure, report

FIGURES = [Figure("steps", 1234.5, "steps/s"), Figure("environments", 16), Figure("reset", 0.0123)]


def test_a_table_shows_every_figure_with_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    report("Environments", FIGURES)
    printed = capsys.readouterr().out
    for text in ("Environments", "steps/s", "1,234", "16", "0.012"):
        assert text in printed


def test_json_holds_the_figures_unrounded(tmp_path: Path) -> None:
    file = tmp_path / "new" / "figures.json"
    report("Environments", FIGURES, file)
    written = json.loads(file.read_text())
    assert written["title"] == "Environments"
    assert written["figures"][0] == {"name": "steps", "value": 1234.5, "unit": "steps/s"}
