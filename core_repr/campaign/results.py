"""The rows of a campaign's tables, and the paper's own figures."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from core_repr.config import VARIANTS
from core_repr.envs.levels import LEVELS
from core_repr.evaluation.results import read_table
from core_repr.files.places import user_path

RESULTS_FILE, CURVES_FILE = "results.csv", "curves.csv"
"""Tables of the same form: of finished trainings, and of the evaluations on their way."""

MAX_BYTES = 100_000_000
"""Of a table of results."""


class Row(NamedTuple):
    """The evaluation of a training.

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

    @property
    def variant(self) -> str:
        """The system of the paper."""
        return self.system.partition("+")[0]

    @property
    def change(self) -> str:
        """The name of its change; empty where there is none."""
        return self.system.partition("+")[2]


def read_rows(table: str | Path, name: str = RESULTS_FILE) -> list[Row]:
    """Reads a table of a campaign.

    Args:
        table: The table, or the campaign's folder.
        name: Of the table in the folder.

    Returns:
        Of several rows of the same training and number of steps, the last one.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is another table, or a row of it is not one of a campaign.
    """
    path = user_path(table)
    path = path / name if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"There is no table of results {str(path)!r}.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is too large for a table of results.")
    rows = [_row(path, number, fields) for number, fields in read_table(path)]
    newest = {
        (row.setting, row.env_steps, row.system, row.environment, row.seed): row for row in rows
    }
    return list(newest.values())


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


def title_of(system: str) -> str:
    """Returns the paper's name of a system, with its change."""
    variant, _, change = system.partition("+")
    title = VARIANTS[variant].title if variant in VARIANTS else variant
    return f"{title}, {change}" if change else title


def published(row: Row) -> list[tuple[float, float, str]]:
    """Returns the paper's figures for what a row is of: mean, standard error, and which videos.

    Those of a background alone are all of them: a row does not tell its training videos. The
    videos are empty elsewhere. There is none for what the paper does not have, such as other
    scales, or the camera alone.
    """
    arguments = row.arguments
    setting = arguments.get("difficulty") or "none"
    camera, color = (bool(arguments.get(name, True)) for name in ("camera", "color"))
    if arguments.get("action_repeat") is not None:
        return []
    if setting != "none":
        of_level = LEVELS[setting].scale if setting in LEVELS else None
        usual = arguments.get("scale") in (None, of_level) and arguments.get("background", True)
        if not usual or camera != color or arguments.get("lighting"):
            return []
        setting = setting if camera else "background-only"
    dynamic = bool(arguments.get("dynamic"))
    key = (setting, row.env_steps, title_of(row.system), row.environment)
    static_too = setting in ("none", "background-only")
    return [
        (mean, error, videos if setting == "background-only" else "")
        for mean, error, videos, moves in _paper()[key]
        if (static_too or moves == dynamic) and "Kinetics" not in videos
    ]


def _paper() -> Mapping[tuple[str, int, str, str], list[tuple[float, float, str, bool]]]:
    if not _known:
        table = (files("core_repr.zoo") / "results" / "paper.csv").read_text()
        for row in csv.DictReader(table.splitlines()):
            title = row["method"].replace("+", " + ")
            key = (row["setting"], int(row["env_steps"]), title, row["task"])
            found = (
                float(row["mean"]),
                float(row["stderr"]),
                row["background_videos"],
                row["dynamic"] == "True",
            )
            if found not in _known[key]:
                _known[key].append(found)
    return _known


_known: defaultdict[tuple[str, int, str, str], list[tuple[float, float, str, bool]]] = defaultdict(
    list
)
