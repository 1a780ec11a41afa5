"""Tables of a campaign's results, beside the paper's."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from core_repr.config import VARIANTS
from core_repr.evaluation.results import COLUMNS
from core_repr.files.places import user_path

MAX_BYTES = 100_000_000
"""Of a table of results."""


class Row(NamedTuple):
    """A finished training.

    Attributes:
        environment: As the grid names it.
        setting: Its name in the grid.
        system: The variant, joined by the name of its change.
        seed: Of the training.
        env_steps: Simulator steps that it was trained for.
        arguments: Of the environment that it was evaluated in.
        episodes: Of the evaluation.
        mean: Return over them.
    """

    environment: str
    setting: str
    system: str
    seed: int
    env_steps: int
    arguments: Mapping[str, Any]
    episodes: int
    mean: float


def read_rows(table: str | Path) -> list[Row]:
    """Reads the results of a campaign.

    Args:
        table: ``results.csv``, or the campaign's folder.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If it is another table, or a row of it is not one of a campaign.
    """
    path = user_path(table)
    path = path / "results.csv" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"There is no table of results {str(path)!r}.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is too large for a table of results.")
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path} does not begin with the columns {', '.join(COLUMNS)}.")
        return [_row(path, number, fields) for number, fields in enumerate(reader, 2)]


def _row(path: Path, number: int, fields: Mapping[str, str]) -> Row:
    try:
        environment, setting, system, seed = fields["model"].split("/")
        return Row(
            environment,
            setting,
            system,
            int(seed.removeprefix("seed-")),
            int(fields["env_steps"]),
            dict(json.loads(fields["arguments"])),
            int(fields["episodes"]),
            float(fields["mean"]),
        )
    except (ValueError, TypeError, AttributeError):
        raise ValueError(
            f"{path}, line {number}, is not a row of a campaign: expected a model such as "
            "'walker-walk/medium/core/seed-0', and numbers."
        ) from None


def report(rows: Sequence[Row]) -> str:
    """Returns Markdown tables: a table for each setting and number of steps.

    A row is a system, a column an environment; a figure is the mean over the trainings' seeds of
    their mean returns, ± the standard error over the seeds where there are several. Below each
    system stands the paper's figure for it, where it has one. What was not run is empty.

    Args:
        rows: Of the results; of several of the same training, the last one counts.
    """
    newest = {
        (row.setting, row.env_steps, row.system, row.environment, row.seed): row for row in rows
    }
    groups: defaultdict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in newest.values():
        groups[row.setting, row.env_steps].append(row)
    parts = [_table(setting, steps, group) for (setting, steps), group in groups.items()]
    return "\n".join(parts)


def _table(setting: str, env_steps: int, rows: Sequence[Row]) -> str:
    environments = list(dict.fromkeys(row.environment for row in rows))
    order = {name: index for index, name in enumerate(VARIANTS)}
    systems = sorted(
        {row.system for row in rows},
        key=lambda system: (order.get(system.partition("+")[0], len(order)), system),
    )
    returns: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        returns[row.system, row.environment].append(row.mean)
    published = _published(rows[0].arguments, env_steps)
    several = len(environments) > 1
    lines = [
        f"## {setting}, {env_steps:,} environment steps",
        "",
        _conditions(rows, bool(published)),
        "",
        f"| | {' | '.join([*environments, *['mean'] * several])} |",
        f"|---|{'---|' * (len(environments) + several)}",
    ]
    for system in systems:
        own = [returns.get((system, environment), []) for environment in environments]
        known = [fmean(each) for each in own if each]
        mean = f"{fmean(known):.0f}" if len(known) == len(own) else ""
        cells = [*map(_figure, own), *[mean] * several]
        lines.append(f"| {_title(system)} | {' | '.join(cells)} |")
        theirs = [published.get((_title(system), environment), "") for environment in environments]
        if any(theirs):
            lines.append(f"| *the paper's* | {' | '.join([*theirs, *[''] * several])} |")
    return "\n".join(lines) + "\n"


def _title(system: str) -> str:
    variant, _, change = system.partition("+")
    title = VARIANTS[variant].title if variant in VARIANTS else variant
    return f"{title}, {change}" if change else title


def _figure(returns: Sequence[float]) -> str:
    if not returns:
        return ""
    if len(returns) == 1:
        return f"{returns[0]:.0f}"
    return f"{fmean(returns):.0f} ± {stdev(returns) / math.sqrt(len(returns)):.0f}"


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


def _published(arguments: Mapping[str, Any], env_steps: int) -> dict[tuple[str, str], str]:
    """Returns the paper's figures for a setting: title of the system and task → figure."""
    setting = arguments.get("difficulty") or "none"
    dynamic = bool(arguments.get("dynamic"))
    if not (arguments.get("camera", True) or arguments.get("color", True)):
        # Its training videos are told by the name of the setting alone: both are shown.
        setting = "background-only"
    table = (files("core_repr.zoo") / "results" / "paper.csv").read_text()
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in csv.DictReader(table.splitlines()):
        if row["setting"] != setting or int(row["env_steps"]) != env_steps:
            continue
        if setting not in ("none", "background-only") and (row["dynamic"] == "True") != dynamic:
            continue
        if "Kinetics" in row["background_videos"]:
            continue
        figure = f"{row['mean']} ± {row['stderr']}"
        if setting == "background-only":
            figure += f" ({row['background_videos']} videos)"
        title = row["method"].replace("+", " + ")
        if figure not in found[title, row["task"]]:
            found[title, row["task"]].append(figure)
    return {key: "; ".join(figures) for key, figures in found.items()}
