"""``core-repr bench``: a subcommand for each benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass
class BenchEnvironment:
    """Measures the environments: steps a second, resets, memory.

    Attributes:
        json: File to write the figures to as well.
    """

    json: Path | None = None

    def __call__(self) -> int:
        """Runs the benchmark."""
        raise NotImplementedError


@dataclass
class BenchUpdate:
    """Measures the learner's update by part.

    Attributes:
        json: File to write the figures to as well.
    """

    json: Path | None = None

    def __call__(self) -> int:
        """Runs the benchmark."""
        raise NotImplementedError


@dataclass
class BenchWrapper:
    """Measures what the wrappers add to an environment's step.

    Attributes:
        json: File to write the figures to as well.
    """

    json: Path | None = None

    def __call__(self) -> int:
        """Runs the benchmark."""
        raise NotImplementedError


@dataclass
class Bench:
    """Measures what things cost on this machine.

    Attributes:
        benchmark: What to measure.
    """

    benchmark: tyro.conf.OmitSubcommandPrefixes[
        tyro.conf.OmitArgPrefixes[
            Annotated[BenchEnvironment, tyro.conf.subcommand("environment")]
            | Annotated[BenchUpdate, tyro.conf.subcommand("update")]
            | Annotated[BenchWrapper, tyro.conf.subcommand("wrapper")]
        ]
    ]

    def __call__(self) -> int:
        """Runs the benchmark."""
        return self.benchmark()
