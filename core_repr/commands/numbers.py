"""Options that are numbers, checked before anything is loaded."""

from __future__ import annotations


def at_least(lowest: float, **options: float | None) -> None:
    """Refuses options that are too small.

    Args:
        lowest: What they may be.
        **options: Name, with underscores → value; ``None`` for one that was left out.

    Raises:
        ValueError: In a sentence that names the option.
    """
    for name, value in options.items():
        # `not >=` also refuses what is not a number.
        if value is not None and not value >= lowest:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be at least {lowest}, not {value}.")
