"""Figures of a campaign's results, in the form of the paper's: curves, bars and intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core_repr.campaign.aggregate import Interval
from core_repr.campaign.results import Row, published, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 6
"""Panels beside one another."""


class Panel(NamedTuple):
    """Rows that are drawn together.

    Attributes:
        place: What they share, which is the panel's title.
        lines: Label → rows.
    """

    place: str
    lines: dict[str, list[Row]]


def learning_curves(rows: Sequence[Row]) -> Figure:
    """Draws return against environment steps: Figures 2, 4, 8, 10 and 11 of the paper.

    A line is the mean over the seeds, its band the standard error over them. A row of panels is a
    setting, a column an environment; of a single environment, each setting is a panel. Lines are
    the systems. Where there are changes of them, those are the lines, and each system has its own
    panels; where there is one system alone, the settings are the lines, static and dynamic ones
    apart. A diamond is the paper's figure for the same number of steps.

    Args:
        rows: Evaluations on the way of each training.
    """
    layout, columns = _layout(rows)
    figure, places = _panels(len(layout), columns)
    colours = _colours(label for panel in layout for label in panel.lines)
    for axes, panel in zip(places, layout, strict=True):
        for label, of_line in panel.lines.items():
            _draw_curve(axes, of_line, label, colours[label])
            last = max(of_line, key=lambda row: row.env_steps)
            theirs = published(last)
            # Where there are several, the row does not tell which one it is.
            if len(theirs) == 1:
                mean, error, _ = theirs[0]
                axes.errorbar(last.env_steps, mean, error, color=colours[label], fmt="D", capsize=3)
        axes.set_title(panel.place, fontsize=10)
        axes.grid(alpha=0.3)
        _steps(axes)
    figure.supxlabel("environment steps", fontsize=10)
    figure.supylabel("return", fontsize=10)
    _legend(figure, colours)
    return figure


def final_returns(rows: Sequence[Row]) -> Figure:
    """Draws the returns of finished trainings as bars: Figures 3 and 9 of the paper.

    A group of bars is an environment, a bar a system, its line the standard error over the seeds.
    Each setting has its panel.

    Args:
        rows: Of the results.
    """
    settings = _unique(row.setting for row in rows)
    systems = _unique(row.system for row in rows)
    environments = _unique(row.environment for row in rows)
    colours = _colours(title_of(system) for system in systems)
    from matplotlib.figure import Figure

    width = max(5.0, 1.2 + 0.25 * len(systems) * (len(environments) + 1))
    figure = Figure(figsize=(min(width, 16), 3 * len(settings) + 0.6), layout="constrained")
    for axes, setting in zip(
        figure.subplots(len(settings), squeeze=False)[:, 0], settings, strict=True
    ):
        returns: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for row in rows:
            if row.setting == setting:
                returns[row.system, row.environment].append(row.mean)
        groups: Mapping[str, Callable[[str], tuple[float, float] | None]] = {
            **{each: _of_environment(returns, each) for each in environments},
            **({"mean": _of_all(returns, environments)} if len(environments) > 1 else {}),
        }
        share = 0.8 / len(systems)
        for group, figure_of in enumerate(groups.values()):
            for number, system in enumerate(systems):
                found = figure_of(system)
                if found is None:
                    continue
                place = group + (number - (len(systems) - 1) / 2) * share
                mean, error = found
                axes.bar(place, mean, 0.9 * share, color=colours[title_of(system)])
                axes.errorbar(place, mean, error or None, color="black", linewidth=1)
        axes.set_xticks(range(len(groups)), [*groups], fontsize=9)
        axes.set_title(setting, fontsize=10)
        axes.grid(alpha=0.3, axis="y")
    figure.supylabel("return", fontsize=10)
    _legend(figure, colours)
    return figure


def intervals(found: Mapping[str, Mapping[str, Interval]]) -> Figure:
    """Draws interquartile means with their intervals.

    Args:
        found: Setting → system → its interval.
    """
    from matplotlib.figure import Figure

    rows = sum(len(each) for each in found.values())
    figure = Figure(figsize=(7, 0.9 * len(found) + 0.35 * rows + 0.6), layout="constrained")
    ratios = [len(each) + 1 for each in found.values()]
    subplots = figure.subplots(len(found), squeeze=False, sharex=True, height_ratios=ratios)
    colours = _colours(title_of(system) for each in found.values() for system in each)
    for axes, (setting, systems) in zip(subplots[:, 0], found.items(), strict=True):
        for place, (system, interval) in enumerate(systems.items()):
            axes.plot([interval.low, interval.high], [place, place], linewidth=5, alpha=0.4,
                      color=colours[title_of(system)], solid_capstyle="butt")  # fmt: skip
            axes.plot(interval.iqm, place, "k|", markersize=12)
        axes.set_yticks(range(len(systems)), map(title_of, systems), fontsize=9)
        axes.set_ylim(len(systems) - 0.5, -0.5)
        axes.set_title(setting, fontsize=10)
        axes.grid(alpha=0.3, axis="x")
    figure.supxlabel("interquartile mean of the returns, 95 % interval", fontsize=10)
    return figure


def _layout(rows: Sequence[Row]) -> tuple[list[Panel], int]:
    """Decides what is a panel and what is a line; panels come row by row.

    Returns:
        The panels, and how many are beside one another.
    """
    groups: list[tuple[str, ...]]
    if len({row.change for row in rows}) > 1:
        labels = [row.change or "unchanged" for row in rows]
        groups = [(row.setting, title_of(row.variant)) for row in rows]
    elif len({row.system for row in rows}) == 1 and len({row.setting for row in rows}) > 1:
        labels = [row.setting for row in rows]
        groups = [("dynamic" if row.arguments.get("dynamic") else "static",) for row in rows]
    else:
        labels = [title_of(row.system) for row in rows]
        groups = [(row.setting,) for row in rows]
    environments = _unique(row.environment for row in rows)
    places = [(e, *group) for group in _unique(groups) for e in environments]
    # What is the same everywhere is not a title.
    varies = [len(set(parts)) > 1 for parts in zip(*places, strict=True)]
    panels = {}
    for place in places:
        title = ", ".join(part for part, tells in zip(place, varies, strict=True) if tells)
        panels[place] = Panel(title or place[0], {})
    for row, group, label in zip(rows, groups, labels, strict=True):
        panels[(row.environment, *group)].lines.setdefault(label, []).append(row)
    beside = len(environments) if len(environments) > 1 else min(len(places), COLUMNS)
    return list(panels.values()), beside


def _panels(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    lines = math.ceil(count / columns)
    figure = Figure(figsize=(max(2.7 * columns, 5), 2.4 * lines + 0.8), layout="constrained")
    places = [*figure.subplots(lines, columns, squeeze=False).flat]
    for axes in places[count:]:
        axes.set_axis_off()
    return figure, places[:count]


def _draw_curve(axes: Axes, rows: Sequence[Row], label: str, colour: str) -> None:
    of_seed: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row.env_steps):
        of_seed[row.seed][row.env_steps] = row.mean
    # From where the last seed begins to where the first ends: beyond it, the mean would jump.
    # Episodes that end early bring each seed's evaluations at steps of its own.
    begin, end = max(map(min, of_seed.values())), min(map(max, of_seed.values()))
    steps = sorted({step for curve in of_seed.values() for step in curve if begin <= step <= end})
    if not steps:
        return
    returns = np.array(
        [np.interp(steps, [*curve], [*curve.values()]) for curve in of_seed.values()]
    )
    means = returns.mean(0)
    axes.plot(steps, means, color=colour, label=label, marker=".", markersize=4, linewidth=1.2)
    if len(returns) > 1:
        errors = np.array([_error(each) for each in returns.T])
        axes.fill_between(
            steps, means - errors, means + errors, color=colour, alpha=0.2, linewidth=0
        )


def _of_environment(
    returns: Mapping[tuple[str, str], list[float]], environment: str
) -> Callable[[str], tuple[float, float] | None]:
    def figure_of(system: str) -> tuple[float, float] | None:
        known = returns.get((system, environment))
        return (fmean(known), _error(known)) if known else None

    return figure_of


def _of_all(
    returns: Mapping[tuple[str, str], list[float]], environments: Sequence[str]
) -> Callable[[str], tuple[float, float] | None]:
    def figure_of(system: str) -> tuple[float, float] | None:
        known = [returns.get((system, environment)) for environment in environments]
        if not all(known):
            return None
        return fmean(fmean(each) for each in known if each), 0.0

    return figure_of


def _error(returns: Sequence[float]) -> float:
    return stdev(returns) / math.sqrt(len(returns)) if len(returns) > 1 else 0.0


def _unique(names: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(names))


def _colours(labels: Iterable[str]) -> dict[str, str]:
    unique = _unique(labels)
    return {label: f"C{number % 10}" for number, label in enumerate(unique)}


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, linewidth=3) for colour in colours.values()]
    figure.legend(handles, [*colours], loc="outside upper center", ncols=5, fontsize=9)


def _steps(axes: Axes) -> None:
    from matplotlib.ticker import EngFormatter

    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=8)
