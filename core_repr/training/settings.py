"""What a run was started with, as ``settings.json`` holds it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from core_repr.agent import SequenceAlgorithm
from core_repr.config import CoReConfig
from core_repr.environments import EnvironmentChoice
from core_repr.files.json_files import read_json, write_json
from core_repr.files.names import SETTINGS_FILE
from core_repr.files.strict_json import parse_json
from core_repr.files.values import decode, encode, plain_arguments
from core_repr.training.origin import Origin

MAX_SEED = 2**32 - 1
"""NumPy's."""


@dataclass(frozen=True)
class Schedule:
    """How long to train, how often to look and how often to save.

    Attributes:
        env_steps: Simulator steps, before action repeat; those of a model that the training
            continues from count too.
        seed: Seeds everything that is random.
        evaluation_interval: Training episodes between two evaluations.
        evaluation_episodes: Episodes of an evaluation, with the deterministic policy.
        log_interval: Training episodes between two lines of the log.
        checkpoint_minutes: A checkpoint is taken at the first end of an episode after so many
            minutes, besides those at each evaluation.
        episode_steps: Agent steps after which an episode of the training is truncated, so that
            the next one brings another start and other distractions; ``None`` for whole episodes.
            Those of evaluations are whole.
    """

    env_steps: int = 500_000
    seed: int = 0
    evaluation_interval: int = 20
    evaluation_episodes: int = 5
    log_interval: int = 5
    checkpoint_minutes: float = 5.0
    episode_steps: int | None = None

    def __post_init__(self) -> None:
        check_schedule(self)


def check_schedule(schedule: Any) -> None:
    """Refuses numbers that no training can have.

    Args:
        schedule: A dataclass of numbers, and of what has been checked otherwise.

    Raises:
        ValueError: In a sentence that names the field.
    """
    for name, value in asdict(schedule).items():
        if value is None or isinstance(value, str):
            continue
        lowest = 0 if name in ("seed", "checkpoint_minutes") else 1
        highest = MAX_SEED if name == "seed" else sys.float_info.max
        # `not >=` also refuses what is not a number.
        if not value >= lowest:
            raise ValueError(f"{name} must be at least {lowest}, not {value}.")
        if value > highest:
            raise ValueError(f"{name} must be at most {highest}, not {value}.")


@dataclass(frozen=True)
class RunSettings:
    """Everything that a run was started with.

    Attributes:
        environment: Where to train and where to validate.
        config: Sizes and settings, with the environment filled in.
        schedule: How long to train and how often to look.
        origin: The model that the training continued from, if it did.
    """

    environment: EnvironmentChoice
    config: CoReConfig
    schedule: Schedule
    origin: Origin | None = None

    def check(self) -> None:
        """Refuses settings that would not be the same once they are written and read.

        Raises:
            ValueError: In a sentence that names what does not fit.
        """
        choice = self.environment
        wrappers = (wrapper.arguments for wrapper in choice.wrappers)
        for arguments in (choice.arguments, choice.training, choice.validation, *wrappers):
            plain_arguments(arguments)
        again = RunSettings.of(parse_json(json.dumps(self.fields()).encode()))
        if again != self:
            raise ValueError(
                f"The run's settings would differ once they are saved: {again} instead of {self}."
            )

    def fields(self) -> dict[str, Any]:
        """Returns the settings in JSON's terms."""
        fields = {
            "environment": encode(asdict(self.environment)),
            "schedule": asdict(self.schedule),
            "config": json.loads(self.config.to_json()),
        }
        if self.origin is not None:
            fields["continued_from"] = asdict(self.origin)
        return fields

    @classmethod
    def of(cls, fields: dict[str, Any]) -> RunSettings:
        """Returns what :meth:`fields` was called of; further fields are not looked at.

        Raises:
            KeyError: If a field is missing.
            TypeError: If one is of another type.
            ValueError: If one does not fit.
        """
        origin = fields.get("continued_from")
        return cls(
            _fill(EnvironmentChoice, decode(fields["environment"])),
            CoReConfig.from_json(json.dumps(fields["config"])),
            _fill(Schedule, fields["schedule"]),
            None if origin is None else _fill(Origin, origin),
        )

    def write(self, run: Path, agent: SequenceAlgorithm) -> None:
        """Writes ``settings.json`` into a run's folder, whole or not at all.

        Args:
            run: The folder.
            agent: Which the run trains.
        """
        write_json(run / SETTINGS_FILE, {**self.fields(), **made_with(agent)})

    @classmethod
    def read(cls, run: Path) -> RunSettings:
        """Reads a run's ``settings.json``.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it does not fit this release.
        """
        path = run / SETTINGS_FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{run} holds no run: it lacks {SETTINGS_FILE}; start one with core-repr train "
                f"--run {run}."
            )
        settings = read_json(path)
        try:
            return cls.of(settings)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} lacks or has an unknown field: {error}.") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _fill(kind: Any, values: dict[str, Any]) -> Any:
    unknown = values.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"the field {sorted(unknown)[0]!r} is not known to this release.")
    return kind(**values)


def made_with(agent: SequenceAlgorithm) -> dict[str, Any]:
    """Returns what the numbers of an agent's training depend on, beside its settings."""
    return {
        "versions": installed_versions(),
        "commit": source_commit(),
        "device": agent.device.type,
        "precision": agent.precision,
    }


def installed_versions() -> dict[str, str]:
    """Returns the versions of what a training's numbers depend on."""
    packages = ("core-repr", "torch", "gymnasium", "stable-baselines3", "dm_control", "mujoco")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def source_commit() -> str | None:
    """Returns the commit of core-repr that runs; ``None`` where it is not known.

    A plus sign behind it says that files have been changed since.
    """
    origin = distribution("core-repr").read_text("direct_url.json")
    installed_from = json.loads(origin).get("vcs_info", {}) if origin else {}
    if "commit_id" in installed_from:
        return str(installed_from["commit_id"])
    # Only where Git knows this very file: the folder may lie in someone else's repository.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", ":/")
    return None if commit is None else commit + "+" * bool(changed)


def _git(*arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
