"""``core-repr bench``: a subcommand for each benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from core_repr.benchmarks.agent_names import AgentName
from core_repr.commands.device import check_device
from core_repr.commands.memory import keep_freed_memory
from core_repr.commands.numbers import at_least


@dataclass
class BenchEnvironment:
    """Measures environments: steps, resets, and of the Distracting Control Suite also memory.

    That takes some minutes, most of them for the cycles.

    Attributes:
        suite: "control" is the Distracting Control Suite, "robosuite" its door.
        rounds: Rates are medians over so many turns.
        cycles: How often to make, reset and close an environment of the control suite, to see what
            stays behind.
        json: File to write the figures to as well.
    """

    suite: Literal["control", "robosuite"] = "control"
    rounds: int = 5
    cycles: int = 1000
    json: Path | None = None

    def __call__(self) -> int:
        """Runs the benchmark."""
        from tqdm import tqdm

        from core_repr.benchmarks import environment, robosuite
        from core_repr.benchmarks.report import report

        at_least(1, rounds=self.rounds, cycles=self.cycles)
        of_robosuite = self.suite == "robosuite"
        parts = (robosuite if of_robosuite else environment).parts(self.rounds)
        with tqdm(total=parts, bar_format="{l_bar}{bar}| {postfix}") as bar:

            def next_part(what: str) -> None:
                bar.set_postfix_str(what)
                bar.update()

            if of_robosuite:
                figures = robosuite.benchmark_robosuite(self.rounds, next_part)
                title = "Door: colours, lights and camera, frames of 144×144 pixels, processor time"
            else:
                figures = environment.benchmark_environment(self.rounds, self.cycles, next_part)
                title = "distracting_control: medium, dynamic, frames of 84×84 pixels"
        report(title, figures, self.json)
        return 0


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

        # As in core-repr train.
        keep_freed_memory()
        at_least(1, rounds=self.rounds, threads=self.threads)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        presets = ["compact", "paper"] if self.preset is None else [self.preset]
        with tqdm(total=len(presets) * self.rounds, unit="round") as bar:
            figures = [
                figure
                for preset in presets
                for figure in benchmark_update(
                    preset, self.rounds, check_device(self.device), bar.update
                )
            ]
        threads = torch.get_num_threads()
        title = f"An update of CoReSAC, {threads} thread{'s' * (threads != 1)}"
        report(title, figures, self.json)
        return 0


@dataclass
class BenchWrapper:
    """Measures what the wrappers add to an environment's step, beside a frozen ResNet-18.

    Attributes:
        preset: Which sizes.
        environments: How many are in a batch.
        rounds: Each figure is the best of so many.
        threads: Of the wrappers and of the ResNet-18; what the wrappers take by default is 1.
        json: File to write the figures to as well.
    """

    preset: Literal["compact", "paper"] = "compact"
    environments: int = 16
    rounds: int = 40
    threads: int = 1
    json: Path | None = None

    def __call__(self) -> int:
        """Runs the benchmark."""
        from tqdm import tqdm

        from core_repr.benchmarks.report import report
        from core_repr.benchmarks.wrapper import benchmark_wrapper

        at_least(1, environments=self.environments, rounds=self.rounds, threads=self.threads)
        with tqdm(total=self.rounds, unit="round") as bar:
            figures = benchmark_wrapper(
                self.preset, self.environments, self.rounds, self.threads, bar.update
            )
        plural = "s" * (self.threads != 1)
        title = f"What wrapping costs: preset {self.preset}, {self.threads} thread{plural}"
        report(title, figures, self.json)
        return 0


@dataclass
class BenchAgents:
    """Compares SB3's agents on the latents of a model with agents on pixels and on the state.

    Every training writes its curve into the folder. What is there is not done again: a run that
    was cut off continues at the training that it was at, and several processes, each with seeds or
    agents of its own, can fill one folder.

    Attributes:
        model: A zoo name, a folder or a Hub repository; its environment is taken too.
        task: Another task of the suite with the same body, such as walker-run for a model of
            walker-walk, to see how far the latents serve it.
        agents: What they see, and what they learn with: the model's frozen latents, three stacked
            frames, or the simulator's state, which no camera has seen.
        env_steps: Simulator steps of each training.
        evaluations: How often each is evaluated.
        episodes: Episodes of an evaluation, on validation backgrounds.
        seeds: Of the trainings.
        minutes: A training ends after so many, if it has not taken all its steps by then;
            evaluations do not count. Pixels take hours for what latents take minutes for.
        folder: Where the curves go.
        json: File to write the figures to as well.
    """

    model: str = "cartpole-swingup-easy-v0"
    task: Annotated[str | None, tyro.conf.arg(metavar="DOMAIN-TASK")] = None
    agents: tuple[AgentName, ...] = ("latents-sac", "pixels-sac")
    env_steps: int = 100_000
    evaluations: int = 20
    episodes: int = 5
    seeds: tuple[int, ...] = (0, 1, 2)
    minutes: float = 30
    folder: Path = Path("runs/agents")
    json: Path | None = None

    def __call__(self) -> int:
        """Runs the comparison."""
        from tqdm import tqdm

        from core_repr.benchmarks.agents import compare
        from core_repr.benchmarks.report import report

        at_least(1, env_steps=self.env_steps, evaluations=self.evaluations, episodes=self.episodes)
        for name in ("agents", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"--{name} must name at least one.")
        total = self.env_steps * len(self.seeds) * len(self.agents)
        with tqdm(total=total, unit="step", unit_scale=True) as bar:
            figures = compare(
                self.model,
                self.agents,
                self.env_steps,
                self.evaluations,
                self.episodes,
                self.seeds,
                60 * self.minutes,
                self.folder,
                bar.update,
                self.task,
            )
        at = "" if self.task is None else f", {self.task}"
        report(f"SB3's agents on {self.model}{at}", figures, self.json)
        return 0


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
            | Annotated[BenchAgents, tyro.conf.subcommand("agents")]
        ]
    ]

    def __call__(self) -> int:
        """Runs the benchmark."""
        from core_repr.files.places import check_file

        if self.benchmark.json is not None:
            check_file(self.benchmark.json)
        return self.benchmark()
