"""The environment that a model was trained in, made again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym

from core_repr.config import EnvironmentConfig
from core_repr.wrappers.environment_check import default_arguments
from core_repr.zoo.summary import SETTINGS_FILE, read_record


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
    environment: EnvironmentConfig, split: Literal["train", "val"], folder: Path | None = None
) -> dict[str, Any]:
    """Returns the arguments for some of the backgrounds; none if the environment has no such.

    A number of videos that the training was given is that of its own backgrounds. Of the others,
    there are as many as it validated with, or as the level has.

    Args:
        environment: What the config records.
        split: Backgrounds to train with, or those that no training has seen.
        folder: Where the model lies; ``settings.json`` in it, or in the run that it is part of,
            tells what the training validated with.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
        ValueError: If ``settings.json`` is broken.
    """
    if "split" not in known_arguments(environment):
        return {}
    arguments: dict[str, Any] = {"split": split}
    if split == "val" and "num_videos" in environment.arguments:
        arguments["num_videos"] = None if folder is None else _validation_videos(folder)
    return arguments


def known_arguments(environment: EnvironmentConfig) -> set[str]:
    """Returns the names of the arguments that an environment was made with or has defaults for.

    Args:
        environment: What a model's config records.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
    """
    return {*environment.arguments, *default_arguments(_registered(environment))}


def _validation_videos(folder: Path) -> int | None:
    whole = folder.resolve()
    places = [whole]
    if whole.name == "model":
        places.append(whole.parent)
    if whole.parent.name == "checkpoints":
        places.append(whole.parent.parent)
    for place in places:
        if (place / SETTINGS_FILE).is_file():
            recorded = read_record(place / SETTINGS_FILE).get("environment")
            validation = recorded.get("validation") if isinstance(recorded, dict) else None
            number = validation.get("num_videos") if isinstance(validation, dict) else None
            return number if type(number) is int else None
    return None


def _registered(environment: EnvironmentConfig) -> gym.envs.registration.EnvSpec:
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
