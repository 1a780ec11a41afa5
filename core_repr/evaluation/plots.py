"""Learning curves and training diagnostics, drawn from the logger's `progress.csv`."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

StrPath = str | os.PathLike[str]
Columns = dict[str, npt.NDArray[np.float64]]

ENV_STEPS = "time/env_steps"
TRAINING_RETURN = "rollout/ep_rew_mean"
EVALUATION_RETURN = "eval/mean_reward"
EVALUATION_ERROR = "eval/standard_error"

# Title, solid lines, dashed line (a reference for the solid ones), logarithmic axis.
_PANELS: tuple[tuple[str, dict[str, str], dict[str, str], bool], ...] = (
    (
        "contrastive loss L_c",
        {"train/contrastive_loss": "L_c"},
        {"train/contrastive_chance": "chance, log N"},
        False,
    ),
    ("KL, posterior to prior (nats)", {"train/kl": "KL"}, {}, False),
    ("reward loss", {"train/reward_loss": "reward loss"}, {}, True),
    ("inverse dynamics loss", {"train/inverse_dynamics_loss": "inverse dynamics loss"}, {}, True),
    ("critic loss", {"train/critic_loss": "critic loss"}, {}, True),
    ("entropy weight α", {"train/entropy_weight": "α"}, {}, True),
    ("inverse temperature λ", {"train/inverse_temperature": "λ"}, {}, False),
    ("return", {EVALUATION_RETURN: "evaluation", TRAINING_RETURN: "training"}, {}, False),
)


def learning_curve(runs: Mapping[str, StrPath], path: StrPath) -> Path:
    """Draw return against environment steps, one colour a run.

    Evaluation is a solid line with dots, in a band of one standard error over its episodes where
    that was logged; training is a thin line.

    Args:
        runs: a label and the `progress.csv` of each run.
        path: where to write the picture, a PNG. Missing folders are made.

    Returns:
        The path.

    Raises:
        ValueError: if there is no run, or a run has no environment steps or no return.
        FileNotFoundError: if a run's file is not there.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    if not runs:
        raise ValueError("there are no runs to draw: give a label and a progress.csv")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (label, source) in enumerate(runs.items()):
        columns = read_progress(source)
        if not {EVALUATION_RETURN, TRAINING_RETURN} & columns.keys():
            raise ValueError(
                f"{os.fspath(source)} has neither a column {EVALUATION_RETURN!r} nor "
                f"{TRAINING_RETURN!r}, so there is no return to draw; it is written after the "
                "first whole episode"
            )
        colour = f"C{number}"
        evaluated = _line(
            axes, columns, EVALUATION_RETURN, label, color=colour, marker="o", markersize=4
        )
        if evaluated and EVALUATION_ERROR in columns:
            steps, mean, error = (
                columns[name] for name in (ENV_STEPS, EVALUATION_RETURN, EVALUATION_ERROR)
            )
            there = np.isfinite(steps + mean + error)
            axes.fill_between(
                steps[there],
                (mean - error)[there],
                (mean + error)[there],
                color=colour,
                alpha=0.2,
                linewidth=0,
            )
        trained_label = f"{label}, training" if evaluated else label
        _line(axes, columns, TRAINING_RETURN, trained_label, color=colour, alpha=0.5, linewidth=1)
    axes.set(xlabel="environment steps", ylabel="return")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    axes.legend()
    return _save(figure, path)


def training_diagnostics(source: StrPath, path: StrPath) -> Path:
    """Draw a run's losses, weights and returns as small panels against environment steps.

    The contrastive loss stands against its value at chance, log N: a model that stays there is not
    learning. Columns that a run did not log leave their panel empty.

    Args:
        source: the run's `progress.csv`.
        path: where to write the picture, a PNG. Missing folders are made.

    Returns:
        The path.

    Raises:
        ValueError: if the run has no environment steps.
        FileNotFoundError: if `source` is not there.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    columns = read_progress(source)
    figure = Figure(figsize=(14, 6), layout="constrained")
    for axes, (title, solid, dashed, logarithmic) in zip(
        figure.subplots(2, 4).flat, _PANELS, strict=True
    ):
        drawn = [_line(axes, columns, column, label) for column, label in solid.items()]
        for column, label in dashed.items():
            drawn.append(
                _line(axes, columns, column, label, color="grey", linestyle="--", linewidth=1)
            )
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        if not any(drawn):
            axes.text(0.5, 0.5, "not logged", ha="center", transform=axes.transAxes, color="grey")
            axes.set(xticks=[], yticks=[])
            continue
        if logarithmic:
            axes.set_yscale("log", nonpositive="mask")
        if sum(drawn) > 1:
            axes.legend(fontsize=8)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    figure.supxlabel("environment steps", fontsize=10)
    return _save(figure, path)


def read_progress(source: StrPath) -> Columns:
    """Read the numbers of a run's `progress.csv`.

    Args:
        source: the file.

    Returns:
        Each column that has numbers; a cell that is empty or no number is NaN.

    Raises:
        ValueError: if the run has no environment steps.
        FileNotFoundError: if `source` is not there.
    """
    text = Path(source).read_text()
    # A run that was killed while it wrote leaves half a row.
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.DictReader(whole.splitlines(), restval=""))
    names = [name for name in (rows[0] if rows else ()) if name]
    columns = {name: np.array([_number(row[name]) for row in rows]) for name in names}
    columns = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    if ENV_STEPS not in columns:
        raise ValueError(
            f"{os.fspath(source)} has no numbers in a column {ENV_STEPS!r}; expected the "
            "progress.csv of a training run that has logged at least once"
        )
    return columns


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _line(axes: Axes, columns: Columns, column: str, label: str, **style: Any) -> bool:
    """Draw a column where it has numbers; whether it has any."""
    if column not in columns:
        return False
    there = np.isfinite(columns[column]) & np.isfinite(columns[ENV_STEPS])
    axes.plot(columns[ENV_STEPS][there], columns[column][there], label=label, **style)
    return bool(there.any())


def _save(figure: Figure, path: StrPath) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, format="png")
    return path
