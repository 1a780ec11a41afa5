"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One finding.

    Args:
        name: What was looked at.
        status: "warning" slows or limits some uses, "problem" prevents them.
        found: What was seen.
        advice: What to do; empty if all is well.
    """

    name: str
    status: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""
