"""``core-repr train``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from core_repr.commands.device import check_device
from core_repr.commands.environment import DistractingControl
from core_repr.commands.memory import keep_freed_memory
from core_repr.config import PRESETS, AgentConfig, CoReConfig, LossConfig, WorldModelConfig


@dataclass
class Train:
    """Trains a world model together with its SAC agent.

    Attributes:
        run: Folder for the run, which must not hold one; by default, one under runs/ that is
            named after the environment and the seed.
        resume: A run's folder: goes on with it from its newest checkpoint, with its settings;
            only env-steps can be changed.
        from_: A zoo name, a model folder or a run's folder: goes on from its weights, and from
            its optimisers if it has them, in a new run with its environment, and with its
            settings where no other ones are given.
        recipe: Name of a recipe of the zoo, or a file like one: trains with its environment and
            settings, where no other ones are given, and from its model's weights if it names one.
        preset: Sizes and settings to start from: compact for a laptop's CPU, paper for a GPU.
        environment: Where to train.
        env_steps: Simulator steps to train for, before action repeat, with those of the model
            that the training goes on from; 500,000 by default.
        seed: Seeds everything that is random.
        evaluation_interval: Training episodes between two evaluations.
        evaluation_episodes: Episodes of an evaluation on the validation videos.
        checkpoint_minutes: A checkpoint is taken at each evaluation, and when so many minutes
            have passed since the last one.
        device: "auto", "cpu" or "cuda".
        world_model: Sizes of the model.
        loss: Weights of its losses.
        agent: Settings of the agent and of learning.
    """

    run: Path | None = None
    resume: Path | None = None
    from_: Annotated[str | None, tyro.conf.arg(name="from", metavar="MODEL")] = None
    recipe: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    preset: Literal["compact", "paper"] = "compact"
    environment: Annotated[DistractingControl, tyro.conf.arg(name="")] = field(
        default_factory=DistractingControl
    )
    env_steps: int | None = None
    seed: int = 0
    evaluation_interval: int = 20
    evaluation_episodes: int = 5
    checkpoint_minutes: float = 5.0
    device: str = "auto"
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)

    def __call__(self) -> int:
        """Runs the training."""
        from core_repr import training

        check_device(self.device)
        keep_freed_memory()
        try:
            run = self._train()
        except training.Interrupted as interruption:
            print(interruption)
            return 128 + interruption.signal_number
        print(f"{run} holds the run; next: core-repr evaluate {run / 'model'}")
        return 0

    def _train(self) -> Path:
        from core_repr import training, zoo
        from core_repr.world_model import storage

        if self.recipe is not None:
            self._refuse_beside_recipe()
        if self.resume is not None:
            self._refuse_beside("resume")
            training.resume(self.resume, self.env_steps, self.device)
            return self.resume
        schedule = training.Schedule(
            500_000 if self.env_steps is None else self.env_steps,
            self.seed,
            self.evaluation_interval,
            self.evaluation_episodes,
            checkpoint_minutes=self.checkpoint_minutes,
        )
        if self.from_ is not None:
            option = "from" if self.recipe is None else "recipe"
            self._refuse_beside(option)
            origin = training.Origin.find(zoo.find(self.from_))
            config = storage.load_config(origin.model)
            assert config.environment is not None
            if self.world_model != config.world_model:
                raise ValueError(
                    f"--{option} goes on with the sizes of {self.from_}; "
                    "leave out the options that begin with --world-model."
                )
            choice = training.EnvironmentChoice.recorded(config.environment)
            config = config.replace(loss=self.loss, agent=self.agent)
            label = f"from-{Path(self.from_).name}"
        else:
            origin = None
            config = CoReConfig(self.world_model, self.loss, self.agent)
            choice = training.EnvironmentChoice(
                self.environment.id,
                self.environment.arguments(config.world_model.frame_size),
                {"split": "train"},
                {"split": "val"},
            )
            label = self.environment.label
        run = self.run or Path("runs") / label / f"seed-{self.seed}"
        training.train(choice, config, run, schedule, self.device, origin)
        return run

    def _refuse_beside_recipe(self) -> None:
        assert self.recipe is not None
        plain = train_by(self.recipe)
        for option in ("resume", "from_"):
            if getattr(self, option) != getattr(plain, option):
                raise ValueError(
                    "--recipe starts a training of its own; "
                    f"leave out --{option.removesuffix('_')}."
                )
        if self.preset != "compact":
            raise ValueError("--recipe names every setting of a preset; leave out --preset.")

    def _refuse_beside(self, option: str) -> None:
        """Refuses what ``--resume``, ``--from`` or a recipe's model decides by itself."""
        preset = PRESETS[self.preset]()
        plain = Train(world_model=preset.world_model, loss=preset.loss, agent=preset.agent)
        allowed = {option, f"{option}_", "env_steps", "device"}
        if option != "resume":
            allowed |= {"from_", "run", "seed", "world_model", "loss", "agent"}
            allowed |= {"evaluation_interval", "evaluation_episodes", "checkpoint_minutes"}
        for name in (setting.name for setting in fields(self) if setting.name not in allowed):
            if getattr(self, name) != getattr(plain, name):
                typed = "--" + name.rstrip("_").replace("_", "-")
                what = "the environment's options" if name == "environment" else typed
                raise ValueError(
                    f"--{option} goes on with the settings of an earlier training; "
                    f"leave out {what}."
                )


def train_with(config: CoReConfig) -> Train:
    """Returns the command with a config's settings as its defaults."""
    return Train(world_model=config.world_model, loss=config.loss, agent=config.agent)


def train_by(recipe: str) -> Train:
    """Returns the command with a recipe's environment and settings as its defaults.

    Args:
        recipe: Name of a recipe, or a file.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If it does not fit.
    """
    from pydantic import TypeAdapter, ValidationError

    from core_repr.zoo import recipes

    chosen = recipes.load(recipe)
    unknown = chosen.environment.keys() - {option.name for option in fields(DistractingControl)}
    if unknown:
        raise ValueError(
            f"The recipe {recipe!r} does not fit: environment.{min(unknown)} is unknown."
        )
    try:
        environment = TypeAdapter(DistractingControl).validate_python(chosen.environment)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(
            f"The recipe {recipe!r} does not fit: environment.{first['loc'][0]}: {first['msg']}."
        ) from None
    return replace(
        train_with(chosen.config),
        environment=environment,
        env_steps=chosen.env_steps,
        seed=chosen.seed,
        evaluation_interval=chosen.evaluation_interval,
        evaluation_episodes=chosen.evaluation_episodes,
        from_=chosen.continued_from,
    )


def config_of(model: str) -> CoReConfig:
    """Returns the config of a model that a training is to go on from.

    Args:
        model: A zoo name, a model folder or a run's folder.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If its config does not fit.
    """
    from core_repr import zoo
    from core_repr.training import Origin
    from core_repr.world_model import storage

    return storage.load_config(Origin.find(zoo.find(model)).model)
