"""Which environment: chosen for a training, made again, compared and put into words.

An environment is in layers: what its id makes, and the wrappers around that. The class of a layer
says what this package cannot know, in its ``metadata`` or, of a wrapper, in attributes of its own,
and in a method; each is optional:

- ``distraction_arguments``: names of those arguments that change only what latent states are to be
  robust to.
- ``split_arguments``: those of them that hold for one ``split`` alone.
- ``information_arguments``: names of those that change only what the information holds.
- ``describe_distractions(arguments)``: a static method that puts the distractions of a layer with
  such arguments into words, for cards and lists.

With an argument ``split``, which is ``"train"`` or ``"val"``, an environment has distractions that
no training sees; with an argument ``physics_state``, it tells the quantities that probes look
for. An argument belongs to the outermost layer that takes it.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from pydantic.dataclasses import dataclass

from core_repr.config import DATASET, EnvironmentConfig, WrapperConfig
from core_repr.config.fields import STRICT
from core_repr.files.json_files import read_json
from core_repr.files.names import (
    CHECKPOINTS_FOLDER,
    MAX_RECORD_BYTES,
    MODEL_FOLDER,
    SETTINGS_FILE,
)
from core_repr.files.values import decode, encode
from core_repr.wrapping import find_wrapper, parameters, wrap, write_wrapper

Split = Literal["train", "val"]

SEEN_OTHERWISE = frozenset({"action_repeat", "frame_size", "render_mode"})
"""Arguments that show in the frames, in an attribute, or not at all."""

_OF_MAKE = frozenset({"max_episode_steps"})
"""What ``gym.make`` takes for any environment, and is part of what a task is."""

_TOLD = (
    "distraction_arguments",
    "distraction_choices",
    "split_arguments",
    "information_arguments",
)


@dataclass(frozen=True, config=STRICT)
class EnvironmentChoice:
    """An environment for training and one, with other distractions, for validation.

    Attributes:
        id: Gymnasium id.
        arguments: Arguments of ``gym.make`` for both.
        training: Further ones for training, also of the wrappers.
        validation: Further ones for validation, likewise.
        wrappers: What is around both, the innermost first.
    """

    id: str
    arguments: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    wrappers: tuple[WrapperConfig, ...] = ()

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
        arguments, wrappers = dict(environment.arguments), environment.wrappers
        return cls(environment.id, arguments, {}, validation, wrappers)

    def make(self, validation: bool = False) -> gym.Env[Any, Any]:
        """Makes one of the two environments."""
        return make_environment(self, **(self.validation if validation else self.training))


Layered = TypeVar("Layered", bound=EnvironmentConfig | EnvironmentChoice)
"""What tells of an environment its id, its arguments and its wrappers."""


def require_registered(environment_id: str) -> None:
    """Refuses an id that Gymnasium does not know.

    Raises:
        ValueError: With ids that are like it.
    """
    if ":" in environment_id or environment_id not in gym.registry:
        near = difflib.get_close_matches(environment_id, gym.registry, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "--import registers it."
        raise ValueError(f"{environment_id!r} is not the id of a registered environment; {hint}")


def make_environment(
    environment: EnvironmentConfig | EnvironmentChoice, **changes: Any
) -> gym.Env[Any, Any]:
    """Makes the environment that a model's config records, with some arguments changed.

    Args:
        environment: What the config records.
        **changes: Arguments that replace the recorded ones, see :func:`changed`.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
        ValueError: If a wrapper is not there or does not take its arguments.
    """
    _registered(environment.id)
    environment = changed(environment, changes)
    for wrapper in environment.wrappers:
        find_wrapper(wrapper.name)  # Or says what is wrong before anything is made.
    return wrap(gym.make(environment.id, **environment.arguments), environment.wrappers)


def changed(environment: Layered, changes: Mapping[str, Any]) -> Layered:
    """Returns an environment with some arguments changed, each in the layer that takes it.

    Args:
        environment: What a model's config records, or a choice.
        changes: Arguments of ``gym.make`` and of the wrappers.
    """
    own, wrappers = dict(environment.arguments), list(environment.wrappers)
    taken = [{*wrapper.arguments, *_parameters(wrapper)} for wrapper in wrappers]
    for name, value in changes.items():
        outermost = next((i for i in reversed(range(len(taken))) if name in taken[i]), None)
        if outermost is None:
            own[name] = value
        else:
            arguments = {**wrappers[outermost].arguments, name: value}
            wrappers[outermost] = replace(wrappers[outermost], arguments=arguments)
    return replace(environment, arguments=own, wrappers=tuple(wrappers))


def recorded_argument(environment: EnvironmentConfig, name: str) -> Any:
    """Returns the value of an argument in the outermost layer that takes it, or ``None``.

    Args:
        environment: What a model's config records.
        name: Of the argument.
    """
    for layer in reversed(_layers(environment, strict=False)):
        if name in layer.arguments or name in layer.defaults:
            return layer.arguments.get(name, layer.defaults.get(name))
    return None


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
        ValueError: If ``settings.json`` is broken, or a wrapper is not there.
    """
    arguments: dict[str, Any] = {}
    recorded = _recorded_validation(folder) if split == "val" else None
    if recorded is None and "split" in known_arguments(environment):
        arguments["split"] = split
    if split == "val":
        for layer in _layers(environment):
            own = layer.told.get("split_arguments", ())
            arguments |= {name: None for name in own if name in layer.arguments}
        arguments |= recorded or {}
    return arguments


