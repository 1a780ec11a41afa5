"""What the files beside a model's weights tell about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from core_repr import environments
from core_repr.config import CoReConfig, EnvironmentConfig, WrapperConfig
from core_repr.files.json_files import read_json
from core_repr.files.names import (
    EVALUATION_FILE,
    EVALUATIONS_FILE,
    MAX_RECORD_BYTES,
    PROBES_FILE,
    ROBUSTNESS_FILE,
    SEEDS_FILE,
    SETTINGS_FILE,
)
from core_repr.files.reading import read_bounded
from core_repr.files.strict_json import parse_last_line
from core_repr.files.values import decode
from core_repr.hub.card import Facts, Score
from core_repr.hub.model_folder import load_config


@dataclass(frozen=True)
class Summary:
    """A model in a few words.

    Attributes:
        name: Zoo name, folder or Hub repository.
        config: Its config.
        facts: What else its card tells.
        size: Of all its files, in bytes.
    """

    name: str
    config: CoReConfig
    facts: Facts
    size: int

    @property
    def environment(self) -> EnvironmentConfig:
        """What it was trained in."""
        assert self.config.environment is not None
        return self.config.environment

    @property
    def task(self) -> str:
        """Its task, such as ``"cartpole-swingup"``."""
        return environments.task(self.environment)

    @property
    def level(self) -> str:
        """Its distractions, such as ``"easy, dynamic"``."""
        return environments.distractions(self.environment)

    @property
    def result(self) -> str:
        """Its evaluation, such as ``"565.2 ± 7.6 (30 episodes)"``."""
        evaluation = self.facts.evaluation
        if evaluation is None:
            return "not evaluated"
        error = evaluation["standard_error"]
        spread = "" if error is None else f" ± {error:.1f}"
        return f"{evaluation['mean']:.1f}{spread} ({len(evaluation['returns'])} episodes)"


def summarize(name: str, folder: Path) -> Summary:
    """Reads what the files of a model folder tell.

    Args:
        name: What the model is called.
        folder: Where it is.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If a file is broken.
    """
    files = [path for path in folder.iterdir() if path.is_file()]
    settings = _read(folder, SETTINGS_FILE) or {}
    progress = _last_line(folder / EVALUATIONS_FILE)
    evaluation = _read(folder, EVALUATION_FILE)
    origin = settings.get("continued_from")
    try:
        if evaluation is not None:
            evaluation = _outcome(evaluation, evaluation["environment"])
        elif progress is not None:
            evaluation = _outcome(progress, {"arguments": settings["environment"]["validation"]})
        facts = Facts(
            name=name,
            files=frozenset(path.name for path in files),
            env_steps=None if progress is None else int(progress["env_steps"]),
            seed=settings.get("schedule", {}).get("seed"),
            episode_steps=settings.get("schedule", {}).get("episode_steps"),
            evaluation=evaluation,
            versions={str(key): str(value) for key, value in settings.get("versions", {}).items()},
            commit=settings.get("commit"),
            device=settings.get("device"),
            precision=settings.get("precision"),
            continued_from=None if origin is None else origin_name(origin),
            robustness=_tried(_read(folder, ROBUSTNESS_FILE) or {}),
            other_seeds=_other_seeds(_read(folder, SEEDS_FILE) or {}),
            probes=_probes(_read(folder, PROBES_FILE) or {}),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder}: the records of the training lack or have something unknown ({error!r}); "
            "remove them, or save the model again."
        ) from None
    size = sum(path.stat().st_size for path in files)
    return Summary(name, load_config(folder), facts, size)


def origin_name(origin: Any) -> str:
    """Returns what others know the model by that a training continued from.

    Args:
        origin: ``continued_from`` of ``settings.json``.

    Raises:
        ValueError: If it does not fit.
    """
    try:
        # Windows' rules know both separators: a name must not tell where it lay.
        name = origin.get("name") or PureWindowsPath(origin["model"]).name
    except (AttributeError, KeyError, TypeError):
        name = None
    if not isinstance(name, str):
        raise ValueError(
            f"The field continued_from of {SETTINGS_FILE} names no model: {str(origin)[:80]!a}; "
            "remove it, or let core-repr train write it."
        )
    return name


def _outcome(record: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    error = record["standard_error"]
    wrappers = [
        WrapperConfig(wrapper["name"], decode(wrapper["arguments"]))
        for wrapper in environment.get("wrappers", ())
    ]
    return {
        "mean": float(record["mean"]),
        "standard_error": None if error is None else float(error),
        "returns": [float(value) for value in record["returns"]],
        "seeds": [int(seed) for seed in record["seeds"]],
        "arguments": dict(decode(environment["arguments"])),
        **({"wrappers": tuple(wrappers)} if wrappers else {}),
        "imagined_reward_r2": {
            int(horizon): None if score is None else float(score)
            for horizon, score in record.get("imagined_reward_r2", {}).items()
        },
    }


def _tried(record: dict[str, Any]) -> tuple[Score, ...]:
    """The returns under other distractions, and those of random actions."""
    found = [
        _score(condition, str(condition["group"]), str(condition["name"]))
        for condition in record.get("conditions", ())
    ]
    if found and "random" in record:
        found.append(_score(record["random"], "", "random actions"))
    return tuple(found)


def _other_seeds(record: dict[str, Any]) -> tuple[Score, ...]:
    found = []
    for evaluated in record.get("trainings", ()):
        seed, steps = (evaluated["training"][key] for key in ("seed", "env_steps"))
        words = "not recorded" if steps is None else f"{int(steps):,}"
        found.append(_score(evaluated, "not recorded" if seed is None else str(int(seed)), words))
    return tuple(found)


def _score(record: dict[str, Any], group: str, name: str) -> Score:
    error = record["standard_error"]
    return Score(
        group,
        name,
        float(record["mean"]),
        None if error is None else float(error),
        len(record["returns"]),
    )


def _probes(record: dict[str, Any]) -> dict[str, float]:
    scores = record.get("r2", {}).get("latent", {})
    return {str(quantity): float(score) for quantity, score in scores.items()}


def _read(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / name
    return read_json(path, MAX_RECORD_BYTES) if path.exists() else None


def _last_line(path: Path) -> dict[str, Any] | None:
    """The last evaluation of the training."""
    if not path.exists():
        return None
    try:
        record = parse_last_line(read_bounded(path, MAX_RECORD_BYTES))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}; it was damaged.") from None
    return record if isinstance(record, dict) else None
