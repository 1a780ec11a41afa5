"""``core-repr doctor``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Doctor:
    """Tells what works on this machine, and what to do about problems."""

    def __call__(self) -> int:
        """Runs the checks."""
        from core_repr import doctor

        return doctor.main()
