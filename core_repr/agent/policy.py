"""The recurrent policy of CoReSAC: world model, actor and critics in one SB3 policy."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor

from core_repr.agent.networks import Agent
from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel, LatentState


class RecurrentState(NamedTuple):
    """What :meth:`CoRePolicy.predict` carries from one call to the next.

    Attributes:
        latent: Latent states of the environments after their last frames.
        action: Last actions in [−1, 1], ``(B, A)``.
    """

    latent: LatentState
    action: Tensor


class CoRePolicy(BasePolicy):
    """Acts on frames through the latent state of a world model.

    Args:
        observation_space: ``Box`` of square uint8 RGB frames, height × width × 3.
        action_space: Bounded ``Box``.
        lr_schedule: Not used: the learning rates stand in ``config.agent``.
        config: Config with its environment filled in.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Schedule | None = None,
        *,
        config: CoReConfig,
    ) -> None:
        super().__init__(observation_space, action_space, squash_output=True)
        self.world_model = CoReWorldModel(config)
        action_size = int(np.prod(action_space.shape))
        self.agent = Agent(self.world_model.latent_size, action_size, config.agent)
        self.generator = torch.Generator()

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        state = self.initial_state(len(observation))
        is_first = torch.ones(len(observation), dtype=torch.bool, device=self.device)
        return self.advance(state, observation, is_first, deterministic).action

    def initial_state(self, batch_size: int) -> RecurrentState:
        """Returns the state before the first frames of ``batch_size`` environments."""
        latent = self.world_model.initial_state(batch_size)
        action_size = int(np.prod(self.action_space.shape or ()))
        return RecurrentState(latent, latent.h.new_zeros(batch_size, action_size))

    @torch.no_grad()
    def advance(
        self, state: RecurrentState, frames: Tensor, is_first: Tensor, deterministic: bool
    ) -> RecurrentState:
        """Takes in one frame of each environment and chooses their actions.

        Args:
            state: The state after the frames before.
            frames: ``(B, side, side, 3)`` uint8.
            is_first: ``(B,)``; environments whose episode starts with this frame.
            deterministic: Take the mode of the actor and the mean of the latent state, instead
                of samples of both.

        Returns:
            The state after these frames, with the actions in [−1, 1].
        """
        noise = None if deterministic else self.world_model.noise(self.generator, len(frames))
        latent = self.world_model.step(state.latent, state.action, frames, is_first, noise)
        if deterministic:
            action = self.agent.actor.mode(latent.features)
        else:
            action, _ = self.agent.actor.sample(latent.features, self.generator)
        return RecurrentState(latent, action)

    def predict(  # type: ignore[override]
        self,
        observation: NDArray[np.uint8] | Mapping[str, NDArray[Any]],
        state: RecurrentState | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], RecurrentState]:
        """Returns actions for frames, and the recurrent state to pass to the next call.

        Args:
            observation: One frame ``(side, side, 3)`` or a batch of them, uint8.
            state: What the last call returned; ``None`` at the start.
            episode_start: ``(B,)``; true where the frame is the first one of an episode.
            deterministic: Whether to act without sampling.

        Returns:
            Actions in the environment's own units, ``(A,)`` for one frame and ``(B, A)`` for a
            batch, and the recurrent state.

        Raises:
            ValueError: If the observation is not of the observation space's shape.
        """
        frames = np.asarray(observation)
        shape = self.observation_space.shape or ()
        single = frames.shape == shape
        if frames.shape[-len(shape) :] != shape or frames.ndim > len(shape) + 1:
            raise ValueError(
                f"Expected one frame of shape {shape} or a batch of them, not an array of shape "
                f"{frames.shape}."
            )
        frames = frames.reshape(-1, *shape)
        batch_size = len(frames)
        is_first = np.zeros(batch_size, np.bool_)
        if episode_start is not None:
            is_first |= np.asarray(episode_start, np.bool_).reshape(-1)
        if state is None:
            state = self.initial_state(batch_size)
            is_first[:] = True
        self.set_training_mode(False)
        state = self.advance(
            state,
            torch.from_numpy(np.ascontiguousarray(frames)).to(self.device),
            torch.from_numpy(is_first).to(self.device),
            deterministic,
        )
        scaled = state.action.cpu().numpy()
        action = self.unscale_action(scaled.reshape(batch_size, *(self.action_space.shape or ())))
        return (action[0] if single else action), state
