"""``core-repr robustness``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from core_repr.commands.environment import EnvArgs, Import, import_module, typed_arguments
from core_repr.commands.numbers import at_least
from core_repr.commands.threads import use_one_thread

if TYPE_CHECKING:
    import gymnasium as gym

    from core_repr.config import EnvironmentConfig
    from core_repr.evaluation import Condition


@dataclass
class Robustness:
    """Tries an agent under distractions: over their intensity, each alone, static and dynamic.

    The agent plays the same validation episodes each time, with its deterministic policy. Of other
    agents than a model's own, core_repr.evaluation.robustness does the same in Python.

    Attributes:
        model: A zoo name, a folder, such as a run's model folder, or a Hub repository, user/repo.
        output: Folder to write robustness.md, robustness.png and robustness.json to.
        episodes: How many under each condition; episode i is seeded with seed + i.
        seed: Seed of the first episode.
        videos: "davis", or a folder of videos, to try as backgrounds too: its validation part.
        env: Another environment than that of the training, with the same frames and actions.
        wrappers: What to put around it, such as 'DistractionWrapper("medium", dynamic=True)'.
        env_args: Arguments of the environment or its wrappers, as name=value; a value is JSON, or
            else text.
        import_: Module to import first, which registers the environment.
    """

    model: tyro.conf.Positional[str]
    output: Path | None = None
    episodes: int = 10
    seed: int = 0
    videos: str | None = None
    env: str | None = None
    wrappers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WRAPPER ...")] = ()
    env_args: EnvArgs = ()
    import_: Import = None

    def __call__(self) -> int:
        """Tries the agent, prints the table and writes the files."""
        from rich.console import Console
        from tqdm import tqdm

        from core_repr import zoo
        from core_repr.agent import load_agent
        from core_repr.environments import (
            distraction_choices,
            known_arguments,
            label,
            make_environment,
            recorded_argument,
            split_arguments,
        )
        from core_repr.evaluation import conditions, robustness
        from core_repr.evaluation.plots import save_figure
        from core_repr.files.json_files import write_outcome
        from core_repr.files.names import ROBUSTNESS_FILE, ROBUSTNESS_PICTURE_FILE
        from core_repr.files.writing import write_atomically

        at_least(1, episodes=self.episodes)
        at_least(0, seed=self.seed)
        if self.output is not None:
            self._check_folder(self.output)
        use_one_thread()
        import_module(self.import_)
        source = zoo.find(self.model)
        agent = load_agent(source, device="cpu")
        environment = self._environment(agent.environment_config)
        known = known_arguments(environment)
        trained = {name: recorded_argument(environment, name) for name in known}
        tried = conditions(trained, known, self.videos, distraction_choices(environment))
        as_trained = environment == agent.environment_config
        if not as_trained:
            named = (c.name.replace("as trained", "as given") for c in tried)
            tried = [replace(c, name=name) for c, name in zip(tried, named, strict=True)]
        as_validated = split_arguments(environment, "val", source if self.env is None else None)

        def make(**changes: Any) -> gym.Env[Any, Any]:
            made = make_environment(environment, **{**as_validated, **changes})
            agent.set_env(made)
            return made

        def finished(condition: Condition, _: int) -> None:
            bar.set_description(f"{condition.group}: {condition.name}", refresh=False)
            bar.update()

        with tqdm(total=self.episodes * len(tried), unit="episode") as bar:
            report = robustness(
                agent,
                make,
                tried,
                self.episodes,
                self.seed,
                finished,
                _scale(trained) if as_trained else None,
            )
        where = "trained in" if as_trained else "tried in"
        title = f"{Path(self.model).name}, {where} {label(environment)}"
        console = Console()
        console.print(report.table(), soft_wrap=True, markup=False, highlight=False)
        if self.output is not None:
            self.output.mkdir(exist_ok=True)
            outcome = {"model": self.model, "environment": environment.id, **report.to_dict()}
            text = f"# {title}\n\n![](robustness.png)\n\n{report.table()}\n"
            write_atomically(self.output / "robustness.md", text.encode())
            write_outcome(self.output / ROBUSTNESS_FILE, outcome)
            save_figure(report.figure(title), self.output / ROBUSTNESS_PICTURE_FILE)
            console.print(f"{self.output}: table, figure and JSON", soft_wrap=True, markup=False)
        return 0

    def _environment(self, trained: EnvironmentConfig) -> EnvironmentConfig:
        """The environment to try the agent in, as a config records it."""
        from core_repr.environments import changed, require_registered, unknown_arguments
        from core_repr.wrapping import parse_wrapper

        environment = trained
        if self.env is not None:
            require_registered(self.env)
            environment = replace(trained, id=self.env, arguments={}, wrappers=())
        wrappers = tuple(map(parse_wrapper, self.wrappers))
        environment = replace(environment, wrappers=(*environment.wrappers, *wrappers))
        arguments = typed_arguments(self.env_args)
        unknown = unknown_arguments(environment, arguments)
        if unknown:
            raise ValueError(f"{environment.id} has no argument {min(unknown)!r}.")
        return changed(environment, arguments)

    @staticmethod
    def _check_folder(folder: Path) -> None:
        """Before the episodes, not after them."""
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"--output {folder} is not a folder.")
        if not folder.absolute().parent.is_dir():
            raise FileNotFoundError(f"There is no folder {str(folder.absolute().parent)!r}.")


def _scale(trained: dict[str, Any]) -> float | None:
    """σ of the training."""
    from core_repr.envs.levels import LEVELS

    level = LEVELS.get(str(trained.get("difficulty")))
    scale: float | None = trained.get("scale")
    return level.scale if level is not None and scale is None else scale
