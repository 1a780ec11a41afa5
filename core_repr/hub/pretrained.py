"""The way of models and agents into folders, to the Hugging Face Hub, and back."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from huggingface_hub import ModelCard
from typing_extensions import Self

from core_repr.config import CoReConfig
from core_repr.hub import card
from core_repr.hub.repository import locate
from core_repr.hub.upload import push


class Pretrained:
    """What can be published.

    Attributes:
        config: Is saved beside the weights.
        files: Names of the files that it is loaded from.
    """

    config: CoReConfig
    files: ClassVar[tuple[str, ...]]

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the files and a model card into a folder."""

    @classmethod
    @abstractmethod
    def _from_folder(cls, folder: Path, *arguments: Any, **options: Any) -> Self:
        """Loads what :meth:`save_pretrained` wrote."""

    def generate_model_card(self) -> ModelCard:
        """Returns the card that :meth:`save_pretrained` writes."""
        return card.make_card(self.config, card.Facts())

    @classmethod
    def _from_pretrained(cls, **_: Any) -> Self:
        """Closes the way of ``PyTorchModelHubMixin``, which may unpickle and ignore fields."""
        raise NotImplementedError("from_pretrained does all the loading itself.")

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool = False,
        commit_message: str | None = None,
    ) -> str:
        """Uploads what :meth:`save_pretrained` writes, in one commit.

        Args:
            repo_id: ``"user/repo"``, made if it does not exist.
            private: Make a new repository private.
            token: Of the Hub; the one of ``hf auth login`` or of ``HF_TOKEN`` by default.
            branch: Instead of ``main``; made if it does not exist.
            create_pr: Open a pull request instead of committing to the branch.
            commit_message: Of the commit; by default, it names the class.

        Returns:
            The address of the commit, or of the pull request.

        Raises:
            OSError: If the Hub cannot be reached or refuses; nothing was published then.
            ValueError: If ``repo_id`` is not of that form.
        """
        return push(
            self.save_pretrained,
            self.config,
            repo_id,
            message=commit_message or f"A {type(self).__name__}",
            private=private,
            token=token,
            branch=branch,
            create_pr=create_pr,
        )

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str],
        *arguments: Any,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        **options: Any,
    ) -> Self:
        """Loads what :meth:`save_pretrained` wrote, from the zoo, a folder or the Hub.

        Nothing is unpickled, no code is run, and config and weights are of the same commit.

        Args:
            model: A zoo name, such as ``"cartpole-swingup-easy-v0"``, a folder, a Hub repository
                ``"user/repo"``, or the address of its page. A zoo name goes first.
            *arguments: ``device`` of a world model; ``env`` and ``device`` of an agent.
            revision: Branch, tag, pull request or commit of the repository; the newest commit of
                ``main`` by default.
            token: Of the Hub; the one of ``hf auth login`` or of ``HF_TOKEN`` by default.
            cache_dir: Instead of the Hub client's usual cache.
            local_files_only: Take what the cache has and ask nobody.
            force_download: Fetch again what the cache has.
            **options: The same as ``arguments``, by name; of an agent, further arguments of its
                constructor.

        Returns:
            A world model in evaluation mode, or an agent.

        Raises:
            FileNotFoundError: If there is no such model, or a file of it is missing.
            OSError: If the Hub cannot be reached or refuses.
            ValueError: If a file is broken or does not fit, in one sentence that says where.
        """
        folder = locate(
            model,
            cls.files,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        return cls._from_folder(folder, *arguments, **options)
