"""``core-repr zoo``: pretrained models, and one's own on the Hub."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from core_repr.commands.environment import Import, import_module
from core_repr.commands.numbers import at_least
from core_repr.commands.progress import progress_bars
from core_repr.commands.threads import use_one_thread

if TYPE_CHECKING:
    from core_repr.zoo import Summary


@dataclass
class ZooList:
    """Lists the models in the package, and the recipes that train such models."""

    def __call__(self) -> int:
        """Prints a line for each."""
        from rich.console import Console
        from rich.table import Table

        from core_repr import zoo

        table = Table("name", "task", "level", "environment steps", "return", "size", box=None)
        for name in zoo.list_models():
            model = zoo.summarize(name, zoo.find(name))
            table.add_row(
                name,
                model.task,
                model.level,
                _count(model.facts.env_steps),
                model.result,
                _size(model.size),
            )
        console = Console(width=max(Console().width, 120))
        console.print(table)
        recipes = ", ".join(zoo.recipes.list_recipes())
        console.print(f"recipes for core-repr train --recipe: {recipes}", highlight=False)
        return 0


@dataclass
class ZooInfo:
    """Tells what a model is, how it was trained and how well it does.

    Attributes:
        model: A zoo name, a folder or a Hub repository, user/repo.
        revision: Branch, tag, pull request or commit of the repository.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    revision: str | None = None

    def __call__(self) -> int:
        """Prints its card."""
        from rich.console import Console
        from rich.markdown import Markdown

        from core_repr import zoo
        from core_repr.hub.card import make_card

        folder = zoo.find(self.model, revision=self.revision)
        model = zoo.summarize(self.model, folder)
        Console().print(Markdown(make_card(model.config, model.facts).text))
        print(f"\n{folder} holds its {len(model.facts.files)} files, {_size(model.size)}.")
        return 0


@dataclass
class ZooDownload:
    """Fetches a model from the Hub, checks it, and tells where it lies and which commit it is.

    Attributes:
        model: A Hub repository, user/repo; or a zoo name, which is on this disk already.
        revision: Branch, tag, pull request or commit of the repository.
        folder: A new folder to put the files in, instead of only into the Hub client's cache.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    revision: str | None = None
    folder: Path | None = None

    def __call__(self) -> int:
        """Fetches it."""
        import shutil

        from core_repr import zoo
        from core_repr.files.writing import new_folder

        if self.folder is not None and os.path.lexists(self.folder):
            raise FileExistsError(f"{self.folder} exists already; name a new folder.")
        source = zoo.find(self.model, revision=self.revision)
        zoo.load(source)
        if self.folder is not None:
            with new_folder(self.folder) as folder:
                for file in source.iterdir():
                    shutil.copyfile(file, folder / file.name)
        print(f"{self.folder or source} holds {self.model}{_commit(source)}.")
        return 0


@dataclass
class ZooPush:
    """Makes a Hub model of a training run: evaluates it, films it, writes its card, uploads it.

    Attributes:
        run: A run's folder, a model folder or a zoo name; or the folder of the runs that train
            --seed 0 1 2 made, of which the best becomes the model.
        repository: user/repo on the Hub; made if it does not exist.
        private: Make a new repository private.
        branch: Instead of main.
        pull_request: Open a pull request instead of committing to the branch.
        message: Of the commit.
        episodes: Episodes to evaluate the agent for; 0 takes the last evaluation of the training,
            and films nothing.
        seed: Episode i is seeded with seed + i.
        other_seeds: Runs of the same training with other seeds, for the card's table and curve.
        levels: Evaluate it at the other levels of the distractions as well, and without any.
        picture: Draw what it sees and imagines.
        yes: Upload without asking.
        import_: Module to import first, which registers the environment of the training.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    repository: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="USER/REPO")]
    private: bool = False
    branch: str | None = None
    pull_request: bool = False
    message: str = "A CoRe model"
    episodes: int = 30
    seed: int = 0
    other_seeds: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN ...")] = ()
    levels: bool = True
    picture: bool = True
    yes: bool = False
    import_: Import = None

    def __call__(self) -> int:
        """Prepares, shows, asks and uploads."""
        from core_repr import zoo
        from core_repr.hub.card import paths
        from core_repr.hub.names import check_repository
        from core_repr.hub.upload import upload

        use_one_thread()
        import_module(self.import_)
        check_repository(self.repository)
        at_least(0, episodes=self.episodes, seed=self.seed)
        if not self.yes and not sys.stdin.isatty():
            raise ValueError("Nobody can be asked here whether to upload; say so with --yes.")
        run = Path(self.run) if Path(self.run).is_dir() else zoo.find(self.run)
        with tempfile.TemporaryDirectory(prefix="core-repr-") as temporary:
            folder = Path(temporary) / self.repository.split("/")[1]
            folder.mkdir()
            model = self._prepare(run, folder)
            print(f"{model.task}, {model.level}: {model.result}")
            for path in sorted(folder.iterdir()):
                print(f"  {path.name:<24}{_size(path.stat().st_size):>10}")
            for value in paths(model.environment):
                print(f"Others will read in config.json: {value}")
            if not self.yes and not _asked(f"Upload these to {self.repository}?"):
                print("Nothing was uploaded.")
                return 1
            url = upload(
                folder,
                self.repository,
                message=self.message,
                private=self.private or None,
                branch=self.branch,
                create_pr=self.pull_request,
            )
        print(f"{url} holds the model; next: core-repr zoo verify {self.repository}")
        return 0

    def _prepare(self, run: Path, folder: Path) -> Summary:
        from core_repr import publishing

        best, others = publishing.best_of(run)
        if others:
            print(f"{best} returned most at the end of its training, of {1 + len(others)} seeds.")
        with progress_bars() as progress:
            return publishing.prepare(
                best,
                self.repository,
                folder,
                self.episodes,
                self.seed,
                others=[*others, *self.other_seeds],
                levels=self.levels,
                picture=self.picture,
                progress=progress,
            )


