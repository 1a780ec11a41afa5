"""Learning curves and training diagnostics, drawn from the logger's `progress.csv`."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core_repr.files.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

StrPath = str | os.PathLike[str]
Columns = dict[str, npt.NDArray[np.float64]]

ENV_STEPS = "time/env_steps"
UPDATES = "time/updates"
"""Of a training without an environment."""
TRAINING_RETURN = "rollout/ep_rew_mean"
EVALUATION_RETURN = "eval/mean_reward"
EVALUATION_ERROR = "eval/standard_error"


class Panel(NamedTuple):
    """A small plot.

    Attributes:
        title: What it shows.
        solid: Column → label of its lines.
        dashed: Column → label of a reference for them.
        logarithmic: Whether the vertical axis is.
    """

    title: str
    solid: dict[str, str]
    dashed: dict[str, str] = {}  # noqa: RUF012
    logarithmic: bool = False


def panels(columns: Iterable[str]) -> list[Panel]:
    """Returns the panels of a run: one for each loss that it logged, its weights and its return.

    A loss with a value at chance, such as L_c with log N, stands against that: a model that stays
    there is not learning.

    Args:
        columns: Names of what was logged.
    """
    logged = list(columns)
    found = []
    for column in logged:
        name = column.removeprefix("train/")
        if name == column or name == "model_loss":
            continue
        title, chance = name.replace("_", " "), f"train/{name.removesuffix('_loss')}_chance"
        if chance in logged and chance != column:
            found.append(Panel(title, {column: "loss"}, {chance: "at chance"}))
        elif name.endswith("_loss") and name != "actor_loss":
            found.append(Panel(title, {column: title}, logarithmic=True))
        elif name == "kl":
            found.append(Panel("KL, posterior to prior (nats)", {column: "KL"}))
        elif name == "entropy_weight":
            found.append(Panel("entropy weight α", {column: "α"}, logarithmic=True))
        elif name == "inverse_temperature":
            found.append(Panel("inverse temperature λ", {column: "λ"}))
    returns = {EVALUATION_RETURN: "evaluation", TRAINING_RETURN: "training"}
    # A training from a data set has none.
    return found if UPDATES in logged else [*found, Panel("return", returns)]


def learning_curve(runs: Mapping[str, StrPath], path: StrPath) -> Path:
    """Draw return against environment steps, one colour a run.

    Evaluation is a solid line with dots, in a band of one standard error over its episodes where
    that was logged; training is a thin line.

    Args:
        runs: A label and the `progress.csv` of each run.
        path: Where to write the picture, a PNG. Missing folders are made.

    Returns:
        The path.

    Raises:
        ValueError: If there is no run, or a run has no environment steps or no return.
        FileNotFoundError: If a run's file is not there.
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
    return save_figure(figure, path)


def training_diagnostics(source: StrPath, path: StrPath) -> Path:
    """Draw a run's losses, weights and returns as small panels against environment steps.

    Of a training from a data set, against updates.

    Args:
        source: The run's `progress.csv`.
        path: Where to write the picture, a PNG. Missing folders are made.

    Returns:
        The path.

    Raises:
        ValueError: If the run has no environment steps.
        FileNotFoundError: If `source` is not there.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    columns = read_progress(source)
    # A loss that is 0 throughout, such as of terminations where there are none, has no panel.
    shown = panels(name for name, numbers in columns.items() if np.nan_to_num(numbers).any())
    rows = math.ceil(len(shown) / 4)
    figure = Figure(figsize=(14, 3 * rows), layout="constrained")
    places = list(figure.subplots(rows, 4, squeeze=False).flat)
    for axes, panel in zip(places, shown, strict=False):
        drawn = [_line(axes, columns, column, label) for column, label in panel.solid.items()]
        for column, label in panel.dashed.items():
            drawn.append(
                _line(axes, columns, column, label, color="grey", linestyle="--", linewidth=1)
            )
        axes.set_title(panel.title, fontsize=10)
        axes.grid(alpha=0.3)
        if panel.logarithmic:
            axes.set_yscale("log", nonpositive="mask")
        if sum(drawn) > 1:
            axes.legend(fontsize=8)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in places[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel("environment steps" if ENV_STEPS in columns else "updates", fontsize=10)
    return save_figure(figure, path)


def read_progress(source: StrPath) -> Columns:
    """Read the numbers of a run's `progress.csv`.

    Args:
        source: The file.

    Returns:
        Each column that has numbers; a cell that is empty or no number is NaN.

    Raises:
        ValueError: If the run has no environment steps.
        FileNotFoundError: If `source` is not there.
    """
    text = Path(source).read_text()
    # A run that was killed while it wrote leaves half a row.
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.DictReader(whole.splitlines(), restval=""))
    names = [name for name in (rows[0] if rows else ()) if name]
    columns = {name: np.array([_number(row[name]) for row in rows]) for name in names}
    columns = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    if not {ENV_STEPS, UPDATES} & columns.keys():
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
    steps = columns[ENV_STEPS] if ENV_STEPS in columns else columns[UPDATES]
    there = np.isfinite(columns[column]) & np.isfinite(steps)
    axes.plot(steps[there], columns[column][there], label=label, **style)
    return bool(there.any())


def save_figure(figure: Figure, path: StrPath, dpi: int = 120) -> Path:
    """Write a figure as a PNG, whole or not at all.

    Args:
        figure: The figure.
        path: Where to. Missing folders are made.
        dpi: Pixels an inch.

    Returns:
        The path.

    Raises:
        OSError: If it cannot be written; the message names the path and the way out.
    """
    path, drawn = Path(path), io.BytesIO()
    figure.savefig(drawn, dpi=dpi, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, drawn.getvalue())
    return path
