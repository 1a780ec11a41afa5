"""The page of results: made from files, complete, and up to date."""

import csv
from pathlib import Path

import make_results as results
import pytest

from core_repr import zoo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    results.write(target=folder)
    return folder


def test_the_page_is_what_would_be_made_now(folder: Path) -> None:
    assert (folder / "RESULTS.md").read_text() == (results.ZOO / "RESULTS.md").read_text()


def test_its_pictures_are_beside_it(folder: Path) -> None:
    text = (folder / "RESULTS.md").read_text()
    shown = [line.split("(")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert "results/training.png" in shown
    for picture in shown:
        assert (folder / picture).stat().st_size > 5_000
        assert (results.ZOO / picture).exists()


def test_every_model_has_its_row_and_its_probes(folder: Path) -> None:
    text = (folder / "RESULTS.md").read_text()
    for name in zoo.list_models():
        summary = zoo.summarize(name, zoo.find(name))
        assert summary.facts.evaluation is not None
        mean, error = (summary.facts.evaluation[key] for key in ("mean", "standard_error"))
        assert f"**{mean:.0f} ± {error:.0f}**" in text
        assert f"- `{name}`: " in text


def test_the_papers_means_are_those_that_it_gives(folder: Path) -> None:
    rows = [line.split(" | ") for line in (folder / "RESULTS.md").read_text().splitlines()]
    means = {row[0].removeprefix("| "): row[-1].removesuffix(" |") for row in rows if len(row) == 8}
    assert means["CoRe, paper"] == "480"
    assert means["RSAC+Dyn, paper"] == "244"


def test_our_training_without_l_c_does_not_have_the_name_of_the_paper_s(folder: Path) -> None:
    for method in {row["method"] for row in csv.DictReader(_own_rows())}:
        assert "RSAC" not in method
    text = (folder / "RESULTS.md").read_text()
    assert "| task | environment steps | compact | compact without L_c |" in text
    for line in text.splitlines():
        if line.startswith("| ") and "RSAC" in line:
            assert ", paper |" in line


def _own_rows() -> list[str]:
    return (results.ZOO / "results" / "core_repr.csv").read_text().splitlines()


def test_what_a_missing_file_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"core_repr\.csv"):
        results.write(tmp_path, tmp_path)


def test_other_seeds_stand_beside_the_first_and_nowhere_else(folder: Path, tmp_path: Path) -> None:
    rows = (results.ZOO / "results" / "core_repr.csv").read_text()
    of_recipe = "walker-walk,731.0,7,30,walker-walk-medium-v0,5"
    changed = f"{rows}medium,True,procedural,CoRe compact,100000,{of_recipe}\n"
    (tmp_path / "pretrained").symlink_to(results.ZOO / "pretrained")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "core_repr.csv").write_text(changed)
    (tmp_path / "results" / "paper.csv").symlink_to(results.ZOO / "results" / "paper.csv")
    text = results.write(tmp_path, tmp_path).read_text()
    line = "431 ± 11 (seed 0), 731 ± 7 (seed 5) | 581 ± 150 |"
    assert f"| `walker-walk-medium-v0` | yes | 100,000 | {line}" in text
    assert text.count("731 ± 7") == 1
    assert line not in (folder / "RESULTS.md").read_text()
