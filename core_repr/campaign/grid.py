"""A grid of trainings: tasks × settings × variants × changes × seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from core_repr.config import PRESETS, CoReConfig, make_variant
from core_repr.config.fields import STRICT, Size, refuses_in_a_sentence, sentence
from core_repr.config.settings_file import SECTIONS, with_settings
from core_repr.environments import EnvironmentChoice, require_registered
from core_repr.files.yaml_text import parse_yaml
from core_repr.training.settings import RunSettings, Schedule

MAX_BYTES = 1_000_000
"""Of a grid's file."""

SUITE = "distracting_control"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=100)]
"""Of a setting or a change; it becomes a folder's."""


@refuses_in_a_sentence("settings", of="grid")
@checked_dataclass(frozen=True, config=STRICT)
class Setting:
    """What the environments of a grid are like.

    Attributes:
        arguments: Of ``gym.make``, for training and validation.
        training: Further ones for training.
        validation: Further ones for validation.
    """

    arguments: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=lambda: {"split": "train"})
    validation: dict[str, Any] = Field(default_factory=lambda: {"split": "val"})


@refuses_in_a_sentence("", of="grid")
@checked_dataclass(frozen=True, config=STRICT)
class Grid:
    """Which trainings a campaign makes: every combination.

    Attributes:
        title: What it is.
        environments: Gymnasium ids; a task of the Distracting Control Suite, such as
            ``"walker-walk"``, stands for its id.
        settings: Name → what the environments are like.
        env_steps: Simulator steps of each training, before action repeat.
        variants: Systems of the paper.
        changes: Name → option of ``core-repr train``, such as ``"objectives.kl.weight"`` → value,
            or sections as a file of settings has them.
        seeds: Of the trainings.
        preset: Sizes and settings to start from.
        options: Options that all trainings have, like those of a change.
        episodes: Of the evaluation of a finished training, on validation distractions.
        evaluation_interval: Training episodes between two evaluations of the learning curve.
        evaluation_episodes: Episodes of such an evaluation.
        episode_steps: Agent steps after which training episodes are cut short.
        pairs: Pairs of episodes that a training of the variant pse learns from. Its campaign makes
            them: it first trains the agent without pairs, for as many steps, in the same setting.
    """

    title: str
    environments: Annotated[tuple[str, ...], Field(min_length=1)]
    settings: Annotated[dict[Name, Setting], Field(min_length=1)]
    env_steps: Annotated[int, Field(ge=1)]
    variants: Annotated[tuple[str, ...], Field(min_length=1)] = ("core",)
    changes: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    preset: Literal["compact", "paper"] = "compact"
    options: dict[str, Any] = Field(default_factory=dict)
    episodes: Size = 30
    evaluation_interval: Size = 20
    evaluation_episodes: Size = 5
    episode_steps: Size | None = None
    pairs: Size = 500

    def cells(self) -> list[Cell]:
        """Returns the trainings.

        Raises:
            gymnasium.error.Error: If an environment is not registered.
            ValueError: If the same training is there twice, or a variant, an option or its value
                is not valid.
        """
        return list(self._cells())

    def _cells(self) -> Iterator[Cell]:
        changes = self.changes or {"": {}}
        names = set()
        axes = product(self.environments, self.settings, self.variants, changes, self.seeds)
        for environment, setting, variant, change, seed in axes:
            system = f"{variant}+{change}" if change else variant
            name = f"{environment.replace('/', '-')}/{setting}/{system}/seed-{seed}"
            if name in names:
                raise ValueError(f"The grid holds {name} twice.")
            names.add(name)
            config = make_variant(PRESETS[self.preset](), variant)
            config = with_options(config, self.options, changes[change])
            yield Cell(
                name,
                environment,
                setting,
                system,
                self._settings(environment, self.settings[setting], config, seed),
                self.episodes,
                self.pairs,
            )

    def _settings(
        self, environment: str, setting: Setting, config: CoReConfig, seed: int
    ) -> RunSettings:
        environment_id = environment if "/" in environment else f"{SUITE}/{environment}-v0"
        if "/" not in environment and not _is_registered(environment_id):
            environment_id = environment
        require_registered(environment_id)
        arguments = dict(setting.arguments)
        if environment_id.startswith(f"{SUITE}/"):
            arguments.setdefault("frame_size", config.world_model.frame_size)
        choice = EnvironmentChoice(
            environment_id, arguments, dict(setting.training), dict(setting.validation)
        )
        schedule = Schedule(
            self.env_steps,
            seed,
            self.evaluation_interval,
            self.evaluation_episodes,
            episode_steps=self.episode_steps,
        )
        return RunSettings(choice, config, schedule)


