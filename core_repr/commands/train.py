"""``core-repr train``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from core_repr.commands.device import check_device
from core_repr.commands.environment import (
    DistractingControl,
    EnvArgs,
    Import,
    Rendering,
    as_typed,
    import_module,
    typed_arguments,
)
from core_repr.commands.memory import keep_freed_memory
from core_repr.config import (
    PRESETS,
    AgentConfig,
    AugmentationConfig,
    CoReConfig,
    ObjectivesConfig,
    SACConfig,
    WorldModelConfig,
    WrapperConfig,
    make_variant,
    variant_of,
)
from core_repr.config.settings_file import read_settings
from core_repr.environments import EnvironmentChoice, require_registered
from core_repr.wrapping import find_wrapper, parameters, parse_wrapper, write_wrapper

if TYPE_CHECKING:
    from core_repr.training import Origin
    from core_repr.zoo.recipes import Recipe


@dataclass
class Train:
    """Trains a world model together with its SAC agent; --help-all lists every setting.

    Attributes:
        run: Folder for the run, which must not hold one; by default, one under runs/ that is
            named after the environment and the seed.
        resume: A run's folder: resumes it from its newest checkpoint, with its settings; only
            env-steps can be changed.
        from_: A zoo name, a Hub repository, a model folder or a run's folder: starts a new run
            from its weights, and from its optimisers if it has them, in its environment (a data
            set that tells of none: --env), and with its settings where no other ones are given.
        recipe: Name of a recipe of the zoo, or a file like one: trains with its environment and
            settings, where no other ones are given, and from the weights of its model or --from.
        preset: Sizes and settings: compact for a laptop's CPU, paper for a GPU, rendered in full.
        variant: A system of the paper: core, rsac, recon, curl, dbc …; another name lists them all.
        config: File of settings, YAML or JSON, as core-repr config show prints them.
        env: Gymnasium id of another environment than the suite's, with frames (see --import).
        env_args: Arguments of that environment, as name=value; a value is JSON, or else text.
        wrappers: What to put around it, the innermost first, such as
            'DistractionWrapper("medium", dynamic=True)' or MODULE.NAME(...).
        validation_args: Further arguments for validation alone, of the environment or its
            wrappers; split=val by default for a wrapper that has a split.
        environment: Where to train.
        dataset: Trains a world model alone, from episodes of Minari's or LeRobot's: a folder or id.
        dataset_camera: Which camera of the data set, if there are several.
        updates: Updates of the world model from a data set; 10,000 by default.
        env_steps: Total simulator steps (agent steps × action repeat), those of the model that
            the training starts from included; 500,000 by default.
        seed: Seeds everything that is random; several, such as 0 1 2, make a run each.
        episode_steps: Agent steps after which a training episode is cut short; the next one has
            another start and other distractions. By default, episodes are whole.
        evaluation_interval: Training episodes between two evaluations; updates with `--dataset`.
        evaluation_episodes: Episodes of an evaluation on the validation videos.
        import_: Module to import first, which registers the environment that the run or the model
            was trained in.
        checkpoint_minutes: A checkpoint is taken at each evaluation, and when so many minutes
            have passed since the last one.
        device: "auto", "cpu" or "cuda".
        logger: Where the log goes besides progress.csv: tensorboard, wandb.
        world_model: What the model sees and how its latent state follows from it.
        objectives: The terms of its loss.
        augmentation: How the frames that the learner sees are changed.
        agent: Settings of the agent and of learning.
    """

    run: Path | None = None
    resume: Path | None = None
    from_: Annotated[str | None, tyro.conf.arg(name="from", metavar="MODEL")] = None
    recipe: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    preset: Literal["compact", "paper"] = "compact"
    variant: Annotated[str, tyro.conf.arg(metavar="NAME")] = "core"
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    env: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None
    env_args: EnvArgs = ()
    wrappers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WRAPPER ...")] = ()
    validation_args: EnvArgs = ()
    environment: Annotated[DistractingControl, tyro.conf.arg(name="")] = field(
        default_factory=DistractingControl
    )
    dataset: Annotated[str | None, tyro.conf.arg(metavar="DATASET")] = None
    dataset_camera: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    updates: int | None = None
    env_steps: int | None = None
    seed: tuple[int, ...] = (0,)
    episode_steps: int | None = None
    evaluation_interval: int = 20
    evaluation_episodes: int = 5
    checkpoint_minutes: float = 5.0
    device: str = "auto"
    logger: tuple[Literal["csv", "tensorboard", "wandb"], ...] = ("csv",)
    import_: Import = None
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    objectives: ObjectivesConfig = field(default_factory=ObjectivesConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    agent: AgentConfig = field(default_factory=SACConfig)

    def __call__(self) -> int:
        """Runs the training."""
        from core_repr import training
        from core_repr.hub.model_folder import load_config

        check_device(self.device)
        import_module(self.import_)
        keep_freed_memory()
        if not self.seed:
            raise ValueError("--seed must name at least one.")
        many = len(self.seed) > 1 and self.resume is None
        try:
            for seed in self.seed if many else self.seed[:1]:
                # A run for each in a folder that was named.
                within = self.run / f"seed-{seed}" if many and self.run is not None else self.run
                run = replace(self, seed=(seed,), run=within)._train()
                then = f"core-repr evaluate {run / 'model'}"
                if training.is_from_dataset(run):
                    model = str(run / "model")
                    then = f"CoReWrapper(env, {model!r}), or core-repr train --from {run}"
                    environment = load_config(run / "model").environment
                    assert environment is not None
                    then += " --env ID" * environment.is_dataset
                print(f"{run} holds the run; next: {then}")
        except training.Interrupted as interruption:
            print(interruption)
            return 128 + interruption.signal_number
        return 0

    def _train(self) -> Path:
        from core_repr import training
        from core_repr.hub.model_folder import load_config

        make_variant(PRESETS[self.preset](), self.variant)
        if self.config is not None:
            # Or says what is wrong with it.
            settings_of(self.config, self.preset, self.variant)
        if self.recipe is not None:
            self._refuse_beside_recipe()
        if self.resume is not None:
            self._refuse_beside("resume")
            if training.is_from_dataset(self.resume):
                self._refuse_option("env_steps", "a data set has none; say how far with --updates")
                training.resume_from_dataset(
                    self.resume, self.updates, self.device, loggers=self.logger
                )
            else:
                self._refuse_option("updates", "they follow from the environment steps")
                training.resume(self.resume, self.env_steps, self.device, loggers=self.logger)
            return self.resume
        if self.dataset is not None:
            return self._train_from_dataset(self.dataset)
        for option in ("dataset_camera", "updates"):
            self._refuse_option(option, "it is of a data set; name that with --dataset")
        schedule = training.Schedule(
            500_000 if self.env_steps is None else self.env_steps,
            self.seed[0],
            self.evaluation_interval,
            self.evaluation_episodes,
            checkpoint_minutes=self.checkpoint_minutes,
            episode_steps=self.episode_steps,
        )
        if self.from_ is not None:
            option = "from" if self.recipe is None else "recipe"
            origin = find_origin(self.from_)
            config = load_config(origin.model)
            assert config.environment is not None
            chosen = ENVIRONMENT_OPTIONS if config.environment.is_dataset else ()
            self._refuse_beside(option, chosen)
            if self.world_model != config.world_model:
                raise ValueError(
                    f"--{option} starts with the sizes of {self.from_}; "
                    "leave out the options that begin with --world-model."
                )
            if config.environment.is_dataset:
                choice = self._choice_like(config)
            else:
                choice = EnvironmentChoice.recorded(config.environment, Path(origin.model))
            config = config.replace(
                objectives=self.objectives, augmentation=self.augmentation, agent=self.agent
            )
            label = f"from-{Path(self.from_).name}"
        else:
            origin = None
            config = CoReConfig(self.world_model, self.objectives, self.augmentation, self.agent)
            choice, label = self._choice(config.world_model.frame_size)
        run = self.run or Path("runs") / label / f"seed-{self.seed[0]}"
        training.train(choice, config, run, schedule, self.device, origin, loggers=self.logger)
        return run

    def _train_from_dataset(self, dataset: str) -> Path:
        from core_repr import training

        plain = train_with_preset(self.preset, self.variant)
        of_episodes = ("env_steps", "episode_steps", "evaluation_episodes")
        for name in ("from_", "recipe", *ENVIRONMENT_OPTIONS, *of_episodes):
            if getattr(self, name) != getattr(plain, name):
                typed = "the environment's options"
                if name not in ENVIRONMENT_OPTIONS:
                    typed = "--" + name.rstrip("_").replace("_", "-")
                raise ValueError(
                    f"--dataset learns from what was recorded, not in an environment; leave out "
                    f"{typed}."
                )
        chosen = {} if self.updates is None else {"updates": self.updates}
        if self.evaluation_interval != plain.evaluation_interval:
            chosen["evaluation_interval"] = self.evaluation_interval
        schedule = training.DatasetSchedule(
            str(Path(dataset).resolve()) if Path(dataset).is_dir() else dataset,
            self.dataset_camera,
            seed=self.seed[0],
            checkpoint_minutes=self.checkpoint_minutes,
            **chosen,
        )
        config = CoReConfig(self.world_model, self.objectives, self.augmentation, self.agent)
        name = Path(dataset).name
        run = self.run or Path("runs") / name / f"seed-{self.seed[0]}"
        training.train_from_dataset(config, run, schedule, self.device, loggers=self.logger)
        return run

    def _refuse_option(self, name: str, why: str) -> None:
        if getattr(self, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} does not fit: {why}.")

    def _choice(self, frame_size: int) -> tuple[EnvironmentChoice, str]:
        """Returns where to train, and a short name of it."""
        if self.env is None:
            for option in ("env_args", "validation_args", "wrappers"):
                if getattr(self, option):
                    raise ValueError(
                        f"--{option.replace('_', '-')} are of another environment than the "
                        "suite's; name it with --env."
                    )
            arguments = self.environment.arguments(frame_size)
            choice = EnvironmentChoice(self.environment.id, arguments, *self.environment.splits())
            return choice, self.environment.label
        if self.environment != train_with_preset(self.preset).environment:
            raise ValueError(
                f"--env trains in {self.env!r}, which does not take the suite's options; leave "
                "them out, and pass its own arguments with --env-args."
            )
        require_registered(self.env)
        arguments, validation = map(typed_arguments, (self.env_args, self.validation_args))
        wrappers = tuple(map(parse_wrapper, self.wrappers))
        if any("split" in parameters(find_wrapper(wrapper.name)) for wrapper in wrappers):
            validation = {"split": "val", **validation}
        choice = EnvironmentChoice(self.env, arguments, {}, validation, wrappers)
        return choice, self.env.replace("/", "-")

    def _choice_like(self, config: CoReConfig) -> EnvironmentChoice:
        """Returns where a model of a data set learns on, with the actions that it knows."""
        dataset = config.environment
        assert dataset is not None
        if self.env is None:
            raise ValueError(
                f"{self.from_} is of a data set ({dataset.id}), which tells of no environment; "
                "name one to learn on in with --env, of the suite's too."
            )
        choice, _ = self._choice(config.world_model.frame_size)
        bounds = {"low": [*dataset.action_low], "high": [*dataset.action_high]}
        within = WrapperConfig("core_repr.ActionBounds", bounds)
        return replace(choice, wrappers=(*choice.wrappers, within))

    def _refuse_beside_recipe(self) -> None:
        self._refuse_option("config", "a recipe names every setting")
        assert self.recipe is not None
        train_by(self.recipe, self.from_)
        if self.resume is not None:
            raise ValueError("--recipe says itself where a training starts; leave out --resume.")
        if self.preset != "compact":
            raise ValueError("--recipe names every setting of a preset; leave out --preset.")
        if self.variant != "core":
            raise ValueError("--recipe names every part of a model; leave out --variant.")

    def _refuse_beside(self, option: str, chosen: tuple[str, ...] = ()) -> None:
        """Refuses what ``--resume``, ``--from`` or a recipe's model decides by itself.

        Args:
            option: Which of them.
            chosen: Further options that it leaves open.
        """
        if option == "recipe":
            assert self.recipe is not None
            plain = train_by(self.recipe, self.from_)
        elif option == "from":
            assert self.from_ is not None
            plain = train_from(self.from_)
        else:
            plain = train_with_preset("compact")
        allowed = {option, f"{option}_", "env_steps", "updates", "device", "logger", "import_"}
        allowed |= {*chosen}
        if option != "resume":
            allowed |= {
                "from_",
                "run",
                "seed",
                "world_model",
                "objectives",
                "augmentation",
                "agent",
            }
            allowed |= {"evaluation_interval", "evaluation_episodes", "checkpoint_minutes"}
            allowed.add("episode_steps")
        for name in (setting.name for setting in fields(self) if setting.name not in allowed):
            if getattr(self, name) != getattr(plain, name):
                typed = "--" + name.rstrip("_").replace("_", "-")
                of_environment = name in ENVIRONMENT_OPTIONS
                what = "the environment's options" if of_environment else typed
                which = "in the environment" if of_environment else "with the settings"
                raise ValueError(
                    f"--{option} continues {which} of an earlier training; leave out {what}."
                )


def train_with(config: CoReConfig) -> Train:
    """Returns the command with a config's settings as its defaults."""
    return Train(
        world_model=config.world_model,
        objectives=config.objectives,
        augmentation=config.augmentation,
        agent=config.agent,
    )


