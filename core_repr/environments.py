"""Which environment: chosen for a training, made again, compared and put into words.

An environment's class says what this package cannot know, in its ``metadata``, and in a method;
each is optional:

- ``metadata["distraction_arguments"]``: names of those arguments of ``gym.make`` that change only
  what latent states are to be robust to.
- ``metadata["split_arguments"]``: those of them that hold for one ``split`` alone.
- ``metadata["information_arguments"]``: names of those that change only what the information
  holds.
- ``describe_distractions(arguments)``: a static method that puts the distractions of an
  environment with such arguments into words, for cards and lists.

With an argument ``split``, which is ``"train"`` or ``"val"``, an environment has distractions that
no training sees; with an argument ``physics_state``, it tells the quantities that probes look
for.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from pydantic.dataclasses import dataclass

from core_repr.config import EnvironmentConfig
from core_repr.config.fields import STRICT
from core_repr.files.json_files import read_json
from core_repr.files.names import (
    CHECKPOINTS_FOLDER,
    MAX_RECORD_BYTES,
    MODEL_FOLDER,
    SETTINGS_FILE,
)
from core_repr.files.values import decode

Split = Literal["train", "val"]

SEEN_OTHERWISE = frozenset({"action_repeat", "frame_size", "render_mode"})
"""Arguments that show in the frames, in an attribute, or not at all."""


@dataclass(frozen=True, config=STRICT)
class EnvironmentChoice:
    """An environment for training and one, with other distractions, for validation.

    Attributes:
        id: Gymnasium id.
        arguments: Arguments of ``gym.make`` for both.
        training: Further ones for training.
        validation: Further ones for validation.
    """

    id: str
    arguments: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def recorded(
        cls, environment: EnvironmentConfig, folder: Path | None = None
    ) -> EnvironmentChoice:
        """Returns what a model's config records of its environment.

        Args:
            environment: The environment that the model was trained in.
            folder: Where the model lies, with the records of its training.
        """
        validation = split_arguments(environment, "val", folder)
        return cls(environment.id, dict(environment.arguments), {}, validation)

    def make(self, validation: bool = False) -> gym.Env[Any, Any]:
        """Makes one of the two environments."""
        further = self.validation if validation else self.training
        return gym.make(self.id, **{**self.arguments, **further})


def require_registered(environment_id: str) -> None:
    """Refuses an id that Gymnasium does not know.

    Raises:
        ValueError: With ids that are like it.
    """
    if ":" in environment_id or environment_id not in gym.registry:
        near = difflib.get_close_matches(environment_id, gym.registry, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "--import registers it."
        raise ValueError(f"{environment_id!r} is not the id of a registered environment; {hint}")


def make_environment(environment: EnvironmentConfig, **changes: Any) -> gym.Env[Any, Any]:
    """Makes the environment that a model's config records, with some arguments changed.

    Args:
        environment: What the config records.
        **changes: Arguments of ``gym.make`` that replace the recorded ones, such as those of
            :func:`split_arguments`.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
    """
    _registered(environment)
    return gym.make(environment.id, **{**environment.arguments, **changes})


def split_arguments(
    environment: EnvironmentConfig, split: Split, folder: Path | None = None
) -> dict[str, Any]:
    """Returns the arguments that choose what a training sees, or what it is validated with.

    Args:
        environment: What a model's config records.
        split: Which of the two.
        folder: Where the model lies; ``settings.json`` in it, or in the run that it is part of,
            tells what the training was validated with. Without it, the other ``split`` is
            taken of an environment that has one.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
        ValueError: If ``settings.json`` is broken.
    """
    arguments: dict[str, Any] = {}
    if "split" in known_arguments(environment):
        arguments["split"] = split
    if split == "val":
        own = metadata(environment.id).get("split_arguments", ())
        arguments |= {name: None for name in own if name in environment.arguments}
        arguments |= _recorded_validation(folder)
    return arguments


def known_arguments(environment: EnvironmentConfig) -> set[str]:
    """Returns the names of the arguments that an environment was made with or has defaults for.

    Args:
        environment: What a model's config records.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
    """
    return {*environment.arguments, *default_arguments(_registered(environment))}


def unknown_arguments(environment: EnvironmentConfig, names: Iterable[str]) -> set[str]:
    """Returns those of some arguments that an environment does not take.

    Args:
        environment: What a model's config records.
        names: Of arguments.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
    """
    creator = _creator(_registered(environment))
    parameters = () if creator is None else inspect.signature(creator).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return set()
    return {*names} - known_arguments(environment)


def default_arguments(spec: EnvSpec) -> dict[str, Any]:
    """Returns the arguments that an environment takes where none are given."""
    creator: Any = _creator(spec)
    if creator is None:
        return {}
    parameters = inspect.signature(creator).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def metadata(environment_id: str) -> Mapping[str, Any]:
    """Returns what an environment's class says of itself; nothing where it cannot be imported."""
    found = getattr(_class(environment_id), "metadata", {})
    return found if isinstance(found, Mapping) else {}


