"""Model folders to the Hugging Face Hub: all files of one in one commit, or none."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi

from core_repr.config import CoReConfig
from core_repr.hub import card
from core_repr.hub.errors import check_token, patient, plain_errors
from core_repr.hub.names import check_repository
from core_repr.hub.repository import CLIENT


def upload(
    folder: Path,
    repository: str,
    *,
    message: str,
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
) -> str:
    """Uploads the files of a folder in one commit: all of them, or none.

    Args:
        folder: Its files are uploaded; it has no folders.
        repository: ``"user/repo"``, made if it does not exist.
        message: Of the commit.
        private: Make a new repository private.
        token: As in :func:`core_repr.hub.repository.locate`.
        branch: Instead of ``main``; made if it does not exist.
        create_pr: Open a pull request instead of committing to the branch; the repository must
            exist.

    Returns:
        The address of the commit, or of the pull request.

    Raises:
        FileNotFoundError: If a pull request is for a repository that does not exist.
        PermissionError: If the Hub wants another token.
        TimeoutError: If the Hub does not answer.
        ConnectionError: If it cannot be reached.
        OSError: If it fails otherwise.
        ValueError: If the repository's name is not of that form, or the Hub refuses the card.
    """
    check_repository(repository)
    api = HfApi(token=token, library_name=CLIENT)
    with plain_errors(repository, branch, uploads=True, token=token), patient():
        check_token(token)
        if not create_pr:
            api.create_repo(repository, private=private, exist_ok=True)
            if branch is not None:
                api.create_branch(repository, branch=branch, exist_ok=True)
        operations = [CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
        commit = api.create_commit(
            repository, operations, commit_message=message, revision=branch, create_pr=create_pr
        )
    return str(commit.pr_url or commit.commit_url)


def push(
    save: Callable[[Path], object], config: CoReConfig, repository: str, **options: Any
) -> str:
    """Uploads what a function writes into a folder, with a card that names the repository.

    Args:
        save: Writes the files into the folder that it is given.
        config: Of the model.
        repository: As in :func:`upload`.
        **options: Further arguments of :func:`upload`.

    Returns:
        What :func:`upload` returns.

    Raises:
        OSError: As :func:`upload`.
        ValueError: As :func:`upload`.
    """
    check_repository(repository)
    with tempfile.TemporaryDirectory(prefix="core-repr-") as folder:
        save(Path(folder))
        card.write(Path(folder), config, repository)
        return upload(Path(folder), repository, **options)
