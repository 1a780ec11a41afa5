"""How a repository of the Hub is named: ``user/repo``, or the address of its page."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants

from core_repr.files.secrets import redact

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
HOSTS = ("huggingface.co", "hf.co", "www.huggingface.co")
NO_REVISION = re.compile(r"[\x00- \x7f~^:?*\[\\]|\.\.|@\{|//|^[/.-]|[/.]$|^$|/\.|\.lock(/|$)")
"""What Git allows in no name of a branch or tag; it would lead to another page of the Hub."""

OTHER_PAGES = ("api", "collections", "datasets", "docs", "models", "papers", "spaces")
"""What stands in the place of a user in addresses of other things than models."""


class Repository(NamedTuple):
    """A repository, and the revision that its address names.

    Attributes:
        name: ``"user/repo"``.
        revision: Branch, tag, pull request or commit; ``None`` for the newest one.
    """

    name: str
    revision: str | None = None


def find_repository(
    model: str | os.PathLike[str], revision: str | None = None
) -> Repository | None:
    """Returns the repository that a name or an address stands for; ``None`` if it is neither.

    Args:
        model: ``"user/repo"``, or an address such as ``"https://huggingface.co/user/repo"`` or
            ``"https://huggingface.co/user/repo/tree/v1"``.
        revision: What was asked for beside it.

    Raises:
        ValueError: If an address is not that of a model, or names another revision, or nothing
            can have the revision's name.
    """
    if not isinstance(model, str):
        return None
    _check_revision(revision)
    if REPOSITORY.fullmatch(model):
        return Repository(model, revision)
    if "://" not in model and not model.startswith(tuple(f"{host}/" for host in HOSTS)):
        return None
    found = _read(model)
    _check_revision(found.revision)
    if found.revision is None:
        return found._replace(revision=revision)
    if revision not in (None, found.revision):
        raise ValueError(
            f"The address names the revision {found.revision!r}, but {revision!r} was asked for; "
            "leave one of them out."
        )
    return found


def _read(address: str) -> Repository:
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        hosts = {*HOSTS, urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2]}
        known = parts.scheme in ("http", "https") and parts.netloc.lower() in hosts
        path = [*filter(None, parts.path.split("/"))] if known else []
    except ValueError:
        path = []
    repository, rest = "/".join(path[:2]), path[2:]
    revision = _revision(rest)
    is_model = REPOSITORY.fullmatch(repository) and path[0] not in OTHER_PAGES
    if not is_model or (rest and revision is None):
        raise ValueError(
            f"{redact(address)!r} is not the address of a model: those have the form "
            "'https://huggingface.co/user/repo', perhaps with '/tree/revision'."
        )
    return Repository(repository, revision)


def _revision(rest: list[str]) -> str | None:
    """The revision in what follows the name of a repository; ``None`` if there is none."""
    if len(rest) < 2 or rest[0] not in ("tree", "commit"):
        return None
    revision = unquote("/".join(rest[1:]))
    return revision if len(rest) == 2 or revision.startswith("refs/pr/") else None


def _check_revision(revision: str | None) -> None:
    if revision is not None and (not isinstance(revision, str) or NO_REVISION.search(revision)):
        raise ValueError(
            f"{redact(str(revision))!r} is not a valid revision; name a branch, a tag, a pull "
            "request such as 'refs/pr/1', or a commit."
        )


def check_repository(name: str) -> None:
    """Refuses a name that is not of the form ``"user/repo"``.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(name, str) or REPOSITORY.fullmatch(name) is None:
        raise ValueError(f"A Hub repository has the form 'user/repo', not {redact(str(name))!r}.")
