"""A report on a campaign's results: tables and figures, beside the paper's."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, NamedTuple

from core_repr.campaign import figures
from core_repr.campaign.aggregate import Interval, interquartile_mean
from core_repr.campaign.results import Row, published, title_of
from core_repr.config import VARIANTS
from core_repr.evaluation.plots import save_figure
from core_repr.files.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Tables(NamedTuple):
    """What is to say about some trainings.

    Attributes:
        text: Markdown tables.
        intervals: Setting → system → interquartile mean, where seeds allow one.
    """

    text: str
    intervals: dict[str, dict[str, Interval]]


def report(rows: Sequence[Row]) -> Tables:
    """Makes tables: one for each setting and number of steps.

    A row is a system, a column an environment; a figure is the mean over the trainings' seeds of
    their mean returns, ± the standard error over the seeds where there are several. Where every
    environment has two seeds or more, an interquartile mean follows, with the 95 % interval of a
    bootstrap. Below each system stands the paper's figure for it, where it has one. What was not
    run is empty.

    Args:
        rows: Of the results.
    """
    groups: defaultdict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.setting, row.env_steps].append(row)
    several = len({steps for _, steps in groups}) > 1
    parts, found = [], {}
    for (setting, steps), group in groups.items():
        part, intervals = _table(setting, steps, group)
        parts.append(part)
        if intervals:
            found[f"{setting}, {steps:,} steps" if several else setting] = intervals
    return Tables("\n".join(parts), found)


def write(rows: Sequence[Row], curves: Sequence[Row], output: Path) -> list[Path]:
    """Writes the tables into a Markdown file, and the figures into a folder of its name beside it.

    Args:
        rows: Of the results.
        curves: Of the learning curves.
        output: The file; the folder is made if needed.

    Returns:
        The figures.

    Raises:
        OSError: If they cannot be written.
    """
    tables = report(rows)
    drawn: dict[str, tuple[str, Figure]] = {}
    if curves:
        drawn["curves"] = "Learning curves", figures.learning_curves(_in_order(curves))
    drawn["returns"] = "Returns", figures.final_returns(_in_order(_comparable(rows)))
    if tables.intervals:
        drawn["intervals"] = "Interquartile means", figures.intervals(tables.intervals)
    folder = output.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    lines, paths = [tables.text], []
    for name, (title, figure) in drawn.items():
        path = save_figure(figure, folder / f"{name}.png")
        paths.append(path)
        lines.append(f"![{title}]({folder.name}/{path.name})\n")
    write_atomically(output, "\n".join(lines).encode())
    return paths


def _comparable(rows: Sequence[Row]) -> list[Row]:
    """Returns, of each setting, the rows of one number of steps: that of most trainings.

    Of several, it is the greatest one. Trainings that went on have rows of others, too.
    """
    of_setting: defaultdict[str, defaultdict[int, list[Row]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        of_setting[row.setting][row.env_steps].append(row)
    return [
        row
        for at in of_setting.values()
        for row in at[max(at, key=lambda steps: (len(at[steps]), steps))]
    ]


def _in_order(rows: Sequence[Row]) -> list[Row]:
    """Returns rows with their systems in the order of the variants."""
    order = {system: n for n, system in enumerate(_systems(rows))}
    return sorted(rows, key=lambda row: order[row.system])


def _systems(rows: Iterable[Row]) -> list[str]:
    order = {name: index for index, name in enumerate(VARIANTS)}
    # Changes of a system stay as they come.
    systems = dict.fromkeys(row.system for row in rows)
    return sorted(systems, key=lambda system: order.get(system.partition("+")[0], len(order)))


def _table(setting: str, env_steps: int, rows: Sequence[Row]) -> tuple[str, dict[str, Interval]]:
    environments = list(dict.fromkeys(row.environment for row in rows))
    returns: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        returns[row.system, row.environment].append(row.mean)
    theirs = {(row.system, row.environment): published(row) for row in rows}
    several = len(environments) > 1
    systems, intervals = _systems(rows), {}
    for system in systems:
        interval = interquartile_mean([returns[system, each] for each in environments])
        if interval is not None:
            intervals[system] = interval
    further = [*["mean"] * several, *["IQM"] * bool(intervals)]
    lines = [
        f"## {setting}, {env_steps:,} environment steps",
        "",
        _conditions(rows, any(theirs.values())),
        "",
        f"| | {' | '.join([*environments, *further])} |",
        f"|---|{'---|' * (len(environments) + len(further))}",
    ]
    for system in systems:
        own = [returns[system, environment] for environment in environments]
        known = [fmean(each) for each in own if each]
        cells = [*map(_figure, own)]
        if several:
            cells.append(f"{fmean(known):.0f}" if len(known) == len(own) else "")
        if intervals:
            cells.append(_interval(intervals.get(system)))
        lines.append(f"| {title_of(system)} | {' | '.join(cells)} |")
        beside = [_theirs(theirs.get((system, each), ())) for each in environments]
        if any(beside):
            lines.append(f"| *the paper's* | {' | '.join([*beside, *[''] * len(further)])} |")
    return "\n".join([*lines, *_spread(systems, returns, environments)]) + "\n", intervals


def _spread(
    systems: Sequence[str],
    returns: Mapping[tuple[str, str], Sequence[float]],
    environments: Sequence[str],
) -> list[str]:
    """Returns how far the returns under the changes of a system lie apart, as Figure 10 shows."""
    changes: defaultdict[str, list[str]] = defaultdict(list)
    for system in systems:
        changes[system.partition("+")[0]].append(system)
    lines = []
    for variant, changed in changes.items():
        spreads = []
        for environment in environments:
            means = [fmean(r) for system in changed if (r := returns[system, environment])]
            spreads.append(f"{stdev(means):.0f}" if len(means) > 2 else "")
        if any(spreads):
            lines.append(f"| {title_of(variant)} | {' | '.join(spreads)} |")
    if not lines:
        return []
    return [
        "",
        "Standard deviation of the mean returns over the changes of each system:",
        "",
        f"| | {' | '.join(environments)} |",
        f"|---|{'---|' * len(environments)}",
        *lines,
    ]


def _figure(returns: Sequence[float]) -> str:
    if not returns:
        return ""
    if len(returns) == 1:
        return f"{returns[0]:.0f}"
    return f"{fmean(returns):.0f} ± {stdev(returns) / math.sqrt(len(returns)):.0f}"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{interval.iqm:.0f} [{interval.low:.0f}, {interval.high:.0f}]"


def _theirs(found: Sequence[tuple[float, float, str]]) -> str:
    return "; ".join(
        f"{mean:g} ± {error:g}" + f" ({videos} videos)" * bool(videos)
        for mean, error, videos in found
    )


def _conditions(rows: Sequence[Row], beside_the_paper: bool) -> str:
    """Says what the figures are of, and what differs from the paper's."""
    seeds = _span(row.seed for row in rows)
    episodes = _span(row.episodes for row in rows)
    hidden = {"task", "split", "frame_size"}
    arguments = ", ".join(
        f"{name} {json.dumps(value)}"
        for name, value in sorted(rows[0].arguments.items())
        if name not in hidden
    )
    own = f"Seeds {seeds}, {episodes} episodes each; {arguments or 'no arguments'}."
    if not beside_the_paper:
        return own
    return f"{own} The paper's figures: ten seeds, 100 episodes each, backgrounds of DAVIS."


def _span(numbers: Iterable[int]) -> str:
    ordered = sorted(set(numbers))
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered))
