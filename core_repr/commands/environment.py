"""The environment that a command is for, and what a command changes in a model's own."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from core_repr.commands.threads import use_one_thread
from core_repr.envs.checks import require_choice
from core_repr.envs.distracting_control.tasks import TASKS
from core_repr.files.strict_json import parse_json
from core_repr.files.values import decode, encode

if TYPE_CHECKING:
    import gymnasium as gym

    from core_repr.agent import SequenceAlgorithm
    from core_repr.config import EnvironmentConfig
    from core_repr.environments import EnvironmentChoice

Difficulty = Literal["none", "easy", "medium", "hard"]
Rendering = Literal["fast", "full"]
DISTRACTIONS = ("background", "camera", "color", "lighting")
OF_A_LEVEL = (*DISTRACTIONS, "scale", "dynamic", "backgrounds", "num_videos")
"""Arguments that change nothing where there are no distractions."""

Import = Annotated[str | None, tyro.conf.arg(name="import", metavar="MODULE")]
"""A module that registers environments of one's own."""

EnvArgs = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")]
"""Arguments of an environment."""

Switch = tyro.conf.DisallowNone[bool | None]
"""``--name`` and ``--no-name``; ``None`` where neither is given."""


@dataclass
class DistractingControl:
    """The Distracting Control Suite environment.

    Attributes:
        task: A task of the DeepMind Control Suite, <domain>-<task>, such as walker-walk.
        difficulty: How far colours and camera vary, and how many background videos there are.
        dynamic: Distractions change during an episode instead of once an episode.
        background: The background shows videos.
        camera: The camera moves.
        color: Colours vary.
        lighting: Lights vary too; the published suite has no such distraction.
        backgrounds: "procedural", "davis" after ``core-repr download davis``, or a folder of
            videos.
        num_videos: Background videos to train with, the first so many; as many as the level has
            by default.
        validation_videos: Background videos to validate with, likewise.
        suite_camera: Reacher's camera stays on one side, as in the published suite.
        rendering: "fast", or "full" as the suite renders, 320×240 pixels with shadows, resized;
            "full" by default with the preset paper.
        action_repeat: Simulator steps for each agent step; the paper's choice by default.
    """

    task: Annotated[str, tyro.conf.arg(metavar="DOMAIN-TASK")] = "cartpole-swingup"
    difficulty: Difficulty = "easy"
    dynamic: bool = True
    background: bool = True
    camera: bool = True
    color: bool = True
    lighting: bool = False
    backgrounds: str = "procedural"
    num_videos: int | None = None
    validation_videos: int | None = None
    suite_camera: bool = False
    rendering: Rendering = "fast"
    action_repeat: int | None = None

    def arguments(self, frame_size: int) -> dict[str, Any]:
        """Returns the arguments of ``gym.make`` that training and validation share.

        Raises:
            ValueError: If the options contradict each other.
        """
        require_choice("--task", self.task, [*TASKS])
        if self.difficulty != "none" and not any(self._distractions.values()):
            raise ValueError(
                f"--difficulty {self.difficulty} has nothing to distract with: background, camera, "
                "color and lighting are all off; switch one of them on, or take --difficulty none."
            )
        arguments: dict[str, Any] = {
            "difficulty": None if self.difficulty == "none" else self.difficulty,
            "dynamic": self.dynamic,
            "backgrounds": self.backgrounds,
            "frame_size": frame_size,
        }
        if self.rendering == "full":
            arguments["rendering"] = "full"
        usual = DistractingControl()._distractions
        arguments |= {name: on for name, on in self._distractions.items() if on != usual[name]}
        if self.suite_camera:
            arguments["suite_camera"] = True
        if self.action_repeat is not None:
            arguments["action_repeat"] = self.action_repeat
        return arguments

    def splits(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the arguments of ``gym.make`` for training alone, and for validation alone.

        Raises:
            ValueError: If a number of videos is less than one, or there is no background.
        """
        numbers = {
            "--num-videos": self.num_videos,
            "--validation-videos": self.validation_videos,
        }
        training: dict[str, Any] = {"split": "train"}
        validation: dict[str, Any] = {"split": "val"}
        for option, number in numbers.items():
            if number is None:
                continue
            if number < 1:
                raise ValueError(
                    f"{option} must be at least 1, not {number}; for no videos, take "
                    "--no-background."
                )
            if self.difficulty == "none" or not self.background:
                raise ValueError(
                    f"{option} counts background videos, but this environment has none; leave it "
                    "out, or choose a --difficulty, and no --no-background."
                )
            # Both, each time: what validation does not name would be taken from the training.
            training["num_videos"] = self.num_videos
            validation["num_videos"] = self.validation_videos
        return training, validation

    @classmethod
    def of(cls, choice: EnvironmentChoice) -> DistractingControl | None:
        """Returns the options that choose an environment; ``None`` if it is not of the suite."""
        known = {option.name for option in fields(cls)}
        for task in TASKS:
            if choice.id == cls(task).id and not choice.wrappers:
                options = {**choice.arguments, "task": task}
                options["difficulty"] = options.get("difficulty") or "none"
                if options.get("backgrounds", "") is None:
                    options |= {"background": False, "backgrounds": "procedural"}
                for option, further in (
                    ("num_videos", choice.training),
                    ("validation_videos", choice.validation),
                ):
                    options[option] = further.get("num_videos", options.get(option))
                return cls(**{name: value for name, value in options.items() if name in known})
        return None

    @property
    def label(self) -> str:
        """A short name, such as cartpole-swingup-easy."""
        words: list[str] = [self.task, self.difficulty]
        if self.difficulty != "none":
            words += ["static"] * (not self.dynamic)
            if self._distractions != DistractingControl()._distractions:
                words += [name for name, on in self._distractions.items() if on]
            if self.num_videos is not None:
                words.append(f"{self.num_videos}-videos")
            words += ["suite-camera"] * self.suite_camera
        words += ["full"] * (self.rendering == "full")
        return "-".join(words)

    @property
    def id(self) -> str:
        """The Gymnasium id."""
        return f"distracting_control/{self.task}-v0"

    @property
    def _distractions(self) -> dict[str, bool]:
        return {name: getattr(self, name) for name in DISTRACTIONS}


@dataclass
class EnvironmentChanges:
    """What to change in the environment that a model was trained in; by default, nothing.

    Attributes:
        difficulty: How far colours and camera vary, and how many background videos there are;
            "none" is without distractions.
        scale: How far colours, camera and lights vary, from 0 to 1, instead of what the level says:
            0.1, 0.2 or 0.3.
        dynamic: Distractions change during an episode instead of once an episode; as trained by
            default, like all switches.
        background: The background shows videos.
        camera: The camera moves.
        color: Colours vary.
        lighting: Lights vary.
        backgrounds: Background videos: "procedural", "davis", or a folder; as trained by default.
        num_videos: How many background videos, the first so many of the split; by default, of
            training videos as many as the training had, of others as many as it validated with.
        suite_camera: Reacher's camera stays on one side, as in the published suite.
        rendering: "fast", or "full" as the suite renders.
        env_args: Any arguments of the environment or its wrappers, as name=value; a value is JSON,
            or else text.
    """

    difficulty: Literal["as-trained"] | Difficulty = "as-trained"
    scale: float | None = None
    dynamic: Switch = None
    background: Switch = None
    camera: Switch = None
    color: Switch = None
    lighting: Switch = None
    backgrounds: str | None = None
    num_videos: int | None = None
    suite_camera: Switch = None
    rendering: Literal["as-trained"] | Rendering = "as-trained"
    env_args: EnvArgs = ()

    def apply(
        self, environment: EnvironmentConfig, split: Literal["train", "val"], folder: Path
    ) -> dict[str, Any]:
        """Returns the arguments of ``gym.make`` that replace the recorded ones.

        Args:
            environment: What the model's config records.
            split: Backgrounds of the training, or others.
            folder: Where the model lies.

        Raises:
            ValueError: If the environment has no such argument, or it changes nothing.
            gymnasium.error.Error: If it is not registered.
        """
        from core_repr.environments import (
            known_arguments,
            recorded_argument,
            split_arguments,
            unknown_arguments,
        )

        changes = split_arguments(environment, split, folder)
        chosen = self._chosen()
        unknown = unknown_arguments(environment, chosen)
        if unknown:
            name, known = min(unknown), known_arguments(environment)
            raise ValueError(
                f"The model was trained in {environment.id}, which has no argument {name!r}; leave "
                f"it out, or name one of {', '.join(sorted(known))}."
            )
        level = chosen.get("difficulty", recorded_argument(environment, "difficulty"))
        idle = [name for name in OF_A_LEVEL if chosen.get(name) not in (None, False)]
        if level is None and idle and "difficulty" in known_arguments(environment):
            option = idle[0].replace("_", "-")
            raise ValueError(
                f"--{option} changes nothing without distractions; choose their level with "
                "--difficulty."
            )
        recorded = (environment.arguments, *(w.arguments for w in environment.wrappers), changes)
        if "difficulty" in chosen:
            # A level has its own.
            for name in ("num_videos", "scale"):
                if any(name in arguments for arguments in recorded):
                    changes[name] = None
        return {**changes, **chosen}

    def _chosen(self) -> dict[str, Any]:
        chosen = {
            name: getattr(self, name)
            for name in (
                "scale",
                "dynamic",
                *DISTRACTIONS,
                "backgrounds",
                "num_videos",
                "suite_camera",
            )
            if getattr(self, name) is not None
        }
        if self.difficulty != "as-trained":
            chosen["difficulty"] = None if self.difficulty == "none" else self.difficulty
        if self.rendering != "as-trained":
            chosen["rendering"] = self.rendering
        return {**chosen, **typed_arguments(self.env_args)}


def open_agent(
    model: str,
    changes: EnvironmentChanges,
    split: Literal["train", "val"],
    module: str | None,
) -> tuple[SequenceAlgorithm, gym.Env[Any, Any]]:
    """Loads the agent of a model, and makes the environment that it was trained in.

    Args:
        model: A zoo name, a folder or a Hub repository.
        changes: What to change in the environment.
        split: Backgrounds of the training, or others.
        module: To import first.

    Returns:
        The agent, and the environment, which is the agent's.

    Raises:
        ValueError: If the environment has no such argument.
        OSError: If there is no such model, or it has no agent.
    """
    from core_repr import zoo
    from core_repr.agent import load_agent
    from core_repr.environments import make_environment

    use_one_thread()
    import_module(module)
    source = zoo.find(model)
    agent = load_agent(source, device="cpu")
    environment = agent.environment_config
    env = make_environment(environment, **changes.apply(environment, split, source))
    agent.set_env(env)
    return agent, env


def typed_arguments(typed: Sequence[str]) -> dict[str, Any]:
    """Reads arguments of ``gym.make``.

    Args:
        typed: Each as name=value; a value is JSON, or else text.

    Raises:
        ValueError: If one has another form.
    """
    arguments = {}
    for word in typed:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"{word!r} is not an argument of the form name=value.")
        try:
            arguments[name] = decode(parse_json(value.encode()))
        except ValueError:
            arguments[name] = value
    return arguments


def as_typed(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns what :func:`typed_arguments` reads."""
    return tuple(f"{name}={json.dumps(encode(value))}" for name, value in arguments.items())


def import_module(name: str | None) -> None:
    """Imports what registers environments, also from the working directory.

    Args:
        name: As in Python's ``import``; ``None`` for nothing.

    Raises:
        ModuleNotFoundError: If there is no such module.
    """
    if name is None:
        return
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ModuleNotFoundError(
            f"There is no module {name!r} to import: name one as in Python's import, such as "
            "my_package.environments, that is installed or lies in the working directory."
        ) from None