def arguments_to_ignore(environment_id: str) -> frozenset[str]:
    """Returns the arguments of ``gym.make`` that may differ from those of a training."""
    described = metadata(environment_id)
    return SEEN_OTHERWISE.union(
        described.get("distraction_arguments", ()), described.get("information_arguments", ())
    )


def task(environment: EnvironmentConfig) -> str:
    """Returns the name of a task, such as ``"cartpole-swingup"``: the id without the rest."""
    return environment.id.split("/")[-1].rsplit("-v", 1)[0]


def distractions(environment: EnvironmentConfig) -> str:
    """Puts the distractions of an environment into words; an empty text if nothing is known.

    Returns:
        Such as ``"easy, dynamic"``, or ``"hard, dynamic, background only, 2 videos"``.
    """
    describe = getattr(_class(environment.id), "describe_distractions", None)
    return "" if describe is None else str(describe(environment.arguments))


def label(environment: EnvironmentConfig) -> str:
    """Puts task and distractions into words, such as ``"cartpole-swingup, easy, dynamic"``."""
    return ", ".join(filter(None, (task(environment), distractions(environment))))


def _recorded_validation(folder: Path | None) -> dict[str, Any]:
    """What ``settings.json`` says of the arguments that a training was validated with."""
    if folder is None:
        return {}
    whole = folder.resolve()
    places = [whole]
    if whole.name == MODEL_FOLDER:
        places.append(whole.parent)
    if whole.parent.name == CHECKPOINTS_FOLDER:
        places.append(whole.parent.parent)
    for place in places:
        if (place / SETTINGS_FILE).is_file():
            settings = read_json(place / SETTINGS_FILE, MAX_RECORD_BYTES)
            recorded = settings.get("environment")
            validation = recorded.get("validation") if isinstance(recorded, dict) else None
            return dict(decode(validation)) if isinstance(validation, dict) else {}
    return {}


def _registered(environment: EnvironmentConfig) -> EnvSpec:
    if environment.id not in gym.registry:
        instance = re.search(r"<([^<> ]+)[^<>]*>+$", environment.id)
        raise gym.error.UnregisteredEnv(
            f"The model was trained in an environment that has no id ({instance[1]}): register it "
            "with gymnasium.register, train in gym.make(id), and import the package that "
            "registers it (on the command line, --import PACKAGE)."
            if instance
            else f"The model was trained in {environment.id}, which is not registered here: import "
            "the package that registers it (on the command line, --import PACKAGE)."
        )
    return gym.spec(environment.id)


def _creator(spec: EnvSpec) -> Any:
    point = spec.entry_point
    return load_env_creator(point) if isinstance(point, str) else point


def _class(environment_id: str) -> Any:
    """The class of an environment, or the function that makes it; ``None`` where it is missing."""
    if environment_id not in gym.registry:
        return None
    try:
        return _creator(gym.spec(environment_id))
    except (ImportError, AttributeError, gym.error.Error):
        return None
