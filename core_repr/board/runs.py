"""What a folder of runs holds: curves, evaluations, settings, videos."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core_repr.config.settings_file import flat
from core_repr.evaluation.plots import ENV_STEPS, UPDATES, Columns, read_progress
from core_repr.files.json_files import read_json
from core_repr.files.names import (
    EVALUATIONS_FILE,
    MAX_RECORD_BYTES,
    PROGRESS_FILE,
    SETTINGS_FILE,
)
from core_repr.files.reading import read_bounded

DEEPEST = 5
"""Folders below the one that was named; a campaign's runs lie so deep."""

WITHIN_A_RUN = frozenset({"model", "checkpoints", "replay", "tensorboard", "wandb"})
NOT_COMPARED = ("versions", "commit", "dataset")
"""Of ``settings.json``: what was installed or read, not what was chosen."""


@dataclass(frozen=True)
class Run:
    """A training, as its folder shows it now.

    Attributes:
        name: Its folder, from the one that was named.
        folder: The folder.
        settings: Whole name → value, as JSON knows it.
        curves: Column of ``progress.csv`` → numbers; empty before the first line.
        evaluations: Lines of ``evaluations.jsonl``.
        videos: Files that end in .mp4.
    """

    name: str
    folder: Path
    settings: dict[str, Any]
    curves: Columns
    evaluations: list[dict[str, Any]]
    videos: list[Path]

    @property
    def steps_column(self) -> str:
        """What its curves are drawn over."""
        return ENV_STEPS if ENV_STEPS in self.curves else UPDATES

    @property
    def steps(self) -> int:
        """How far it is."""
        numbers = self.curves.get(self.steps_column)
        return 0 if numbers is None else int(max(numbers[numbers == numbers], default=0))

    @property
    def goal(self) -> int | None:
        """How far it is to go."""
        for name in ("schedule.env_steps", "schedule.updates"):
            goal = self.settings.get(name)
            if isinstance(goal, int | float):
                return int(goal)
        return None


def find_runs(folder: str | os.PathLike[str]) -> list[Run]:
    """Returns the runs below a folder, or the one that it is, sorted by their names.

    What is half written is left out until the next time.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {str(folder)!r}.")
    found = []
    for place in sorted(_folders(root, DEEPEST)):
        name = place.relative_to(root).as_posix()
        try:
            found.append(_read(place, root.resolve().name if name == "." else name))
        except (OSError, ValueError):
            continue
    return found


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    # Such as lost+found, where runs have a disk of their own.
    if not os.access(folder, os.R_OK | os.X_OK):
        return
    if (folder / SETTINGS_FILE).is_file():
        yield folder
        return
    if depth:
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink() and path.name not in WITHIN_A_RUN:
                yield from _folders(path, depth - 1)


def _read(folder: Path, name: str) -> Run:
    settings = read_json(folder / SETTINGS_FILE, MAX_RECORD_BYTES)
    compared = {key: value for key, value in settings.items() if key not in NOT_COMPARED}
    try:
        curves = read_progress(folder / PROGRESS_FILE)
    except (FileNotFoundError, ValueError):
        curves = {}
    evaluations = []
    if (folder / EVALUATIONS_FILE).is_file():
        text = read_bounded(folder / EVALUATIONS_FILE, MAX_RECORD_BYTES).decode()
        whole = text[: text.rfind("\n") + 1]
        evaluations = [
            line for line in map(json.loads, whole.splitlines()) if isinstance(line, dict)
        ]
    videos = sorted(folder.glob("*.mp4"))
    return Run(name, folder, dict(flat(compared)), curves, evaluations, videos)


def differences(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Returns the settings that are not the same in all runs, a row each.

    Args:
        runs: Two or more.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.settings))
    rows = []
    for name in names:
        values = [json.dumps(run.settings.get(name)) for run in runs]
        if len(set(values)) > 1:
            rows.append(
                {"setting": name, **{run.name: v for run, v in zip(runs, values, strict=True)}}
            )
    return rows


def standings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Returns how each run stands: a row each, with its newest evaluation."""
    rows = []
    for run in runs:
        newest = run.evaluations[-1] if run.evaluations else {}
        means = [e["mean"] for e in run.evaluations if isinstance(e.get("mean"), int | float)]
        scores = newest.get("imagined_reward_r2") or {}
        rows.append(
            {
                "run": run.name,
                "environment": _environment(run),
                "steps": run.steps,
                "of": run.goal,
                "return": newest.get("mean"),
                "standard error": newest.get("standard_error"),
                "best": max(means, default=None),
                "R² of rewards 3 steps ahead": scores.get("3"),
            }
        )
    return rows


def _environment(run: Run) -> str:
    for name in ("environment.id", "config.environment.id", "schedule.dataset"):
        if run.settings.get(name):
            return str(run.settings[name])
    return ""
