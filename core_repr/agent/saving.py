"""Saving and loading an algorithm, whole or in parts, without a pickle."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import get_system_info
from typing_extensions import Self

from core_repr.agent import agent_folder, learning_state
from core_repr.agent.learner import SequenceLearner
from core_repr.files.names import CONFIG_FILE, MANIFEST_FILE, TENSORS_FILE, VALUES_FILE
from core_repr.files.places import refuse_others, user_path, without_ending
from core_repr.hub.devices import find_device
from core_repr.hub.model_folder import load_config
from core_repr.hub.pretrained import Pretrained


class Saving(Pretrained, SequenceLearner):
    """The ways into a folder, to the Hub and back."""

    files = agent_folder.FILES

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json``, ``model.safetensors``, ``agent.safetensors`` and a model card.

        Args:
            folder: Made if needed. A ``README.md`` that is there already stays, and so does
                whatever has another name than these files.

        Raises:
            FileExistsError: If the folder holds what :meth:`save` wrote.
            ValueError: If the files could not be loaded again.
            OSError: If they cannot be written; what was there before stays.
        """
        if (user_path(folder) / VALUES_FILE).exists():
            raise FileExistsError(
                f"{folder} holds an agent with its optimisers, which would not belong to new "
                "weights; use save instead of save_pretrained, or choose another folder."
            )
        agent_folder.save(folder, self.config, self.policy.world_model, self.policy.actor_critic)

    def save(  # type: ignore[override]
        self, path: str | Path, exclude: Iterable[str] | None = None, include: Any = None
    ) -> None:
        """Saves what learning resumes from to a folder, whole or not at all, without a pickle.

        The folder holds what :meth:`save_pretrained` writes, and the state of optimisers,
        counters and random generators. The replay buffer is saved by itself.

        Args:
            path: The folder; the ending ``.zip``, which SB3's callbacks add, is left out.
            exclude: Not used; SB3's callbacks pass it.
            include: Not used.

        Raises:
            FileExistsError: If there is something else than an earlier save; what a user keeps
                in that beside its files stays.
            ValueError: If the files could not be loaded again.
            OSError: If they cannot be written; what was there before stays.
        """
        place = without_ending(path, ".zip")
        refuse_others(place, agent_folder.FILES, foreign=MANIFEST_FILE)
        agent_folder.save(
            place,
            self.config,
            self.policy.world_model,
            self.policy.actor_critic,
            lambda folder: learning_state.write(self, folder),
        )

    def save_checkpoint(self, folder: Path) -> None:
        """Writes the files of :meth:`save`, without a card, into an empty folder."""
        self.read_losses()
        agent_folder.write(folder, self.config, self.policy.world_model, self.policy.actor_critic)
        learning_state.write(self, folder)

    def load_weights(self, folder: Path) -> None:
        """Takes the weights of a folder of :meth:`save_pretrained`."""
        agent_folder.load(folder, self.policy.world_model, self.policy.actor_critic)
        self.average.reset()

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Within this context, world model and actor have their averages of the last updates.

        An evaluation or :meth:`save_pretrained` in it depends less on which update came last than
        with the newest weights. ``config.agent.averaging_rate`` says over how many it goes.

        Example:
            >>> with agent.averaged_weights():  # doctest: +SKIP
            ...     agent.save_pretrained("my_model")
        """
        return self.average.in_use()

    @classmethod
    def _from_folder(
        cls,
        folder: Path,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        **options: Any,
    ) -> Self:
        device = device if device == "auto" else find_device(device)
        config = load_config(folder)
        # Before anything is allocated that the files do not hold.
        agent_folder.check(folder, config)
        algorithm = cls("CoRePolicy", env, config, device=device, **options)  # type: ignore[arg-type]
        algorithm.load_weights(folder)
        algorithm.acts_at_random = False
        return algorithm

    @classmethod
    def load(  # type: ignore[override]
        cls,
        path: str | Path,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Loads a folder that :meth:`save` wrote, and learning resumes where it was.

        Args:
            path: The folder; one of :meth:`save_pretrained` will do, without optimisers.
            env: An environment to continue learning in; not needed for ``predict``, whose
                actions are flat without one.
            device: Where the networks go.
            custom_objects: Not supported: SB3 replaces pickled objects by them, and nothing is
                pickled here.
            print_system_info: Whether to print the versions of what is installed.
            force_reset: Must be true: episodes that were under way are not saved.
            **kwargs: Further arguments of the constructor.

        Raises:
            FileNotFoundError: If a file is missing.
            TypeError: If ``path`` is not a path, such as an open file.
            ValueError: If a file is broken or does not fit, in one sentence that says where.
        """
        if custom_objects:
            raise ValueError(
                f"load replaces no objects, but got custom_objects for "
                f"{', '.join(map(str, custom_objects))}: nothing is pickled, so leave them out, "
                "and pass a schedule as learning_rate_schedule."
            )
        if force_reset is False:
            raise ValueError(
                "load starts new episodes, for those under way are not saved; leave out "
                "force_reset=False."
            )
        if print_system_info:
            get_system_info()
        folder = _saved_folder(path, ".zip")
        algorithm = cls._from_folder(folder, env, device, **kwargs)
        if (folder / VALUES_FILE).exists():
            learning_state.restore(algorithm, folder)
        return algorithm

    def set_parameters(
        self,
        load_path_or_dict: Any,
        exact_match: bool = True,
        device: torch.device | str = "auto",
    ) -> None:
        """Takes the weights, and the optimisers if there are any, of a save or a dictionary.

        Args:
            load_path_or_dict: A folder that :meth:`save` or :meth:`save_pretrained` wrote, or what
                ``get_parameters`` returned.
            exact_match: Whether a dictionary must hold every network and optimiser.
            device: Not used: the networks stay where they are.

        Raises:
            FileNotFoundError: If a file is missing.
            TypeError: If it is neither a dictionary nor a path.
            ValueError: If something is missing, broken or does not fit.
        """
        if isinstance(load_path_or_dict, dict):
            super().set_parameters(load_path_or_dict, exact_match, device)
            self.average.reset()
            return
        folder = _saved_folder(load_path_or_dict, ".zip")
        load_config(folder)
        agent_folder.check(folder, self.config)
        self.load_weights(folder)
        if (folder / TENSORS_FILE).exists():
            learning_state.restore_tensors(self, folder)

    def save_replay_buffer(self, path: str | Path) -> None:  # type: ignore[override]
        """Saves the finished episodes to a folder, whole or not at all, without a pickle.

        Args:
            path: The folder; the ending ``.pkl``, which SB3's callbacks add, is left out.

        Raises:
            FileExistsError: If there is something else than an earlier save.
            OSError: If it cannot be written; what was there before stays.
        """
        place = without_ending(path, ".pkl")
        refuse_others(place, (MANIFEST_FILE,), foreign=CONFIG_FILE)
        self.replay_buffer.save(place)

    def load_replay_buffer(  # type: ignore[override]
        self, path: str | Path, truncate_last_traj: bool = True
    ) -> None:
        """Adds the episodes that :meth:`save_replay_buffer` saved to an empty replay buffer.

        Args:
            path: The folder.
            truncate_last_traj: Not used: only finished episodes are saved.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is broken or holds other observations or actions.
        """
        self.replay_buffer.load(_saved_folder(path, ".pkl"))

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", *(f"optimizers.{name}" for name in vars(self.optimizers))], []


def _saved_folder(path: str | Path, ending: str) -> Path:
    """The folder to load from; refuses the files that SB3's own algorithms write."""
    folder = without_ending(path, ending)
    if user_path(path).is_file() and not folder.is_dir():
        raise ValueError(
            f"{path} is a file, such as Stable-Baselines3 writes; CoReSAC loads folders that it "
            "saved itself, and unpickles nothing."
        )
    return folder
