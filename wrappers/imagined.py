"""Imagination as an environment: a world model in place of the simulator."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float32, Shaped
from numpy.typing import NDArray

from core_repr.adapters import ActionScaler
from core_repr.world_model import CoReWorldModel, LatentState
from core_repr.wrappers.core_wrapper import CoReWrapper
from core_repr.wrappers.latent_observer import load_model


class Imagination:
    """Episodes that a world model imagines, all in one batch.

    Args:
        model: As for :class:`ImaginedVectorEnv`.
        starts: As for :class:`ImaginedVectorEnv`.
        horizon: As for :class:`ImaginedVectorEnv`.
        num_envs: As for :class:`ImaginedVectorEnv`.
        device: As for :class:`ImaginedVectorEnv`.

    Attributes:
        model: The model.
        observation_space: Of one environment.
        action_space: Of one environment, in the units of the environment that the model is of.

    Raises:
        ValueError: As for :class:`ImaginedVectorEnv`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | CoReWorldModel,
        starts: LatentState,
        horizon: int,
        num_envs: int,
        device: str | torch.device | None,
    ) -> None:
        for name, number in (("horizon", horizon), ("num_envs", num_envs)):
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
                raise ValueError(f"{name}={number!r} does not do: expected a number, at least 1.")
        self.model = load_model(model, None, device)
        blank = self.model.initial_state(1)
        # Each says what is missing.
        self.model.predict_reward(blank)
        self.model.imagine(blank, self._no_action[None])
        self._check_starts(starts, blank)
        config = self.model.config
        if horizon > config.agent.sequence_length:
            warnings.warn(
                f"The model learned from sequences of {config.agent.sequence_length} frames; what "
                f"it imagines {horizon} steps ahead may be far from what would come.",
                stacklevel=4,
            )
        assert config.environment is not None
        trained = config.environment
        low, high = (np.array(b, np.float32) for b in (trained.action_low, trained.action_high))
        self.action_space = gym.spaces.Box(low, high)
        self.observation_space = gym.spaces.Box(
            -np.inf, np.inf, (self.model.latent_size,), np.float32
        )
        self._scaler = ActionScaler(self.action_space, trained)
        self._starts = LatentState(*starts).map(lambda field: field.detach().to(self.model.device))
        self._horizon, self._num_envs = horizon, num_envs
        # Always on the CPU: a device changes no draw.
        self._generator = torch.Generator()
        self._generator.seed()
        self._state = self._drawn(num_envs)
        self._ages = np.zeros(num_envs, np.int64)

    @property
    def _no_action(self) -> torch.Tensor:
        environment = self.model.config.environment
        assert environment is not None
        return torch.zeros(1, environment.action_size, device=self.model.device)

    def _check_starts(self, starts: LatentState, blank: LatentState) -> None:
        if not isinstance(starts, LatentState):
            raise TypeError(
                f"starts must be latent states, as record_states gives them, not a "
                f"{type(starts).__name__}."
            )
        found, wanted = ([tuple(f.shape[1:]) for f in each] for each in (starts, blank))
        if found != wanted or not len(starts.h):
            raise ValueError(
                "starts must be a batch of latent states of this model: their parts have the "
                f"shapes {[tuple(f.shape) for f in starts]}, and should have (n, ...) of {wanted}."
            )

    def seed(self, seed: int | None) -> None:
        """Starts the random numbers anew, where a seed is given."""
        if seed is not None:
            self._generator.manual_seed(int(seed) % 2**63)

    def _drawn(self, count: int) -> LatentState:
        chosen = torch.randint(len(self._starts.h), (count,), generator=self._generator)
        return self._starts.at(chosen.to(self.model.device))

    @property
    def observations(self) -> Float32[np.ndarray, "n z"]:
        """[h, mean] of all environments."""
        seen: Float32[np.ndarray, "n z"] = self._state.features.cpu().numpy()
        return seen

    def start(self, rows: Bool[np.ndarray, " n"] | None = None) -> None:
        """Starts episodes, in all environments if ``None``."""
        places = np.arange(self._num_envs) if rows is None else np.flatnonzero(rows)
        index = torch.from_numpy(places).to(self.model.device)
        self._state = self._state.put(index, self._drawn(len(places)))
        self._ages[places] = 0

    @torch.inference_mode()
    def step(
        self, actions: Shaped[np.ndarray, "n ..."]
    ) -> tuple[Float32[np.ndarray, " n"], Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Takes a step.

        Args:
            actions: In the environment's units.

        Returns:
            The predicted rewards, whose episode terminated, and whose has had its number of
            steps.
        """
        model = self.model
        action = torch.from_numpy(self._scaler.to_model(actions)).to(model.device)
        size = (self._num_envs, model.dynamics.stochastic_size)
        noise = torch.randn(size, generator=self._generator).to(model.device)
        self._state = model.dynamics.predict(self._state, action, noise)
        rewards: Float32[np.ndarray, " n"] = model.predict_reward(self._state).cpu().numpy()
        self._ages += 1
        return rewards, self._terminations(), self._ages >= self._horizon

    def _terminations(self) -> Bool[np.ndarray, " n"]:
        """Draws whose episode terminates, as likely as the model says."""
        if self.model.config.objectives.continuation is None:
            return np.zeros(self._num_envs, np.bool_)
        goes_on = self.model.predict_continuation(self._state).cpu()
        over: Bool[np.ndarray, " n"] = (
            torch.rand(self._num_envs, generator=self._generator) >= goes_on
        ).numpy()
        return over


class ImaginedVectorEnv(VectorEnv[Any, Any, Any]):
    """Environments of Gymnasium that a world model imagines: no simulator, no pixels.

    An episode starts at a latent state that was recorded. An action leads to a sample of the prior;
    the reward is the one that the model predicts, the observation [h, mean of the prior], and so an
    agent that learns here acts in the real environment in :class:`~core_repr.CoReWrapper`; actions
    are flat, also where the real environment's have several axes. An
    episode terminates with the probability that the model predicts; a model without the objective
    ``continuation`` foresees no termination. After ``horizon`` steps an episode is truncated. The
    next one starts at once: the last observations are in ``info["final_obs"]``.

    Args:
        model: A zoo name, a model folder, a Hub repository, or a
            :class:`~core_repr.CoReWorldModel`; with a reward head and a prior.
        starts: Latent states of it to start at, ``(n, ...)``, such as :func:`record_states` gives.
        horizon: Agent steps of an episode. The card of a model tells how well it foresees rewards.
        num_envs: How many there are at once.
        device: Where the model runs; the CPU by default, or where a given model is.

    Attributes:
        model: The model.

    Raises:
        TypeError: If ``starts`` are no latent states.
        ValueError: If the model has no reward head or no prior, the states are of another model,
            or a number is below 1.
        OSError: If there is no such model, or the Hub cannot be reached.

    Example:
        >>> import gymnasium as gym
        >>> from core_repr import CoReWrapper
        >>> from core_repr.wrappers import ImaginedVectorEnv, record_states
        >>> env = gym.make("distracting_control/cartpole-swingup-v0", difficulty="easy")
        >>> env = CoReWrapper(env, "cartpole-swingup-easy-v0")
        >>> envs = ImaginedVectorEnv(env.model, record_states(env, 50, seed=0), num_envs=16)
        >>> envs.reset(seed=0)[0].shape
        (16, 264)
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        model: str | os.PathLike[str] | CoReWorldModel,
        starts: LatentState,
        horizon: int = 15,
        num_envs: int = 256,
        device: str | torch.device | None = None,
    ) -> None:
        self._imagination = Imagination(model, starts, horizon, num_envs, device)
        self.model, self.num_envs = self._imagination.model, num_envs
        self.single_observation_space = self._imagination.observation_space
        self.single_action_space = self._imagination.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Any = None
    ) -> tuple[Float32[np.ndarray, "n z"], dict[str, Any]]:
        """Starts episodes; of several seeds, the first one counts.

        Args:
            seed: Draws where they start.
            options: Of ``"reset_mask"``, whose episodes; all of them without.
        """
        first = seed[0] if isinstance(seed, Sequence | np.ndarray) else seed
        self._imagination.seed(first)
        self._imagination.start((options or {}).get("reset_mask"))
        return self._imagination.observations, {}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[
        Float32[np.ndarray, "n z"],
        Float32[np.ndarray, " n"],
        Bool[np.ndarray, " n"],
        Bool[np.ndarray, " n"],
        dict[str, Any],
    ]:
        """Takes a step; ``actions`` are in the environment's units."""
        rewards, terminated, truncated = self._imagination.step(actions)
        over = terminated | truncated
        info: dict[str, Any] = {}
        if over.any():
            last, seen = np.full(self.num_envs, None, object), self._imagination.observations
            for row in np.flatnonzero(over):
                last[row] = seen[row]
            info = {"final_obs": last, "_final_obs": over.copy()}
            info |= {"final_info": {}, "_final_info": over.copy()}
            self._imagination.start(over)
        return self._imagination.observations, rewards, terminated, truncated, info