def train_with_preset(preset: str, variant: str = "core") -> Train:
    """Returns the command with a preset's settings, and its rendering, as its defaults.

    Args:
        preset: Name of the preset.
        variant: The system of the paper that it is changed to.

    Raises:
        ValueError: If there is no such variant.
    """
    rendering: Rendering = "full" if preset == "paper" else "fast"
    return replace(
        train_with(make_variant(PRESETS[preset](), variant)),
        environment=DistractingControl(rendering=rendering),
        variant=variant,
    )


def train_with_settings(path: str, preset: str, variant: str = "core") -> Train:
    """Returns the command with the settings of a file as its defaults.

    Args:
        path: The file.
        preset: For what the file does not name.
        variant: The system of the paper that the preset is changed to.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not fit.
    """
    plain = train_with_preset(preset, variant)
    config = settings_of(path, preset, variant)
    return replace(
        plain,
        world_model=config.world_model,
        objectives=config.objectives,
        augmentation=config.augmentation,
        agent=config.agent,
    )


def settings_of(path: str | Path, preset: str, variant: str) -> CoReConfig:
    """Returns a variant of a preset with the settings of a file.

    Args:
        path: The file.
        preset: For what the file does not name.
        variant: The system of the paper that the preset is changed to.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not fit, or makes another system.
    """
    base = make_variant(PRESETS[preset](), variant)
    config = read_settings(path, base)
    if variant != "core" and variant_of(config) != variant_of(base):
        raise ValueError(
            f"{path} names the parts of {variant_of(config)!r}, so --variant {variant} would "
            "change nothing: leave out one of them."
        )
    return config


