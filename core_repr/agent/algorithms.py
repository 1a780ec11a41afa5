"""Which algorithm learns: the kind of ``config.agent`` says it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.type_aliases import GymEnv

from core_repr.agent.core_sac import CoReSAC
from core_repr.agent.feed_forward.qt_opt import QTOpt
from core_repr.agent.feed_forward.sac import FeedForwardSAC
from core_repr.agent.sequence_algorithm import SequenceAlgorithm
from core_repr.config import CoReConfig
from core_repr.hub.model_folder import load_config

ALGORITHMS: tuple[type[SequenceAlgorithm], ...] = (CoReSAC, FeedForwardSAC, QTOpt)


def algorithm_of(config: CoReConfig) -> type[SequenceAlgorithm]:
    """Returns the class of the algorithm that a config is for."""
    return next(found for found in ALGORITHMS if found.settings is type(config.agent))


def load_agent(
    model: str | os.PathLike[str],
    env: GymEnv | None = None,
    device: torch.device | str = "auto",
    **options: Any,
) -> SequenceAlgorithm:
    """Loads an agent, of whatever algorithm, from the zoo, a folder or the Hub.

    Args:
        model: A zoo name, a folder, a Hub repository ``"user/repo"``, or the address of its page.
        env: An environment to continue learning in; not needed for ``predict``.
        device: Where the networks go.
        **options: Further ones of ``CoReSAC.from_pretrained``, such as ``revision``, which also
            says what is raised.

    Example:
        >>> from core_repr import load_agent
        >>> type(load_agent("cartpole-swingup-easy-v0", device="cpu")).__name__
        'CoReSAC'
    """
    agent: SequenceAlgorithm = _AnyAlgorithm.from_pretrained(model, env, device, **options)
    return agent


class _AnyAlgorithm(SequenceAlgorithm):
    @classmethod
    def _from_folder(cls, folder: Path, *arguments: Any, **options: Any) -> Any:
        return algorithm_of(load_config(folder))._from_folder(folder, *arguments, **options)
