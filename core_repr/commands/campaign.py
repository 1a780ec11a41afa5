"""``core-repr campaign``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from core_repr.commands.environment import Import, import_module

if TYPE_CHECKING:
    from core_repr.campaign import Outcome


@dataclass
class Campaign:
    """Trains and evaluates a grid of tasks, settings, systems and seeds, on Ray.

    A campaign that was stopped, or lost a machine, continues where it was when it is started
    again: what has a row in results.csv is not done again, and what was under way resumes from its
    checkpoint. With another number of episodes in the grid, finished trainings are evaluated again.

    Attributes:
        grid: A YAML file, or one of the package's own: the paper's tables and figures; `list`
            names them.
        folder: Where runs and results.csv go; by default, one under campaigns/ that is named after
            the grid. On a cluster, all machines must see it under this path.
        address: Of a running Ray cluster, auto or HOST:PORT; this machine by default.
        processes: Trainings at once on this machine; as many as cores by default.
        cores: Of a training.
        gpus: Of a training; 0.25 lets four share one.
        attempts: How often a training is tried before it is left out.
        dry_run: Check the grid and name its trainings, and start none.
        import_: Module to import first, which registers environments of one's own.
    """

    grid: tyro.conf.Positional[str]
    folder: Path | None = None
    address: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    processes: int | None = None
    cores: float = 1.0
    gpus: float = 0.0
    attempts: int = 3
    dry_run: bool = False
    import_: Import = None

    def __call__(self) -> int:
        """Runs the campaign."""
        from core_repr.campaign import read_grid, run_campaign
        from core_repr.campaign.grid import grid_names

        if self.grid == "list":
            for name in grid_names():
                print(f"{name}: {read_grid(name).title}")
            return 0
        for name, lowest in (("attempts", 1), ("cores", 0), ("gpus", 0)):
            if getattr(self, name) < lowest:
                raise ValueError(f"--{name} must be at least {lowest}, not {getattr(self, name)}.")
        if self.processes is not None and self.processes < 1:
            raise ValueError(f"--processes must be at least 1, not {self.processes}.")
        import_module(self.import_)
        grid = read_grid(self.grid)
        if self.dry_run:
            cells = grid.cells()
            for cell in cells:
                cell.check()
                print(cell.name)
            print(f"{len(cells)} trainings of {grid.env_steps:,} environment steps")
            return 0
        folder = self.folder or Path("campaigns") / Path(self.grid).stem
        print(
            f"{grid.title}: {len(grid.cells())} trainings of {grid.env_steps:,} environment steps, "
            f"in {folder}",
            flush=True,
        )
        outcomes = run_campaign(
            grid,
            folder,
            address=self.address,
            processes=self.processes,
            cores=self.cores,
            gpus=self.gpus,
            attempts=self.attempts,
            module=self.import_,
            report=_report,
        )
        failed = [outcome for outcome in outcomes if outcome.evaluation is None]
        for outcome in failed:
            print(f"failed: {outcome.cell.name}: {outcome.error}")
        total = len(grid.cells())
        print(f"{folder / 'results.csv'} holds {total - len(failed)} of {total} results")
        return 1 if failed else 0


def _report(outcome: Outcome, done: int, total: int) -> None:
    evaluation, name = outcome.evaluation, outcome.cell.name
    if evaluation is None:
        print(f"[{done}/{total}] {name} failed: {outcome.error}", flush=True)
        return
    episodes = len(evaluation.returns)
    # Of a single episode, there is no standard error.
    error = f" ± {evaluation.standard_error:.1f}" if episodes > 1 else ""
    print(
        f"[{done}/{total}] {name}: return {evaluation.mean:.1f}{error} "
        f"({episodes} episode{'s' * (episodes > 1)})",
        flush=True,
    )
