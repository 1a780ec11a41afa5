"""A tidy table of evaluations: one row each, so that no figure is typed by hand."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core_repr.config import EnvironmentConfig
from core_repr.environments import to_json
from core_repr.evaluation.episodes import Evaluation
from core_repr.files import writing
from core_repr.files.places import user_path

COLUMNS = (
    *("model", "variant", "environment", "arguments", "env_steps", "training_seed"),
    *("episodes", "first_seed", "mean", "standard_error", "commit"),
)


@dataclass(frozen=True)
class Training:
    """What a row says of the training.

    Attributes:
        model: Name of the model.
        variant: System of the paper that it is.
        env_steps: Simulator steps that it was trained for; ``None`` where no record tells.
        seed: Of the training; ``None`` where no record tells.
        commit: Of the code that it was trained with; ``None`` where no record tells.
    """

    model: str
    variant: str
    env_steps: int | None = None
    seed: int | None = None
    commit: str | None = None


def check_table(path: Path) -> None:
    """Refuses a file that :func:`append` could not append to.

    Raises:
        FileNotFoundError: If its folder is missing.
        ValueError: If it holds something else.
    """
    path = user_path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} for {path.name}.")
    if not path.exists():
        return
    with open(path, "rb") as file:
        header = file.readline(1_000).decode(errors="replace")
    columns = ",".join(COLUMNS) + "\r\n"
    # One that was torn is begun again.
    if header.rstrip("\r\n") != columns.rstrip() and not columns.startswith(header):
        raise ValueError(
            f"{path} does not begin with the columns {', '.join(COLUMNS)}; choose another file."
        )


def read_table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Reads the rows of a table.

    Args:
        path: A ``.csv`` file.

    Yields:
        The number of a row's line, and column → value.

    Raises:
        ValueError: If it is another table, or a line of it is not a row; the message names it.
        OSError: If it cannot be read.
    """
    header, *lines = path.read_bytes().split(b"\n")
    if header.rstrip(b"\r").decode(errors="replace") != ",".join(COLUMNS):
        raise ValueError(f"{path} does not begin with the columns {', '.join(COLUMNS)}.")
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        if number > len(lines):
            raise ValueError(
                f"{path}, line {number}, has no line end, so it may not be whole: add one, or "
                "remove the line and make its result again."
            )
        try:
            (values,) = csv.reader([line.decode()])
            row = dict(zip(COLUMNS, values, strict=True))
        except (ValueError, csv.Error):
            raise ValueError(
                f"{path}, line {number}, is not a row of results: expected {len(COLUMNS)} values; "
                "remove the line and make its result again."
            ) from None
        yield number, row


def cut_torn_row(path: Path) -> None:
    """Cuts the last line of a table where it has no line end, and warns of it.

    A full disk or a power cut leaves such a line, of which a value may be a part of one.

    Args:
        path: A ``.csv`` file; may be missing.

    Raises:
        OSError: If it cannot be written.
    """
    torn = writing.cut_torn_line(path) if path.exists() else ""
    if torn:
        warnings.warn(
            f"The last line of {path} has no line end, so it may not be whole, and is cut: "
            f"{torn[:1_000]!r}.",
            stacklevel=2,
        )


def discard(path: Path, training: Training) -> None:
    """Removes the rows of a training with so many steps; the others stay as they are.

    Args:
        path: A ``.csv`` file; may be missing.
        training: Model and steps.

    Raises:
        ValueError: If the table cannot be read.
        OSError: If it cannot be written.
    """
    if not path.exists():
        return
    of_training = (training.model, str(training.env_steps or ""))
    lines = [n for n, row in read_table(path) if (row["model"], row["env_steps"]) == of_training]
    if lines:
        content = path.read_bytes().split(b"\n")
        kept = (line for number, line in enumerate(content, 1) if number not in lines)
        writing.write_atomically(path, b"\n".join(kept))


def append(
    path: Path,
    training: Training,
    environment: EnvironmentConfig,
    evaluation: Evaluation,
) -> None:
    """Appends the row of an evaluation to a table, which is made if needed.

    A last line without its line end is cut before.

    Args:
        path: A ``.csv`` file.
        training: What was trained.
        environment: What it was evaluated in.
        evaluation: The returns.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If the file holds something else.
        OSError: If it cannot be written.
    """
    check_table(path)
    path = user_path(path)
    cut_torn_row(path)
    made_with = to_json(environment)
    environment_id = made_with.pop("id")
    arguments = made_with if "wrappers" in made_with else made_with["arguments"]
    error = evaluation.standard_error
    row: dict[str, Any] = {
        "model": training.model,
        "variant": training.variant,
        "environment": environment_id,
        "arguments": json.dumps(arguments, sort_keys=True),
        "env_steps": training.env_steps,
        "training_seed": training.seed,
        "episodes": len(evaluation.returns),
        "first_seed": evaluation.seeds[0],
        "mean": f"{evaluation.mean:.6g}",
        # Of a single episode, there is none.
        "standard_error": f"{error:.4g}" if error == error else None,
        "commit": training.commit,
    }
    lines = io.StringIO()
    writer = csv.DictWriter(lines, COLUMNS)
    if not path.exists() or not path.stat().st_size:
        writer.writeheader()
    writer.writerow(row)
    writing.append(path, lines.getvalue())