@dataclass(frozen=True)
class Cell:
    """One training of a grid.

    Attributes:
        name: Of its folder, such as ``"walker-walk/medium/core/seed-0"``.
        environment: As the grid names it.
        setting: Its name.
        system: The variant, joined by the name of its change.
        settings: Of the run.
        episodes: Of its evaluation.
        pairs: Pairs of episodes to record, where it learns from such.
    """

    name: str
    environment: str
    setting: str
    system: str
    settings: RunSettings
    episodes: int
    pairs: int

    def check(self) -> None:
        """Refuses a training that could not start, before any does: it makes its environments.

        Raises:
            gymnasium.error.Error: If they cannot be made.
            ValueError: If an argument is not one of theirs, or has a wrong value.
        """
        try:
            self.settings.check()
            for validation in (False, True):
                self.settings.environment.make(validation).close()
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.name} cannot be trained: {error}") from None


def _is_registered(environment_id: str) -> bool:
    try:
        require_registered(environment_id)
    except Exception:
        return False
    return True


def with_options(config: CoReConfig, *options: Mapping[str, Any]) -> CoReConfig:
    """Returns a config with some settings changed, all at once.

    Args:
        config: The config.
        options: Such as ``"objectives.kl.weight"`` → value, or ``"objectives"`` → what a file of
            settings has there; the last one goes first.

    Raises:
        ValueError: If there is no such setting, or a value is not one of its.
    """
    nested = []
    for name, value in (item for each in options for item in each.items()):
        section, *further = name.split(".")
        if section not in SECTIONS:
            raise ValueError(
                f"{name!r} is not a setting: expected a name that begins with one of "
                f"{', '.join(SECTIONS)}, such as 'agent.batch_size'."
            )
        for part in reversed(further):
            value = {part: value}
        nested.append({section: value})
    try:
        return with_settings(config, *nested)
    except TypeError as error:
        raise ValueError(f"A setting has a value that is not one: {error}.") from None


def grid_names() -> list[str]:
    """Returns the names of the package's own grids: the paper's tables and figures."""
    folder = files("core_repr.campaign") / "grids"
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def read_grid(grid: str | Path) -> Grid:
    """Reads a grid.

    Args:
        grid: The name of one of the package's own, or a YAML file.

    Raises:
        FileNotFoundError: If there is no such grid.
        ValueError: If it is not one. The message is one sentence that names the field.
    """
    text = _text(grid)
    try:
        fields = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"{grid}{error}.") from None
    if not isinstance(fields, Mapping):
        raise ValueError(f"{grid} is not a grid: expected names and values, such as 'seeds: [0]'.")
    try:
        return _adapter.validate_python(_plain(fields))
    except ValidationError as error:
        raise ValueError(f"{grid}: {sentence(error, of='grid')}") from None


def _text(grid: str | Path) -> str:
    own = files("core_repr.campaign") / "grids" / f"{grid}.yaml"
    if isinstance(grid, str) and grid in grid_names():
        return own.read_text()
    path = Path(grid).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no grid {str(grid)!r}: expected a YAML file, or one of "
            f"{', '.join(grid_names())}."
        )
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is too large for a grid.")
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not valid YAML: it is not text.") from None


def _plain(value: Any) -> Any:
    """Returns what YAML gives as the strict config takes it: sequences as tuples at the top."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}


_adapter: TypeAdapter[Grid] = TypeAdapter(Grid)