def train_from(model: str) -> Train:
    """Returns the command with the settings and the environment of a model as its defaults.

    A model of a data set that tells of no environment leaves that open.

    Args:
        model: A zoo name, a Hub repository, a model folder or a run's folder.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If a file of it is broken.
    """
    from core_repr.hub.model_folder import load_config

    config = load_config(find_origin(model).model)
    assert config.environment is not None
    environment = config.environment
    if environment.is_dataset:
        return train_with(config)
    # Not from what is registered: --import may not have registered it yet.
    arguments = {**environment.arguments, "action_repeat": environment.action_repeat}
    choice = EnvironmentChoice(environment.id, arguments, wrappers=environment.wrappers)
    return replace(train_with(config), **_options(choice))


def train_by(recipe: str, model: str | None = None) -> Train:
    """Returns the command with a recipe's environment and settings as its defaults.

    Args:
        recipe: Name of a recipe, or a file.
        model: What to continue from instead of the model that the recipe names.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If it does not fit.
    """
    from core_repr.zoo import recipes

    chosen = recipes.load(recipe)
    if model is not None:
        if chosen.continued_from is None:
            raise ValueError(
                f"The recipe {recipe!r} starts from nothing; leave out --from, or --recipe."
            )
        chosen = replace(chosen, continued_from=model)
    elif chosen.continued_from is not None:
        _require_origin(recipe, chosen.continued_from)
    try:
        options = _recipe_options(chosen)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"The recipe {recipe!r} does not fit: {error}") from None
    return replace(
        train_with(chosen.config),
        **options,
        env_steps=chosen.env_steps,
        seed=(chosen.seed,),
        evaluation_interval=chosen.evaluation_interval,
        evaluation_episodes=chosen.evaluation_episodes,
        episode_steps=chosen.episode_steps,
        from_=chosen.continued_from,
    )