def record_states(
    env: CoReWrapper,
    steps: int,
    policy: Any = None,
    random_episodes: float = 0.5,
    seed: int | None = None,
) -> LatentState:
    """Plays, and records the latent states, for imagined episodes to start at.

    Args:
        env: An environment in a :class:`~core_repr.CoReWrapper`.
        steps: Agent steps to play.
        policy: Acts, with a ``predict`` like that of Stable-Baselines3's agents, on what ``env``
            observes, such as :class:`~core_repr.agent.LatentAgent`; at random by default.
        random_episodes: Share of the episodes whose actions are random all the same: states where
            the policy does not come.
        seed: Of the first episode and of random actions.

    Returns:
        The state of each step, ``(steps, ...)``.

    Raises:
        ValueError: If there are no steps, or the share is none.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} does not do: expected a number, at least 1.")
    if not 0 <= random_episodes <= 1:
        raise ValueError(f"random_episodes={random_episodes} does not do: expected 0 to 1.")
    states = [env.latent_state for _ in play(env, steps, policy, random_episodes, seed)]
    return LatentState.stack(states)


def play(
    env: CoReWrapper, steps: int, policy: Any, random_episodes: float, seed: int | None
) -> Iterator[bool]:
    """Plays, and stops before each action; see :func:`record_states`.

    Yields:
        Whether an episode has just started.
    """
    at_random, share = policy is None, 0.0
    if seed is not None:
        env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    memory, start = None, np.ones(1, np.bool_)
    for _ in range(steps):
        yield bool(start[0])
        if start[0] and policy is not None:
            share += random_episodes
            at_random = share >= 1
            share -= at_random
        if at_random:
            action = env.action_space.sample()
        else:
            action, memory = policy.predict(observation, memory, start)
        observation, _, terminated, truncated, _ = env.step(action)
        start[:] = terminated or truncated
        if start[0]:
            observation, _ = env.reset()
