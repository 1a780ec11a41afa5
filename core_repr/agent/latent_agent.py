"""LatentAgent: a model's own agent, on latents that a wrapper has made already."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from core_repr.adapters import ActionScaler
from core_repr.agent.algorithms import load_agent
from core_repr.agent.sequence_algorithm import SequenceAlgorithm


class LatentAgent:
    """Acts on what :class:`~core_repr.CoReWrapper` gives, as the agent does that learned with it.

    Its ``predict`` is that of Stable-Baselines3's agents, so that it stands beside agents that were
    trained on the latents: in ``evaluate_policy``, or to record play for
    :func:`~core_repr.wrappers.record_states`.

    Args:
        agent: An agent, or a zoo name, a folder or a Hub repository of one.
        action_space: Of the environment that it acts in.
        seed: Of its exploration.

    Raises:
        TypeError: If the actions are not a ``Box``.
        ValueError: If they are unbounded, or of another size than the agent's.
        OSError: If there is no such model, or the Hub cannot be reached.

    Example:
        >>> import gymnasium as gym
        >>> from core_repr import CoReWrapper
        >>> from core_repr.agent import LatentAgent
        >>> env = gym.make("distracting_control/cartpole-swingup-v0", difficulty="easy")
        >>> env = CoReWrapper(env, "cartpole-swingup-easy-v0")
        >>> agent = LatentAgent("cartpole-swingup-easy-v0", env.action_space)
        >>> agent.predict(env.reset(seed=0)[0], deterministic=True)[0].shape
        (1,)
    """

    def __init__(
        self,
        agent: SequenceAlgorithm | str | os.PathLike[str],
        action_space: spaces.Space[Any],
        seed: int | None = None,
    ) -> None:
        self.agent = agent if isinstance(agent, SequenceAlgorithm) else load_agent(agent, None)
        self._scaler = ActionScaler(action_space, self.agent.environment_config)
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    @torch.no_grad()
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Returns actions for latents, ``(Z,)`` or ``(B, Z)``, in the environment's own units.

        Args:
            observation: What the wrapper gives.
            state: Not used: all that there is to remember is in the latents.
            episode_start: Not used.
            deterministic: Whether to act without sampling.

        Raises:
            ValueError: If the latents have another size than the agent's.
        """
        size = self.agent.world_model.latent_size
        if observation.shape[-1:] != (size,) or observation.ndim > 2:
            raise ValueError(
                f"Expected latents of {size} numbers, or a batch of them, not an array of shape "
                f"{observation.shape}; the wrapper must have the agent's own model, and its option "
                "features='mean'."
            )
        latents = torch.from_numpy(np.atleast_2d(observation)).to(self.agent.device)
        actor = self.agent.policy.actor_critic.actor
        if deterministic:
            action = actor.mode(latents)
        else:
            action, _ = actor.sample(latents, self._generator)
        actions = self._scaler.to_environment(action.cpu().numpy())
        return (actions[0] if observation.ndim == 1 else actions), state