def known_arguments(environment: EnvironmentConfig) -> set[str]:
    """Returns the names of the arguments that an environment was made with or has defaults for.

    Args:
        environment: What a model's config records.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
        ValueError: If a wrapper is not there.
    """
    _registered(environment.id)
    layers = _layers(environment)
    return {name for layer in layers for name in (*layer.arguments, *layer.defaults)} | _OF_MAKE


def unknown_arguments(environment: EnvironmentConfig, names: Iterable[str]) -> set[str]:
    """Returns those of some arguments that an environment does not take.

    Args:
        environment: What a model's config records.
        names: Of arguments.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
        ValueError: If a wrapper is not there.
    """
    creator = _creator(_registered(environment.id))
    every = () if creator is None else inspect.signature(creator).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in every):
        return set()
    return {*names} - known_arguments(environment)


def default_arguments(spec: EnvSpec) -> dict[str, Any]:
    """Returns the arguments that an environment takes where none are given."""
    creator: Any = _creator(spec)
    if creator is None:
        return {}
    parameters = inspect.signature(creator).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def arguments_to_ignore(environment: EnvironmentConfig) -> frozenset[str]:
    """Returns the arguments that may differ from those of a training."""
    return SEEN_OTHERWISE.union(
        *(
            layer.told.get(f"{kind}_arguments", ())
            for layer in _layers(environment, strict=False)
            for kind in ("distraction", "information")
        )
    )


def distraction_choices(environment: EnvironmentConfig) -> dict[str, tuple[Any, ...]]:
    """Returns the values of arguments that stand for distractions of some kind, by name.

    An environment lists them as ``metadata["distraction_choices"]``, a wrapper as an attribute
    ``distraction_choices``; the first value of each is without distractions.

    Args:
        environment: What a model's config records.
    """
    layers = _layers(environment, strict=False)
    told = (layer.told.get("distraction_choices", {}) for layer in layers)
    return {name: tuple(values) for choices in told for name, values in choices.items()}


def task(environment: EnvironmentConfig) -> str:
    """Returns the name of a task, such as ``"cartpole-swingup"``: the id without the rest."""
    return environment.id.split("/")[-1].rsplit("-v", 1)[0]


def distractions(environment: EnvironmentConfig) -> str:
    """Puts the distractions of an environment into words; an empty text if nothing is known.

    Returns:
        Such as ``"easy, dynamic"``, or ``"hard, dynamic, background only, 2 videos"``.
    """
    layers = _layers(environment, strict=False)
    told = ((layer.describe, layer.arguments) for layer in layers)
    words = (str(tell(arguments)) for tell, arguments in told if tell is not None)
    return "; ".join(filter(None, words))


