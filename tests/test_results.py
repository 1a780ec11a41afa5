"""The page of results: made from files, complete, and up to date."""

from pathlib import Path

import pytest

from core_repr import results, zoo


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


def test_what_a_missing_file_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"core_repr\.csv"):
        results.write(tmp_path, tmp_path)
