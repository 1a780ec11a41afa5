"""The wrappers around an environment: found by name, written down, and put on again.

A record of them may come from a stranger. So a name is looked up among what is there already: this
package's and Gymnasium's wrappers, and those of modules that were imported. Nothing is imported
because a record names it, and nothing is evaluated.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from core_repr.config import WrapperConfig
from core_repr.files.values import plain_arguments

_FRONT_DOORS = ("core_repr", "gymnasium.wrappers")
"""Where a name without a module is looked up."""

_NOT_RECORDED = (
    # What gym.make puts on by itself, or what only counts.
    "gymnasium.wrappers.common",
    # What writes videos and opens windows.
    "gymnasium.wrappers.rendering.HumanRendering",
    "gymnasium.wrappers.rendering.RecordVideo",
    "gymnasium.wrappers.rendering.RenderCollection",
    "stable_baselines3",
    # But for the distractions, this package's own wrap for learning or need a model.
    "core_repr",
)
"""Modules whose wrappers, and wrappers that, watch an environment and do not change what it is."""


def find_wrapper(name: str) -> type[gym.Wrapper[Any, Any, Any, Any]]:
    """Finds a wrapper's class.

    Args:
        name: Of the class, such as ``"DistractionWrapper"`` or ``"ResizeObservation"``; before it,
            with a dot, the module that holds it, unless it is this package or Gymnasium's.

    Raises:
        ValueError: If it is not there, is no wrapper, or only watches an environment.
    """
    module, _, own_name = name.rpartition(".")
    places = [module] if module else _FRONT_DOORS
    try:
        values = [getattr(sys.modules.get(place), own_name, None) for place in places]
    except ImportError as error:  # Some of Gymnasium's need other packages.
        raise ValueError(f"The wrapper {name!r} cannot be imported here: {error}.") from None
    found = next((value for value in values if value is not None), None)
    if found is None:
        missing = f"the module {module!r}, if there is one, has no such class or is not imported"
        raise ValueError(
            f"There is no wrapper {name!r}: "
            + (missing if module else "neither core_repr nor gymnasium.wrappers has one")
            + "; name a wrapper of one's own as MODULE.NAME, and import its module (on the command "
            "line, --import MODULE)."
        )
    if not (isinstance(found, type) and issubclass(found, gym.Wrapper)):
        raise ValueError(f"{name!r} is not a wrapper: expected a class derived from gym.Wrapper.")
    if _only_watches(f"{found.__module__}.{found.__qualname__}"):
        raise ValueError(
            f"The wrapper {name!r} is not one that a model records: it only watches, works with a "
            "model, or is put on by gym.make (whose argument max_episode_steps limits the time); "
            "leave it out."
        )
    return found


def parse_wrapper(text: str) -> WrapperConfig:
    """Reads a wrapper as one writes it in Python, without the environment.

    Args:
        text: Such as ``DistractionWrapper("medium", dynamic=True)``, or a name alone; values are
            plain numbers, strings, lists, tuples and dictionaries.

    Raises:
        ValueError: If it has another form, or the wrapper is not there or does not take these
            arguments.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            call = ast.Call(call, [], [])
        name = ast.unparse(call.func)
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError
        values = [ast.literal_eval(value) for value in call.args]
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords if word.arg}
        if len(named) < len(call.keywords):
            raise ValueError
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
        raise ValueError(
            f"{text!r} is not a wrapper of the form NAME(ARGUMENT=VALUE, ...), with values that "
            "are plain numbers, strings, lists, tuples and dictionaries."
        ) from None
    kind = find_wrapper(name)
    try:
        bound = inspect.signature(kind).bind(None, *values, **named).arguments
    except TypeError as error:
        raise ValueError(f"The wrapper {name} does not fit: {error}; {_takes(kind)}.") from None
    first = next(iter(inspect.signature(kind).parameters))
    arguments = {key: value for key, value in bound.items() if key != first}
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name, {})
    return WrapperConfig(_public_name(kind), plain_arguments(arguments))