def written(environment: EnvironmentConfig) -> str:
    """Writes out what an environment is made with, such as ``"Reacher-v5 with {}"``."""
    within = "".join(f", within {write_wrapper(wrapper)}" for wrapper in environment.wrappers)
    return f"{environment.id} with {environment.arguments}{within}"


def to_json(environment: EnvironmentConfig) -> dict[str, Any]:
    """Returns what an environment is made with, in JSON's terms.

    Returns:
        The id, the arguments and, if there are any, the wrappers.
    """
    wrappers = [
        {"name": wrapper.name, "arguments": encode(wrapper.arguments)}
        for wrapper in environment.wrappers
    ]
    return {
        "id": environment.id,
        "arguments": encode(environment.arguments),
        **({"wrappers": wrappers} if wrappers else {}),
    }


def label(environment: EnvironmentConfig) -> str:
    """Puts task and distractions into words, such as ``"cartpole-swingup, easy, dynamic"``."""
    return ", ".join(filter(None, (task(environment), distractions(environment))))


def _recorded_validation(folder: Path | None) -> dict[str, Any] | None:
    """What ``settings.json`` says of the arguments that a training was validated with, if any."""
    if folder is None:
        return None
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
            return dict(decode(validation)) if isinstance(validation, dict) else None
    return None


@dataclasses.dataclass(frozen=True)
class _Layer:
    """What is known of a wrapper, or of the environment within.

    Attributes:
        arguments: That it is made with.
        defaults: Of all arguments that have one.
        told: What its class says of its arguments.
        describe: Its ``describe_distractions``, if it has that.
    """

    arguments: Mapping[str, Any]
    defaults: Mapping[str, Any]
    told: Mapping[str, Any]
    describe: Callable[[Mapping[str, Any]], str] | None


def _layers(environment: EnvironmentConfig, strict: bool = True) -> list[_Layer]:
    """The environment, and the wrappers from the innermost on.

    Args:
        environment: What a model's config records.
        strict: Whether a wrapper that is not there is an error; otherwise nothing but its arguments
            is known, as of an environment whose class cannot be imported.
    """
    kind = _class(environment.id)
    spec = gym.registry.get(environment.id)
    own = {} if spec is None or kind is None else default_arguments(spec)
    said = getattr(kind, "metadata", {})
    told = said if isinstance(said, Mapping) else {}
    layers = [
        _Layer(environment.arguments, own, told, getattr(kind, "describe_distractions", None))
    ]
    for wrapper in environment.wrappers:
        try:
            kind = find_wrapper(wrapper.name)
        except ValueError:
            if strict:
                raise
            layers.append(_Layer(wrapper.arguments, {}, {}, None))
            continue
        taken = parameters(kind)
        defaults = {name: None if v is inspect.Parameter.empty else v for name, v in taken.items()}
        told = {name: getattr(kind, name) for name in _TOLD if hasattr(kind, name)}
        describe = getattr(kind, "describe_distractions", None)
        layers.append(_Layer(wrapper.arguments, defaults, told, describe))
    return layers


def _parameters(wrapper: WrapperConfig) -> dict[str, Any]:
    """What a wrapper takes; nothing is known of one that is not there."""
    try:
        return parameters(find_wrapper(wrapper.name))
    except ValueError:
        return {}


def _registered(environment_id: str) -> EnvSpec:
    if environment_id not in gym.registry:
        if environment_id.startswith(DATASET):
            raise gym.error.UnregisteredEnv(
                f"The model is of a data set ({environment_id}), which tells of no environment to "
                "make: put CoReWrapper around your own, or learn on in one with core-repr train "
                "--from MODEL --env ID."
            )
        instance = re.search(r"<([^<> ]+)[^<>]*>+$", environment_id)
        raise gym.error.UnregisteredEnv(
            f"The model was trained in an environment that has no id ({instance[1]}): register it "
            "with gymnasium.register, train in gym.make(id), and import the package that "
            "registers it (on the command line, --import PACKAGE)."
            if instance
            else f"The model was trained in {environment_id}, which is not registered here: import "
            "the package that registers it (on the command line, --import PACKAGE)."
        )
    return gym.spec(environment_id)


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
