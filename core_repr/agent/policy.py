"""The recurrent policy of CoReSAC: world model, actor and critics in one SB3 policy."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Int64
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor

from core_repr.agent.networks import Agent
from core_repr.agent.observations import Observation, ObservationReader
from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel, LatentState, Noise


class RecurrentState(NamedTuple):
    """What :meth:`CoRePolicy.predict` carries from one call to the next.

    Attributes:
        latent: Latent states of the environments after their last frames.
        action: Last actions in [−1, 1], ``(B, A)``.
        steps: Frames seen in the running episodes, ``(B,)``.
    """

    latent: LatentState
    action: Tensor
    steps: Int64[Tensor, " b"]


class CoRePolicy(BasePolicy):
    """Acts on frames through the latent state of a world model.

    Args:
        observation_space: ``Box`` of square uint8 RGB frames, height × width × 3, or a ``Dict`` of
            them and proprioception.
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
        assert config.environment is not None
        self.reader = ObservationReader(
            observation_space,
            config.world_model.frame_size,
            config.environment.proprioception,
        )
        self.world_model = CoReWorldModel(config)
        action_size = int(np.prod(action_space.shape))
        self.agent = Agent(self.world_model.latent_size, action_size, config.agent)
        self.generator = torch.Generator()
        self._mean_recurrence = config.agent.mean_recurrence

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        read = self.reader(observation)
        state = self.initial_state(len(read.frames))
        is_first = torch.ones(len(read.frames), dtype=torch.bool, device=self.device)
        return self.advance(state, read, is_first, deterministic).action

    def initial_state(self, batch_size: int) -> RecurrentState:
        """Returns the state before the first frames of ``batch_size`` environments."""
        latent = self.world_model.initial_state(batch_size)
        action_size = int(np.prod(self.action_space.shape or ()))
        action = latent.h.new_zeros(batch_size, action_size)
        return RecurrentState(latent, action, torch.zeros(batch_size, dtype=torch.int64))

    @torch.no_grad()
    def advance(
        self, state: RecurrentState, observation: Observation, is_first: Tensor, deterministic: bool
    ) -> RecurrentState:
        """Takes in one frame of each environment and chooses their actions.

        Args:
            state: The state after the frames before.
            observation: The new frames, with their proprioception.
            is_first: ``(B,)``; environments whose episode starts with this frame.
            deterministic: Take the mode of the actor instead of a sample, and, with
                ``config.agent.mean_recurrence``, the mean of the latent state as well.

        Returns:
            The state after these frames, with the actions in [−1, 1].
        """
        frames, proprioception = observation.tensors(self.device)
        steps = torch.where(is_first.cpu(), 0, state.steps)
        noise = self._noise(steps, deterministic)
        latent = self.world_model.step(
            state.latent, state.action, frames, is_first, noise, proprioception
        )
        if deterministic:
            action = self.agent.actor.mode(latent.features)
        else:
            action, _ = self.agent.actor.sample(latent.features, self.generator)
        return RecurrentState(latent, action, steps + 1)

    def _noise(self, steps: Int64[Tensor, " b"], deterministic: bool) -> Noise | None:
        if not deterministic:
            return self.world_model.noise(self.generator, len(steps))
        if self._mean_recurrence:
            return None
        # The same draws in every episode, so that the same frames lead to the same actions.
        draws = [
            self.world_model.noise(torch.Generator().manual_seed(step), 1)
            for step in steps.tolist()
        ]
        return Noise(*(torch.cat(parts) for parts in zip(*draws, strict=True)))

    def predict(  # type: ignore[override]
        self,
        observation: NDArray[np.uint8] | Mapping[str, NDArray[Any]],
        state: RecurrentState | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], RecurrentState]:
        """Returns actions for frames, and the recurrent state to pass to the next call.

        Args:
            observation: One frame ``(side, side, 3)`` or a batch of them, uint8; a dictionary
                where the observation space is a ``Dict``.
            state: What the last call returned; ``None`` at the start.
            episode_start: ``(B,)``; true where the frame is the first one of an episode.
            deterministic: Whether to act without sampling.

        Returns:
            Actions in the environment's own units, ``(A,)`` for one frame and ``(B, A)`` for a
            batch, and the recurrent state.

        Raises:
            ValueError: If the observation is not of the observation space's shape.
        """
        single = self._is_single(observation)
        read = self.reader(observation)
        batch_size = len(read.frames)
        is_first = np.zeros(batch_size, np.bool_)
        if episode_start is not None:
            is_first |= np.asarray(episode_start, np.bool_).reshape(-1)
        if state is None:
            state = self.initial_state(batch_size)
            is_first[:] = True
        self.set_training_mode(False)
        state = self.advance(
            state,
            read,
            torch.from_numpy(is_first).to(self.device),
            deterministic,
        )
        scaled = state.action.cpu().numpy()
        action = self.unscale_action(scaled.reshape(batch_size, *(self.action_space.shape or ())))
        return (action[0] if single else action), state

    def _is_single(self, observation: Any) -> bool:
        """Whether this is the observation of one environment, not a batch.

        Raises:
            ValueError: If it is of another form than the observation space's.
        """
        space = self.observation_space
        entries = {"": (observation, space.shape or ())}
        if isinstance(space, spaces.Dict):
            if not isinstance(observation, Mapping) or observation.keys() < space.spaces.keys():
                seen = list(observation) if isinstance(observation, Mapping) else type(observation)
                raise ValueError(
                    f"Expected a dictionary with {', '.join(map(repr, space.spaces))}, not {seen}."
                )
            entries = {
                key: (observation[key], part.shape or ()) for key, part in space.spaces.items()
            }
        batches = set()
        for key, (value, shape) in entries.items():
            seen_shape = np.shape(value)
            batches.add(seen_shape[: -len(shape)])
            if seen_shape[-len(shape) :] != shape or len(seen_shape) > len(shape) + 1:
                raise ValueError(
                    f"Expected one observation{f' {key!r}' if key else ''} of shape {shape} or a "
                    f"batch of them, not an array of shape {seen_shape}."
                )
        if len(batches) != 1:
            raise ValueError(
                f"The entries of the observation are batches of different sizes: {batches}."
            )
        return batches == {()}
