"""The wrappers around an environment, and the environment itself, in this process or another."""

from __future__ import annotations

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
