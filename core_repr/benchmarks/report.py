"""How benchmarks report: a table to read and JSON to keep."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core_repr.files.json_files import write_outcome


@dataclass(frozen=True)
class Figure:
    """One measured quantity.

    Attributes:
        name: What was measured, such as "cartpole-swingup, one process".
        value: The figure.
        unit: Its unit, such as "steps/s"; "" for a plain number.
    """

    name: str
    value: float
    unit: str = ""


def report(title: str, figures: Sequence[Figure], json_file: Path | None = None) -> None:
    """Prints figures as a table and, if asked to, writes them as JSON.

    Args:
        title: What was measured and under which settings.
        figures: In the order of printing.
        json_file: Where to write ``{"title", "machine", "figures"}`` to.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for figure in figures:
        table.add_row(figure.name, _readable(figure.value), figure.unit)
    if json_file is not None:
        outcome = {
            "title": title,
            "machine": f"{platform.machine()}, {platform.system()}, Python "
            f"{platform.python_version()}",
            "figures": [asdict(figure) for figure in figures],
        }
        json_file.parent.mkdir(parents=True, exist_ok=True)
        write_outcome(json_file, outcome)
    Console().print(table)


def _readable(value: float) -> str:
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 3
    return f"{value:,.{digits}f}"
