"""``core-repr bench``: a subcommand for each benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

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
    """Measures the learner's update by part, and against a plain matrix product.

    Attributes:
        preset: Which sizes; both presets by default.
        rounds: Each figure is the median of so many.
        threads: Threads of torch; its own choice by default.
        device: "auto", "cpu" or "cuda".
        json: File to write the figures to as well.
    """

    preset: Literal["compact", "paper"] | None = None
    rounds: int = 5
    threads: int | None = None
    device: str = "auto"
    json: Path | None = None

    def __call__(self) -> int:
        """Runs the benchmark."""
        import torch
        from tqdm import tqdm

        from core_repr.benchmarks.report import report
        from core_repr.benchmarks.update import benchmark_update

        for name, value in (("--rounds", self.rounds), ("--threads", self.threads)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}.")
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        presets = ["compact", "paper"] if self.preset is None else [self.preset]
        with tqdm(total=len(presets) * self.rounds, unit="round") as bar:
            figures = [
                figure
                for preset in presets
                for figure in benchmark_update(preset, self.rounds, self.device, bar.update)
            ]
        threads = torch.get_num_threads()
        title = f"An update of CoReSAC, {threads} thread{'s' * (threads != 1)}"
        report(title, figures, self.json)
        return 0


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
