"""Plots from whole, thin and broken logs."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from core_repr.evaluation import learning_curve, plots, training_diagnostics

STEPS, TRAINING, EVALUATION = plots.ENV_STEPS, plots.TRAINING_RETURN, plots.EVALUATION_RETURN


def write(path: Path, columns: dict[str, list[str]]) -> Path:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(row) for row in rows)]) + "\n")
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A run's log: evaluation every tenth row, losses from the third on."""
    columns: dict[str, list[str]] = {
        STEPS: [str(1000 * (row + 1)) for row in range(60)],
        TRAINING: [str(700 * (1 - math.exp(-row / 20))) for row in range(60)],
        EVALUATION: [
            str(750 * (1 - math.exp(-row / 20))) if row % 10 == 9 else "" for row in range(60)
        ],
    }
    for number, name in enumerate(("contrastive_loss", "kl", "critic_loss", "entropy_weight")):
        columns[f"train/{name}"] = [
            "" if row < 3 else str((number + 1) * math.exp(-row / 15)) for row in range(60)
        ]
    columns["train/contrastive_chance"] = ["" if row < 3 else "6.2" for row in range(60)]
    return write(tmp_path / "progress.csv", columns)


def drawn(path: Path) -> np.ndarray:
    picture = imread(path)
    assert picture.std() > 0.05, "the picture is empty"
    return picture


def test_learning_curve(log: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.csv", {STEPS: ["1", "60000"], TRAINING: ["0", "300"]})
    one = drawn(learning_curve({"CoRe": log}, tmp_path / "plots" / "one.png"))
    two = drawn(learning_curve({"CoRe": log, "SAC": other}, tmp_path / "plots" / "two.png"))
    assert one.shape == two.shape and not np.array_equal(one, two)


def test_the_standard_error_is_a_band(tmp_path: Path) -> None:
    returns = {STEPS: ["1", "2", "3"], EVALUATION: ["1", "", "3"]}
    plain = write(tmp_path / "plain.csv", returns)
    banded = write(tmp_path / "banded.csv", {**returns, plots.EVALUATION_ERROR: ["1", "", "1"]})
    pictures = [
        drawn(learning_curve({"run": log}, tmp_path / f"{log.stem}.png")) for log in (plain, banded)
    ]
    assert not np.array_equal(*pictures)


def test_training_diagnostics(log: Path, tmp_path: Path) -> None:
    whole = drawn(training_diagnostics(log, tmp_path / "whole.png"))
    thin = write(tmp_path / "thin.csv", {STEPS: ["1", "2"], "train/kl": ["3.0", ""]})
    assert not np.array_equal(whole, drawn(training_diagnostics(thin, tmp_path / "thin.png")))


def test_a_loss_that_is_0_throughout_has_no_panel(tmp_path: Path) -> None:
    pictures = []
    for name in ("continuation_loss", "n_updates"):
        log = {STEPS: ["1", "2"], "train/kl": ["3.0", "2.0"], f"train/{name}": ["0.0", "0.0"]}
        path = write(tmp_path / f"{name}.csv", log)
        pictures.append(drawn(training_diagnostics(path, tmp_path / f"{name}.png")))
    assert np.array_equal(*pictures)


def test_what_was_logged_has_a_panel_and_nothing_else() -> None:
    logged = ["time/env_steps", "train/model_loss", "train/pixel_loss", "train/pixel_chance"]
    logged += ["train/n_updates", "train/critic_loss", "train/kl", "train/actor_loss"]
    shown = plots.panels(logged)
    titles = [panel.title for panel in shown]
    assert titles == ["pixel loss", "critic loss", "KL, posterior to prior (nats)", "return"]
    assert shown[0].dashed == {"train/pixel_chance": "at chance"}


def test_cells_without_a_number_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "progress.csv"
    # A killed run leaves half a row; SB3 leaves empty cells where a column came later.
    path.write_text(f"{STEPS},{TRAINING},train/kl\n1,,nan\n2,5,x\n3,7\n4,12")
    columns = plots.read_progress(path)
    assert set(columns) == {STEPS, TRAINING}
    assert np.array_equal(columns[TRAINING], [math.nan, 5, 7], equal_nan=True)
    drawn(learning_curve({"run": path}, tmp_path / "curve.png"))


@pytest.mark.parametrize("text", ["", f"{TRAINING}\n1\n", f"{STEPS},{TRAINING}\n,1\n"])
def test_a_log_without_steps_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "progress.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="time/env_steps"):
        learning_curve({"run": path}, tmp_path / "curve.png")
    with pytest.raises(ValueError, match="time/env_steps"):
        training_diagnostics(path, tmp_path / "diagnostics.png")


def test_bad_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no runs"):
        learning_curve({}, tmp_path / "curve.png")
    with pytest.raises(FileNotFoundError):
        learning_curve({"run": tmp_path / "missing.csv"}, tmp_path / "curve.png")
    path = write(tmp_path / "progress.csv", {STEPS: ["1"], "train/kl": ["1"]})
    with pytest.raises(ValueError, match="no return to draw"):
        learning_curve({"run": path}, tmp_path / "curve.png")


def test_plots_leave_pyplot_alone(log: Path, tmp_path: Path) -> None:
    before = "matplotlib.pyplot" in sys.modules
    learning_curve({"run": log}, tmp_path / "curve.png")
    assert ("matplotlib.pyplot" in sys.modules) == before