@dataclass
class ZooVerify:
    """Checks every file of a model, runs it for a step, and tells its commit and checksums.

    Attributes:
        model: A zoo name, a folder or a Hub repository, user/repo.
        revision: Branch, tag, pull request or commit of the repository.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    revision: str | None = None

    def __call__(self) -> int:
        """Checks it; what is wrong is an error."""
        from core_repr import zoo
        from core_repr.agent import load_agent
        from core_repr.files.names import AGENT_FILE

        folder = zoo.find(self.model, revision=self.revision)
        checksums = zoo.verify(folder)
        if AGENT_FILE in checksums:
            load_agent(folder, device="cpu")
        for name, checksum in checksums.items():
            print(f"{checksum}  {name}")
        print(f"{self.model} is sound{_commit(folder)}: {folder}")
        return 0


@dataclass
class Zoo:
    """Pretrained models: lists them, fetches them, checks them, and shares one's own.

    Attributes:
        verb: What to do.
    """

    verb: tyro.conf.OmitSubcommandPrefixes[
        tyro.conf.OmitArgPrefixes[
            Annotated[ZooList, tyro.conf.subcommand("list")]
            | Annotated[ZooInfo, tyro.conf.subcommand("info")]
            | Annotated[ZooDownload, tyro.conf.subcommand("download")]
            | Annotated[ZooPush, tyro.conf.subcommand("push")]
            | Annotated[ZooVerify, tyro.conf.subcommand("verify")]
        ]
    ]

    def __call__(self) -> int:
        """Does it."""
        return self.verb()


def _asked(question: str) -> bool:
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _commit(folder: Path) -> str:
    """Of a folder in the Hub's cache, the commit that it holds."""
    return f" at commit {folder.name}" if folder.parent.name == "snapshots" else ""


def _count(number: int | None) -> str:
    return "not recorded" if number is None else f"{number:,}"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
