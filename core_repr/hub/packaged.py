"""The models in the package, and what a name of a model means without any network."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from core_repr.files.names import CONFIG_FILE, MODEL_FOLDER, SETTINGS_FILE
from core_repr.files.places import user_path
from core_repr.hub.names import find_repository

ZOO = Path(__file__).parent.parent / "zoo"
RUNS = "runs"
"""Where trainings leave their runs, unless they are told another place."""

PRETRAINED, RECIPES = ZOO / "pretrained", ZOO / "recipes"


def list_models() -> list[str]:
    """Returns the names of the models in the package, by task, newest version first."""
    return sorted((path.parent.name for path in PRETRAINED.glob("*/config.json")), key=_by_version)


def find_folder(model: str | os.PathLike[str], revision: str | None = None) -> Path | None:
    """Returns the folder of a model that needs no network; ``None`` for a Hub repository.

    Args:
        model: A zoo name, a folder of a model or of a run, a Hub repository ``"user/repo"``, or the
            address of its page. A zoo name goes first.
        revision: Of the repository.

    Raises:
        FileNotFoundError: If it is none of these; the message lists near misses.
        ValueError: If what has no revision is given with one.
    """
    name, names = os.fspath(model), list_models()
    folder = PRETRAINED / name if name in names else user_path(model) if name else None
    if folder is not None and folder.is_dir():
        if revision is not None:
            raise ValueError(
                f"{name!r} is a {'zoo name' if name in names else 'folder'}, which has no revision "
                f"{revision!r}; leave it out, or name a Hub repository."
            )
        is_run = not (folder / CONFIG_FILE).exists() and (folder / SETTINGS_FILE).exists()
        return folder / MODEL_FOLDER if is_run else folder
    if name.rpartition("/")[0] == RUNS and revision is None:
        raise FileNotFoundError(
            f"There is no run {name!r} here; a Hub repository of that name is read by its address, "
            f"https://huggingface.co/{name}."
        )
    if find_repository(model, revision) is not None:
        return None
    if name and (RECIPES / f"{Path(name).name}.json").is_file() and Path(name).name == name:
        newer = [other for other in names if _stem(other) == _stem(name)]
        raise FileNotFoundError(
            f"{name!r} is not in the package{f' any more, {newer[0]!r} is' if newer else ''}; "
            f"train it with `core-repr train --recipe {name}`, or name a folder or a Hub "
            "repository 'user/repo' that holds it."
        )
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise FileNotFoundError(f"There is no folder {name!r}.")
    near = difflib.get_close_matches(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the zoo has {', '.join(names)}."
    raise FileNotFoundError(
        f"{name!r} is neither a zoo name nor a folder nor a Hub repository 'user/repo', where "
        f"further models are; {hint}"
    )


def _by_version(name: str) -> tuple[str, int]:
    version = name[len(_stem(name)) :].removeprefix("-v")
    return _stem(name), -int(version or 0)


def _stem(name: str) -> str:
    """``walker-walk-medium-v1`` → ``walker-walk-medium``."""
    return re.sub(r"-v\d+$", "", name)
