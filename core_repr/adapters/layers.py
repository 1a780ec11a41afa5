"""The wrappers around an environment, and the environment itself, in this process or another."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import gymnasium as gym


def layers(env: Any) -> Iterator[Any]:
    """Goes from the outermost wrapper to the (first) environment, or as far as this process has.

    Args:
        env: A Gymnasium environment, a vector of them, or a vector of SB3's.
    """
    while env is not None:
        yield env
        if isinstance(env, gym.Wrapper | gym.vector.VectorWrapper):
            env = env.env
        else:
            # SB3 wraps `venv`; vectors of both in this process hold a list, `envs`.
            inner = vars(env) if hasattr(env, "num_envs") else {}
            env = inner.get("venv") or next(iter(inner.get("envs", ())), None)


def attribute(env: Any, name: str, otherwise: Any) -> Any:
    """Returns an attribute of the outermost layer that has it, in this process or in another."""
    for layer in layers(env):
        if hasattr(layer, name):
            return getattr(layer, name)
    if ask(layer, "has_wrapper_attr", name):
        return ask(layer, "get_wrapper_attr", name)
    return otherwise


def action_repeat(env: Any) -> int:
    """Returns how many steps an action is held for: what all layers that tell it make together."""
    repeat, held = 1, 1
    for layer in layers(env):
        # What stands in for an environment has its attributes, which count once.
        tells = isinstance(layer, gym.Env) and not isinstance(layer, _InVector)
        own = getattr(layer, "action_repeat", 1) if tells else 1
        repeat, held = repeat * int(own), layer
    if ask(held, "has_wrapper_attr", "action_repeat"):
        repeat *= int(ask(held, "get_wrapper_attr", "action_repeat"))
    return repeat


def held_by_wrappers(env: Any) -> int:
    """Returns for how many steps the wrappers within the time limit hold an action.

    Args:
        env: See :func:`layers`; 1 where it has no time limit in this process.
    """
    repeat, limited = 1, False
    for layer in layers(env):
        if isinstance(layer, gym.wrappers.TimeLimit) and not limited:
            # The outermost counts; gym.make may have put on another.
            repeat, limited = 1, True
        elif isinstance(layer, gym.Wrapper):
            repeat *= int(getattr(layer, "action_repeat", 1))
    return repeat if limited else 1


class KeepsLast(gym.Wrapper[Any, Any, Any, Any]):
    """Copies the last observation of an episode, which a reset may write over."""

    def __str__(self) -> str:
        """Returns what the environment calls itself, by which it is recorded."""
        return str(self.env)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes a step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            observation = copy.deepcopy(observation)
        return observation, reward, terminated, truncated, info


class _InVector(KeepsLast):
    """What stands in a vector in an environment's place: its attributes are the environment's.

    Vectors of SB3 set and get attributes of what they hold.
    """

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the environment."""
        if name.startswith("_"):
            raise AttributeError(f"{self} has no attribute {name!r}")
        return getattr(self.env, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute of the environment."""
        is_own = name == "env" or name.startswith("_")
        super().__setattr__(name, value) if is_own else setattr(self.env, name, value)


def keep_last(vector: Any) -> None:
    """Makes a vector that resets by itself tell what an episode ended in, not what came next.

    Vectors in this process hand on the last observation as it is, and reset the environment, which
    may write the next one into the same array. Those of other processes copy it on the way.

    Args:
        vector: Of Gymnasium or of SB3; its environments are wrapped in place.
    """
    for layer in layers(vector):
        envs = vars(layer).get("envs") if hasattr(layer, "num_envs") else None
        if isinstance(envs, list):
            envs[:] = [env if isinstance(env, KeepsLast) else _InVector(env) for env in envs]


def ask(last: Any, method: str, *arguments: Any) -> Any:
    """Calls a method of the first of some environments in other processes.

    Args:
        last: The last one of :func:`layers`.
        method: Name of the method.
        *arguments: Of the method.

    Returns:
        What it returned; ``None`` where no environment is in another process.
    """
    if isinstance(last, gym.vector.AsyncVectorEnv):
        return last.call(method, *arguments)[0]
    if hasattr(last, "env_method"):
        return last.env_method(method, *arguments, indices=0)[0]
    return None
