"""What a checkpoint says of its run beside what the agent has learned: ``run.json``."""

from __future__ import annotations

from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt, TypeAdapter
from pydantic.dataclasses import dataclass
from stable_baselines3.common.logger import Logger

from core_repr.files.json_files import fit, read_json, write_json
from core_repr.files.names import RUN_FILE


@dataclass(frozen=True, config=ConfigDict(allow_inf_nan=False))
class RunState:
    """Where a run has got to.

    Attributes:
        seconds: That it has taken.
        finished: Whether it got as far as it was to.
        env_steps: Simulator steps, before action repeat; 0 for a run from a data set.
        updates: Of a run from a data set.
        last_return: Mean of the last evaluation.
        log: Name → mean of what the next line of the log will say so far.
        log_counts: Name → number of values in that mean.
        log_excluded: Name → outputs that do not get it.
    """

    seconds: NonNegativeFloat
    finished: bool = False
    env_steps: NonNegativeInt = 0
    updates: NonNegativeInt = 0
    last_return: float | None = None
    log: dict[str, bool | int | float | str | None] = field(default_factory=dict)
    log_counts: dict[str, int] = field(default_factory=dict)
    log_excluded: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def restore_log(self, logger: Logger) -> None:
        """Puts into a logger what :func:`pending` told of another one."""
        values: dict[str, Any] = logger.name_to_value
        for name, value in self.log.items():
            values[name] = value
            # Every output takes it for granted that each name has an entry.
            logger.name_to_excluded[name] = self.log_excluded.get(name, ())
        logger.name_to_count.update(self.log_counts)

    def write(self, checkpoint: Path) -> None:
        """Writes ``run.json`` into a checkpoint's folder."""
        write_json(checkpoint / RUN_FILE, asdict(self))

    @classmethod
    def read(cls, checkpoint: Path) -> RunState:
        """Reads a checkpoint's ``run.json``.

        Raises:
            FileNotFoundError: If it is missing.
            ValueError: If it was damaged; the message names the field.
        """
        path = checkpoint / RUN_FILE
        return fit(path, read_json(path), _adapter)


_adapter = TypeAdapter(RunState)
