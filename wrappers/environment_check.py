"""How an environment differs from the one that a model was trained in."""

from __future__ import annotations

import json
import re
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from core_repr.adapters.layers import action_repeat, ask, layers
from core_repr.config import EnvironmentConfig, WrapperConfig
from core_repr.environments import arguments_to_ignore, default_arguments
from core_repr.wrapping import argument_differences, worn


def differences(env: Any, trained: EnvironmentConfig) -> list[str]:
    """Tells in which respects an environment is not the one that a model was trained in.

    Args:
        env: A Gymnasium environment, a vector of them, or a vector of SB3's. Of one in another
            process, only the id and the action repeat are compared.
        trained: What the model's config records.

    Returns:
        A phrase for each difference; none for an environment that was not made by its id.
    """
    specs = [spec for layer in layers(env) if (spec := _spec(layer)) is not None]
    environment_id = specs[-1].id if specs else _remote_id(env)
    if environment_id is None:
        return []
    if environment_id != trained.id:
        found = [f"it is {environment_id}"]
    elif specs:
        found = _different_arguments(specs[-1], trained) + _different_wrappers(env, trained)
    else:
        found = []
    repeat = action_repeat(env)
    if repeat != trained.action_repeat:
        found.append(f"its action repeat is {repeat}, not {trained.action_repeat}")
    return found


def different_bounds(action_space: gym.spaces.Box, trained: EnvironmentConfig) -> list[str]:
    """Tells where the actions of an environment have other bounds than those of a training.

    Those of a data set may be wider than the environment's: its model knows what each action is.

    Args:
        action_space: Of one environment, with as many dimensions as the model's.
        trained: What the model's config records.

    Returns:
        A phrase of the first such dimension; none if there is no difference.
    """
    low, high = (np.float32(bound).reshape(-1) for bound in (action_space.low, action_space.high))
    before = np.array([trained.action_low, trained.action_high], np.float32)
    if trained.is_dataset:
        other = (low < before[0]) | (high > before[1])
        meaning = " as recorded, to which the model clips it"
    else:
        other = (low != before[0]) | (high != before[1])
        meaning = ""
    places = np.flatnonzero(other)
    if not len(places):
        return []
    first = places[0]
    numbers = (low[first], high[first], *before[:, first])
    here, there, lowest, highest = (format(float(number), ".6g") for number in numbers)
    more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
    return [
        f"dimension {first} of its actions{more} is from {here} to {there}, not from {lowest} to "
        f"{highest}{meaning}"
    ]


def renders_as_trained(env: Any, trained: EnvironmentConfig) -> bool:
    """Whether an environment gives frames of the size of the training, as far as it can be known.

    Args:
        env: See :func:`differences`.
        trained: What the model's config records.
    """
    specs = [spec for layer in layers(env) if (spec := _spec(layer)) is not None]
    if not specs or specs[-1].id != trained.id:
        return False
    if [w.name for w in _wrappers(env)] != [w.name for w in trained.wrappers]:
        return False
    here, there = _arguments(specs[-1], trained)
    asked = {*specs[-1].kwargs, *trained.arguments} - arguments_to_ignore(trained) | {"frame_size"}
    return all(_as_json(here.get(name)) == _as_json(there.get(name)) for name in asked)


def _spec(layer: Any) -> EnvSpec | None:
    """The spec that an environment was made by; wrappers would have to work theirs out."""
    spec = getattr(layer, "__dict__", {}).get("spec")
    return spec if isinstance(spec, EnvSpec) else None


def _different_arguments(spec: EnvSpec, trained: EnvironmentConfig) -> list[str]:
    here, there = _arguments(spec, trained)
    asked = {*spec.kwargs, *trained.arguments} - arguments_to_ignore(trained)
    return [
        f"{name} is {here[name]!r}, not {there[name]!r}"
        for name in sorted(asked & {*here} & {*there})
        if _as_json(here[name]) != _as_json(there[name])
    ]


def _different_wrappers(env: Any, trained: EnvironmentConfig) -> list[str]:
    """Compares what is around the environment with what was around the training's."""
    here, there = _wrappers(env), list(trained.wrappers)
    if [wrapper.name for wrapper in here] != [wrapper.name for wrapper in there]:
        own, expected = ([w.name.rpartition(".")[2] for w in both] for both in (here, there))
        return [f"its wrappers are {', '.join(own) or 'none'}, not {', '.join(expected) or 'none'}"]
    ignored = arguments_to_ignore(trained)
    return [
        f"{name} of its {wrapper.name.rpartition('.')[2]} is {own!r}, not {expected!r}"
        for wrapper, other in zip(here, there, strict=True)
        for name, own, expected in argument_differences(wrapper, other)
        if name not in ignored
    ]


def _wrappers(env: Any) -> list[WrapperConfig]:
    """The wrappers of the first environment of this process; none where they cannot be read."""
    outermost = next((layer for layer in layers(env) if isinstance(layer, gym.Env)), None)
    spec = None if outermost is None else outermost.spec
    return [] if spec is None else worn(spec)[0]


def _arguments(spec: EnvSpec, trained: EnvironmentConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the arguments of an environment and of the training's, with defaults."""
    defaults = default_arguments(spec)
    return {**defaults, **spec.kwargs}, {**defaults, **trained.arguments}


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _remote_id(env: Any) -> str | None:
    """Returns the id of environments in other processes, from how Gymnasium writes them.

    A spec may not go from one process to another, and a process that tries ends by that.
    """
    *_, last = layers(env)
    written = re.search(r"<([^<> ]+)>+$", str(ask(last, "__str__")))
    return None if written is None else written.group(1)
