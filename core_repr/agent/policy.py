"""The recurrent policy of CoReSAC: world model, actor and critics in one SB3 policy."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Int64
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import get_device
from torch import Tensor

from core_repr.adapters import ActionScaler, Observation, ObservationReader
from core_repr.agent import agent_folder, environment
from core_repr.agent.networks import Acts, AgentNetworks
from core_repr.agent.parts import build_networks
from core_repr.config import CoReConfig
from core_repr.files.places import user_path
from core_repr.hub.model_folder import load_config
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
        observation_space: ``Box`` of square RGB frames, as :class:`CoReSAC` takes them, or a
            ``Dict`` of them and proprioception.
        action_space: Bounded ``Box``.
        lr_schedule: Not used: the learning rates stand in ``config.agent``.
        config: Config with its environment filled in.
    """

    actor_critic: AgentNetworks

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
        self.config = config
        self.adapt_to(observation_space, action_space)
        self.world_model = CoReWorldModel(config)
        self.actor_critic = build_networks(self.world_model)
        self.generator = torch.Generator()
        self._mean_recurrence = config.agent.mean_recurrence

    def adapt_to(self, observation_space: spaces.Space[Any], action_space: spaces.Box) -> None:
        """Takes observations of a space from now on, and gives actions of one.

        Raises:
            TypeError: If the observations hold no RGB frames.
            ValueError: If frames, proprioception or actions do not fit the model.
        """
        environment = self.config.environment
        assert environment is not None
        self.reader = ObservationReader(
            observation_space,
            self.config.world_model.frame_size,
            environment.pixels_key,
            environment.proprioception,
        )
        self.actions = ActionScaler(action_space, environment)
        self.observation_space, self.action_space = observation_space, action_space

    def save(self, path: str | os.PathLike[str]) -> None:
        """Saves the policy to one file: a zip of JSON and safetensors, without a pickle.

        Args:
            path: The file.

        Raises:
            TypeError: If it is not a path.
            ValueError: If the policy could not be loaded again.
            OSError: If it cannot be written; what was there before stays.
        """
        place = user_path(path)
        if place.is_dir():
            raise FileExistsError(f"{place} is a folder; choose another path for the file.")
        agent_folder.pack(place, self.config, self.world_model, self.actor_critic)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], device: torch.device | str = "auto"
    ) -> "CoRePolicy":
        """Loads a file that :meth:`save` wrote; nothing is unpickled.

        Args:
            path: The file.
            device: Where the networks go.

        Returns:
            The policy, for the observations and (flat) actions that its config records.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is broken or is not such a file.
        """
        with agent_folder.unpacked(user_path(path)) as folder:
            config = load_config(folder)
            assert config.environment is not None
            agent_folder.check(folder, config)
            space = environment.observation_space(config)
            policy = cls(space, environment.action_space(config.environment), config=config)
            agent_folder.load(folder, policy.world_model, policy.actor_critic)
        return policy.to(get_device(device))

    def parameters_to_vector(self) -> NDArray[np.float32]:
        """Returns all parameters in one vector."""
        parts = [parameter.detach().flatten() for parameter in self.parameters()]
        vector: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
        return vector

    def load_from_vector(self, vector: NDArray[np.float32]) -> None:
        """Takes the values of all parameters from one vector; each stays where it is in memory.

        Args:
            vector: What :meth:`parameters_to_vector` returned.

        Raises:
            ValueError: If it has another length.
        """
        parameters = list(self.parameters())
        sizes = [parameter.numel() for parameter in parameters]
        values = torch.as_tensor(vector, dtype=torch.float32, device=self.device)
        if values.shape != (sum(sizes),):
            raise ValueError(
                f"The policy has {sum(sizes)} parameters, but the vector has the shape "
                f"{tuple(values.shape)}."
            )
        with torch.no_grad():
            for parameter, part in zip(parameters, values.split(sizes), strict=True):
                parameter.copy_(part.view(parameter.shape))

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        read = self.reader.finite(observation)
        state = self.initial_state(len(read.frames))
        is_first = torch.ones(len(read.frames), dtype=torch.bool, device=self.device)
        return self.advance(state, read, is_first, deterministic).action

    def initial_state(self, batch_size: int) -> RecurrentState:
        """Returns the state before the first frames of ``batch_size`` environments."""
        assert self.config.environment is not None
        latent = self.world_model.initial_state(batch_size)
        action = latent.h.new_zeros(batch_size, self.config.environment.action_size)
        return RecurrentState(latent, action, torch.zeros(batch_size, dtype=torch.int64))

    @torch.no_grad()
    def advance(
        self,
        state: RecurrentState,
        observation: Observation,
        is_first: Tensor,
        deterministic: bool,
        actor: Acts | None = None,
    ) -> RecurrentState:
        """Takes in one frame of each environment and chooses their actions.

        Args:
            state: The state after the frames before.
            observation: The new frames, with their proprioception.
            is_first: ``(B,)``; environments whose episode starts with this frame.
            deterministic: Take the mode of the actor instead of a sample, and, with
                ``config.agent.mean_recurrence``, the mean of the latent state as well.
            actor: Acts in place of the policy's own one.

        Returns:
            The state after these frames, with the actions in [−1, 1].
        """
        frames, proprioception = observation.tensors(self.device)
        steps = torch.where(is_first.cpu(), 0, state.steps)
        noise = self.noise(steps, deterministic)
        latent = self.world_model.step(
            state.latent, state.action, frames, is_first, noise, proprioception
        )
        actor = self.actor_critic.actor if actor is None else actor
        if deterministic:
            action = actor.mode(latent.features)
        else:
            action, _ = actor.sample(latent.features, self.generator)
        if self.actions.whole:
            # What the environment gets, not what was meant.
            whole = self.actions.to_environment(action.cpu().numpy())
            action = torch.from_numpy(self.actions.to_model(whole)).to(action.device)
        return RecurrentState(latent, action, steps + 1)

    def noise(self, steps: Int64[Tensor, " b"], deterministic: bool) -> Noise | None:
        """Returns the draws for the latent states of some frames; ``None`` for the means.

        Args:
            steps: Numbers of the frames in their episodes.
            deterministic: As in :meth:`advance`.
        """
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
            ValueError: If the observation is not of the observation space's shape or type or is not
                finite, or ``state`` or ``episode_start`` is of another number of environments.
            TypeError: If ``state`` is not what ``predict`` returned.
        """
        return self.act(None, observation, state, episode_start, deterministic)

    def act(
        self,
        actor: Acts | None,
        observation: Any,
        state: RecurrentState | None,
        episode_start: NDArray[np.bool_] | None,
        deterministic: bool,
    ) -> tuple[NDArray[np.float32], RecurrentState]:
        """:meth:`predict` with another actor in place of the policy's own one."""
        read = self.reader.finite(observation)
        batch_size = len(read.frames)
        if not batch_size:
            raise ValueError("Expected one observation or a batch of them, not an empty batch.")
        is_first = np.zeros(batch_size, np.bool_)
        if episode_start is not None:
            is_first |= _checked_starts(episode_start, batch_size)
        if state is None:
            state = self.initial_state(batch_size)
            is_first[:] = True
        self._check_state(state, batch_size)
        self.set_training_mode(False)
        state = self.advance(
            state,
            read,
            torch.from_numpy(is_first).to(self.device),
            deterministic,
            actor,
        )
        actions = self.actions.to_environment(state.action.cpu().numpy())
        return (actions[0] if self.reader.is_single(observation) else actions), state

    def _check_state(self, state: Any, batch_size: int) -> None:
        if not isinstance(state, RecurrentState):
            raise TypeError(
                f"state must be what the last call of predict returned, or None at the start, not "
                f"a {type(state).__name__}."
            )
        expected = self.initial_state(batch_size)
        seen, wanted = (
            [tuple(part.shape) for part in (*each.latent.tensors, each.action)]
            for each in (state, expected)
        )
        if seen == wanted:
            return
        if seen[0][:1] != wanted[0][:1]:
            raise ValueError(
                f"state is that of a batch of {len(state.action)}, but the observations are a "
                f"batch of {batch_size}; pass the state that predict returned for the same "
                "environments, or None where their episodes start."
            )
        raise ValueError(
            f"state is of another model: its parts have shapes {seen}, not {wanted}; pass None "
            "where an episode starts."
        )


def _checked_starts(episode_start: Any, batch_size: int) -> NDArray[np.bool_]:
    starts = np.asarray(episode_start)
    # A single environment may say it with a single truth value.
    if starts.shape != (batch_size,) and (batch_size, starts.shape) != (1, ()):
        raise ValueError(
            f"episode_start has shape {starts.shape}, but the observations are a batch of "
            f"{batch_size}: expected shape ({batch_size},)."
        )
    return starts.astype(np.bool_)