def _require_origin(recipe: str, origin: str) -> None:
    """Says how to get the model that a recipe continues from, where it is a recipe's too."""
    from core_repr import zoo

    if origin in zoo.list_models() or Path(origin).exists():
        return
    if origin in zoo.recipes.list_recipes():
        raise FileNotFoundError(
            f"The recipe {recipe!r} continues from {origin!r}, which is not in the package: train "
            f"that first with `core-repr train --recipe {origin} --run runs/{origin}`, and then "
            f"this with `core-repr train --recipe {recipe} --from runs/{origin}/model`."
        )


def find_origin(model: str) -> Origin:
    """Returns where a training that continues from a model starts.

    Args:
        model: A zoo name, a Hub repository, a model folder or a run's folder.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If a file of it is broken.
    """
    from core_repr import zoo
    from core_repr.hub.names import find_repository
    from core_repr.training import Origin

    # A path would tell others where it lies here; of a folder, its name is enough.
    if model not in zoo.list_models() and Path(model).expanduser().is_dir():
        return Origin.find(Path(model).expanduser())
    folder, repository = zoo.find(model), find_repository(model)
    return Origin.find(folder, model if repository is None else repository.name)


ENVIRONMENT_OPTIONS = ("environment", "env", "env_args", "wrappers", "validation_args")


def _options(choice: EnvironmentChoice) -> dict[str, Any]:
    """Returns the options that choose an environment: the suite's, or those that fit any."""
    suite = DistractingControl.of(choice)
    if suite is not None:
        return {"environment": suite}
    return {
        "env": choice.id,
        "env_args": as_typed({**choice.arguments, **choice.training}),
        "wrappers": tuple(map(write_wrapper, choice.wrappers)),
        "validation_args": as_typed(choice.validation),
    }


def _recipe_options(recipe: Recipe) -> dict[str, Any]:
    """Returns the options that choose the environment of a recipe, or of the model it names."""
    if recipe.environment is not None:
        return _options(recipe.environment)
    assert recipe.continued_from is not None
    start = train_from(recipe.continued_from)
    if start.world_model != recipe.config.world_model:
        raise ValueError(f"config.world_model is not that of {recipe.continued_from}.")
    return {name: getattr(start, name) for name in ENVIRONMENT_OPTIONS}
