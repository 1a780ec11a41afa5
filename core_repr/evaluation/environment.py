"""The environment that a model was trained in, made again."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym

from core_repr.config import EnvironmentConfig
from core_repr.wrappers.environment_check import default_arguments


def make_environment(environment: EnvironmentConfig, **changes: Any) -> gym.Env[Any, Any]:
    """Makes the environment that a model's config records, with some arguments changed.

    Args:
        environment: What the config records.
        **changes: Arguments of ``gym.make`` that replace the recorded ones, such as those of
            :func:`split_argument`.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
    """
    _registered(environment)
    return gym.make(environment.id, **{**environment.arguments, **changes})


def split_argument(
    environment: EnvironmentConfig, split: Literal["train", "val"]
) -> dict[str, Any]:
    """Returns the argument for some of the backgrounds; none if the environment has no such.

    Args:
        environment: What the config records.
        split: Backgrounds to train with, or those that no training has seen.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
    """
    takes = {*environment.arguments, *default_arguments(_registered(environment))}
    return {"split": split} if "split" in takes else {}


def _registered(environment: EnvironmentConfig) -> gym.envs.registration.EnvSpec:
    if environment.id not in gym.registry:
        raise gym.error.UnregisteredEnv(
            f"The model was trained in {environment.id}, which is not registered here; import the "
            "package that registers it, or register it and train in gym.make(id)."
        )
    return gym.spec(environment.id)
