"""How an environment differs from the one that a model was trained in."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from core_repr.config import EnvironmentConfig
from core_repr.wrappers.pixels import is_grayscale

NOT_COMPARED = frozenset(
    {
        # What latents are meant to be robust to.
        "background",
        "backgrounds",
        "camera",
        "color",
        "difficulty",
        "dynamic",
        "num_videos",
        "split",
        "suite_camera",
        # What goes into the information alone.
        "clean_frames",
        "physics_state",
        # What is seen otherwise: by the frames, by the attribute, or not at all.
        "action_repeat",
        "frame_size",
        "render_mode",
    }
)
"""Arguments of ``gym.make`` that may differ from those of the training."""


def differences(env: Any, trained: EnvironmentConfig) -> list[str]:
    """Tells in which respects an environment is not the one that a model was trained in.

    Args:
        env: A Gymnasium environment, a vector of them, or a vector of SB3's. Of one in another
            process, only the id and the action repeat are compared.
        trained: What the model's config records.

    Returns:
        A phrase for each difference; none for an environment that was not made by its id.
    """
    specs = [spec for layer in _layers(env) if (spec := _spec(layer)) is not None]
    environment_id = specs[-1].id if specs else _remote_id(env)
    if environment_id is None:
        return []
    if environment_id != trained.id:
        found = [f"it is {environment_id}"]
    else:
        found = _different_arguments(specs[-1], trained) if specs else []
    repeat = _attribute(env, "action_repeat", 1)
    if repeat != trained.action_repeat:
        found.append(f"its action repeat is {repeat}, not {trained.action_repeat}")
    return found


def is_from_grayscale(env: Any) -> bool:
    """Whether grey frames are on the way: three of them, stacked, look like one of colours."""
    spaces = []
    for layer in _layers(env):
        spaces.append(getattr(layer, "single_observation_space", None) or layer.observation_space)
        if isinstance(layer, gym.wrappers.AddRenderObservation):
            # In the place of whatever the environment below observes.
            break
    # The attribute of gymnasium.wrappers.GrayscaleObservation tells of it in other processes too.
    return any(map(is_grayscale, spaces)) or _attribute(env, "keep_dim", None) is not None


def _layers(env: Any) -> Iterator[Any]:
    """Goes from the outermost wrapper to the (first) environment, or as far as this process has."""
    while env is not None:
        yield env
        if isinstance(env, gym.Wrapper | gym.vector.VectorWrapper):
            env = env.env
        else:
            # SB3 wraps `venv`; vectors of both in this process hold a list, `envs`.
            inner = vars(env) if hasattr(env, "num_envs") else {}
            env = inner.get("venv") or next(iter(inner.get("envs", ())), None)


def _spec(layer: Any) -> EnvSpec | None:
    """The spec that an environment was made by; wrappers would have to work theirs out."""
    spec = getattr(layer, "__dict__", {}).get("spec")
    return spec if isinstance(spec, EnvSpec) else None


def _different_arguments(spec: EnvSpec, trained: EnvironmentConfig) -> list[str]:
    defaults = default_arguments(spec)
    here, there = ({**defaults, **given} for given in (spec.kwargs, trained.arguments))
    asked = {*spec.kwargs, *trained.arguments} - NOT_COMPARED
    return [
        f"{name} is {here[name]!r}, not {there[name]!r}"
        for name in sorted(asked & {*here} & {*there})
        if _as_json(here[name]) != _as_json(there[name])
    ]


def default_arguments(spec: EnvSpec) -> dict[str, Any]:
    """Returns the arguments that an environment takes where none are given."""
    point = spec.entry_point
    if point is None:
        return {}
    creator: Any = load_env_creator(point) if isinstance(point, str) else point
    parameters = inspect.signature(creator).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _attribute(env: Any, name: str, otherwise: Any) -> Any:
    """Returns an attribute of the outermost layer that has it, in this process or in another."""
    for layer in _layers(env):
        if hasattr(layer, name):
            return getattr(layer, name)
    if _ask(layer, "has_wrapper_attr", name):
        return _ask(layer, "get_wrapper_attr", name)
    return otherwise


def _remote_id(env: Any) -> str | None:
    """Returns the id of environments in other processes, from how Gymnasium writes them.

    A spec may not go from one process to another, and a process that tries ends by that.
    """
    *_, last = _layers(env)
    written = re.search(r"<([^<> ]+)>+$", str(_ask(last, "__str__")))
    return None if written is None else written.group(1)


def _ask(last: Any, method: str, *arguments: Any) -> Any:
    """Calls a method of the first of some environments in other processes."""
    if isinstance(last, gym.vector.AsyncVectorEnv):
        return last.call(method, *arguments)[0]
    if hasattr(last, "env_method"):
        return last.env_method(method, *arguments, indices=0)[0]
    return None