def write_wrapper(wrapper: WrapperConfig) -> str:
    """Writes a wrapper in the form that :func:`parse_wrapper` reads."""
    arguments = ", ".join(f"{name}={_literal(value)}" for name, value in wrapper.arguments.items())
    name = wrapper.name
    for place in _FRONT_DOORS:
        name = name.removeprefix(f"{place}.")
    return f"{name}({arguments})"


def wrap(env: gym.Env[Any, Any], wrappers: Sequence[WrapperConfig]) -> gym.Env[Any, Any]:
    """Puts wrappers around an environment, the first one first.

    Raises:
        ValueError: If one is not there or does not take its arguments.
    """
    for wrapper in wrappers:
        kind = find_wrapper(wrapper.name)
        unknown = unknown_to(kind, wrapper.arguments)
        if unknown:
            raise ValueError(
                f"The wrapper {wrapper.name} has no argument {min(unknown)!r}; {_takes(kind)}."
            )
        env = kind(env, **wrapper.arguments)
    return env


def parameters(kind: Any) -> dict[str, Any]:
    """Returns the arguments that a wrapper takes: name → default, or ``inspect.Parameter.empty``.

    Args:
        kind: Its class.
    """
    _, *own = inspect.signature(kind).parameters.values()
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {p.name: p.default for p in own if p.kind not in variadic}


def argument_differences(
    one: WrapperConfig, other: WrapperConfig
) -> Iterator[tuple[str, Any, Any]]:
    """Yields the arguments in which two wrappers of a class differ: name, and both values."""
    defaults = parameters(find_wrapper(one.name))
    for name in sorted({*one.arguments, *other.arguments}):
        own, others = (w.arguments.get(name, defaults.get(name)) for w in (one, other))
        if own != others:
            yield name, own, others


def unknown_to(kind: Any, names: Mapping[str, Any]) -> set[str]:
    """Returns the arguments that a wrapper does not take."""
    every = inspect.signature(kind).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in every):
        return set()
    return {*names} - {*parameters(kind)}


def worn(spec: EnvSpec) -> tuple[list[WrapperConfig], list[str]]:
    """Reads which wrappers an environment has beside those that its id brings.

    Args:
        spec: Of the outermost layer.

    Returns:
        The wrappers, the innermost first, with the arguments that are not their defaults; and the
        names of those whose arguments are not known or not plain.
    """
    registered = gym.registry.get(spec.id)
    of_id = 0 if registered is None else len(registered.additional_wrappers)
    recorded: list[WrapperConfig] = []
    others: list[str] = []
    for wrapper in spec.additional_wrappers[of_id:]:
        if _only_watches(wrapper.entry_point.replace(":", ".")):
            continue
        config = _recorded(wrapper)
        if config is None:
            others.append(wrapper.name)
        else:
            recorded.append(config)
    return recorded, others


def _recorded(wrapper: WrapperSpec) -> WrapperConfig | None:
    module, _, name = wrapper.entry_point.partition(":")
    kind = getattr(sys.modules.get(module), name, None)
    if wrapper.kwargs is None or not isinstance(kind, type):
        return None
    defaults = parameters(kind)
    try:
        own = plain_arguments(wrapper.kwargs)
    except ValueError:
        return None
    empty = inspect.Parameter.empty
    changed = {
        name: value
        for name, value in own.items()
        if (type(value), value) != (type(default := defaults.get(name, empty)), default)
    }
    return WrapperConfig(_public_name(kind), changed)


def _public_name(kind: type) -> str:
    for place in _FRONT_DOORS:
        if getattr(sys.modules.get(place), kind.__name__, None) is kind:
            return f"{place}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _only_watches(place: str) -> bool:
    watching = f"{place}.".startswith(tuple(f"{room}." for room in _NOT_RECORDED))
    return watching and not place.startswith("core_repr.envs.")


def _takes(kind: Any) -> str:
    return f"it takes {', '.join(parameters(kind)) or 'none'}"


def _literal(value: Any) -> str:
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items())
            + "}"
        )
    return repr(value)
