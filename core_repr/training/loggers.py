"""Where a run's log goes besides ``progress.csv``: TensorBoard, Weights & Biases."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

from core_repr.files.json_files import read_json, write_json

LoggerName = Literal["csv", "tensorboard", "wandb"]

WANDB_FILE = "wandb.json"
WANDB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class WandbOutput(KVWriter):
    """Sends a run's log to Weights & Biases.

    Its own environment variables say where to, such as ``WANDB_PROJECT`` and ``WANDB_MODE``.

    Args:
        run: The run's folder. A run that is resumed goes on in the same place.
        settings: What the run was started with.

    Raises:
        ModuleNotFoundError: If wandb is missing.
    """

    def __init__(self, run: Path, settings: dict[str, Any]) -> None:
        try:
            import wandb
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "Weights & Biases needs its package: pip install wandb."
            ) from None
        name = "-".join(run.resolve().parts[-2:])
        own_id = _wandb_id(run / WANDB_FILE)
        self._run = wandb.init(dir=str(run), name=name, id=own_id, resume="allow", config=settings)

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Sends a line of the log."""
        numbers = {
            name: float(value)
            for name, value in key_values.items()
            if isinstance(value, int | float | np.number)
        }
        self._run.log(numbers, step=step)

    def close(self) -> None:
        """Ends the run there."""
        self._run.finish()


def _wandb_id(path: Path) -> str:
    """Returns what a run is known by there, its own also where another has the same name."""
    if path.is_file():
        known = read_json(path).get("id")
        if not isinstance(known, str) or WANDB_ID.fullmatch(known) is None:
            raise ValueError(f"{path} holds no id of a run; remove it, and the run gets a new one.")
        return known
    new = secrets.token_hex(4)
    write_json(path, {"id": new})
    return new


def pending(logger: Logger) -> dict[str, Any]:
    """Returns what a logger holds for its next line, in JSON's terms."""
    return {
        # NumPy's numbers as Python's.
        "log": {
            name: getattr(value, "item", lambda value=value: value)()
            for name, value in logger.name_to_value.items()
        },
        "log_counts": dict(logger.name_to_count),
        "log_excluded": {
            name: list(excluded) for name, excluded in logger.name_to_excluded.items()
        },
    }


def further_outputs(
    names: Sequence[LoggerName], run: Path, settings: dict[str, Any]
) -> list[KVWriter]:
    """Returns what a run's log goes to besides ``progress.csv``, which is always written.

    Args:
        names: Of them.
        run: The run's folder; TensorBoard's files go to ``tensorboard`` in it.
        settings: What the run was started with.

    Raises:
        ModuleNotFoundError: If a package is missing.
    """
    found: list[KVWriter] = []
    if "tensorboard" in names:
        try:
            found.append(TensorBoardOutputFormat(str(run / "tensorboard")))
        except AssertionError:
            raise ModuleNotFoundError(
                "TensorBoard needs its package: pip install tensorboard."
            ) from None
    if "wandb" in names:
        found.append(WandbOutput(run, settings))
    return found
