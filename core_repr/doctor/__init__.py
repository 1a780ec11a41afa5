"""`core-repr doctor`: whether this machine has what the toolkit needs, and what to do if not."""

from __future__ import annotations

import platform
import sys

from core_repr.doctor import contents, machine, packages, rendering
from core_repr.doctor.check import Check

__all__ = ["Check", "diagnose", "main"]


def diagnose() -> list[Check]:
    """Look at everything that the toolkit needs; takes some seconds.

    Returns:
        The findings, in the order in which they are worth reading. None of them raises.
    """
    return [
        Check("Python", "ok", f"{platform.python_version()}, {sys.platform} {platform.machine()}"),
        *packages.findings(),
        machine.processor(),
        *rendering.findings(),
        machine.ffmpeg(),
        machine.disk(),
        machine.memory(),
        contents.zoo(),
        contents.davis_videos(),
        contents.clip_cache_size(),
    ]


def main() -> int:
    """Print the findings as a table.

    Returns:
        The exit code: 1 if there is a problem, else 0.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    with console.status("Looking around …"):
        checks = diagnose()
    table = Table("", "what", "found", "to do", box=None, pad_edge=False)
    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}
    for check in checks:
        mark, style = marks[check.status]
        table.add_row(Text(mark, style), check.name, Text(check.found), Text(check.advice, style))
    console.print(table)
    problems = sum(check.status == "problem" for check in checks)
    warnings = sum(check.status == "warning" for check in checks)
    if problems or warnings:
        console.print(f"\n{problems} problem(s), {warnings} warning(s).")
    else:
        console.print("\nAll is well.")
    return 1 if problems else 0
