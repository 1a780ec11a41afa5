"""What the three wrappers share: a model, and what it makes of observations and actions."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float32, Float64, Int, Shaped
from numpy.typing import NDArray

from core_repr import zoo
from core_repr.adapters import ActionScaler, Observation, ObservationReader, bounded, refuse_grey
from core_repr.hub.devices import find_device
from core_repr.world_model import CoReWorldModel, LatentState
from core_repr.wrappers.environment_check import (
    differences,
    different_bounds,
    renders_as_trained,
)
from core_repr.wrappers.latent_tracker import Features, LatentTracker, torch_threads
from core_repr.wrappers.surprise import Surprise

PIXELS = "pixels"
"""Name of the pixels among the observations, where the user gives no other."""

LATENT = "latent"
"""Name of the latents beside observations that are kept."""


class LatentObserver:
    """Turns pixels of some environments into latents, all in one batch.

    Args:
        env: What is wrapped; it is asked what it is, and never stepped.
        observation_space: Observation space of one environment.
        action_space: Action space of one environment.
        num_envs: How many environments there are.
        model: As for :class:`~core_repr.wrappers.CoReWrapper`.
        revision: As for :class:`~core_repr.wrappers.CoReWrapper`.
        features: As for :class:`~core_repr.wrappers.CoReWrapper`.
        predicted_reward: As for :class:`~core_repr.wrappers.CoReWrapper`.
        pixels_key: As for :class:`~core_repr.wrappers.CoReWrapper`.
        keep: As for :class:`~core_repr.wrappers.CoReWrapper`.
        device: As for :class:`~core_repr.wrappers.CoReWrapper`.
        threads: As for :class:`~core_repr.wrappers.CoReWrapper`.
        surprise: As for :class:`~core_repr.wrappers.CoReWrapper`.

    Attributes:
        model: The model.
        last_input: What the model was given last: observations and actions in [−1, 1].
        surprises: How unusual the last step of each environment was, NaN of one that started an
            episode instead; ``None`` where that is not asked for.
        observation_space: Space of what an agent sees of one environment.

    Raises:
        TypeError: As for :class:`~core_repr.wrappers.CoReWrapper`.
        ValueError: As for :class:`~core_repr.wrappers.CoReWrapper`.
        OSError: As for :class:`~core_repr.wrappers.CoReWrapper`.
    """

    def __init__(
        self,
        env: Any,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        num_envs: int,
        model: str | os.PathLike[str] | CoReWorldModel,
        *,
        revision: str | None,
        features: Features,
        predicted_reward: bool,
        pixels_key: str | None,
        keep: Sequence[str],
        device: str | torch.device | None,
        threads: int,
        surprise: Surprise | str | os.PathLike[str] | None,
    ) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads={threads!r} does not do: expected a number, at least 1.")
        self._threads = threads
        if isinstance(surprise, str | os.PathLike):
            surprise = Surprise.load(surprise)
        self._surprise = surprise
        self.last_input: tuple[Observation, Float32[np.ndarray, "k a"]] | None = None
        self.surprises: Float64[np.ndarray, " n"] | None = None
        with torch_threads(threads):
            self.model = load_model(model, revision, device)
            self._tracker = LatentTracker(self.model, num_envs, features, predicted_reward)
        config = self.model.config
        assert config.environment is not None
        side = config.world_model.frame_size
        if pixels_key is None and isinstance(observation_space, spaces.Dict):
            pixels_key = config.environment.pixels_key or PIXELS
        self._pixels_name = pixels_key or PIXELS
        self._reader = ObservationReader(
            observation_space, side, pixels_key, config.environment.proprioception
        )
        refuse_grey(env)
        self._actions = ActionScaler(action_space, config.environment)
        self._action_size = config.environment.action_size
        self._num_envs = num_envs
        self._latents = np.zeros((num_envs, self._tracker.size), np.float32)
        self._keep = [keep] if isinstance(keep, str) else list(keep)
        self.observation_space = self._space(observation_space)
        found = differences(env, config.environment)
        found += different_bounds(bounded(action_space), config.environment)
        other = self._reader.frames.resized_from
        if other is not None and not renders_as_trained(env, config.environment):
            found.append(f"frames of {other} × {other} pixels are reduced to {side} × {side}")
        if found:
            warnings.warn(
                f"The model was trained in {config.environment.id}, and this environment differs: "
                f"{'; '.join(found)}. Its latents may tell little here.",
                stacklevel=3,
            )

    @property
    def states(self) -> LatentState:
        """The latent states of all environments."""
        return self._tracker.states

    def surprise_readings(self) -> Float32[np.ndarray, "n readings"]:
        """Returns what tells whether the last step was a usual one."""
        with torch_threads(self._threads):
            return self._tracker.surprise_readings()

    def seed(self, seeds: Sequence[int | None], rows: Int[np.ndarray, " k"] | None = None) -> None:
        """Starts the random numbers of some environments (all by default) anew."""
        self._tracker.seed(seeds, rows)

    def start(
        self, observations: Any, rows: Int[np.ndarray, " k"] | None = None
    ) -> Float32[np.ndarray, "n z"]:
        """Starts episodes.

        Args:
            observations: Those of all environments in a batch, or that of a single one.
            rows: Environments whose observation is the first one of an episode; the others stay
                as they are. All rows if ``None``.

        Returns:
            The latents of all environments.
        """
        chosen = slice(None) if rows is None else rows
        observation = self._reader.finite(observations, rows)
        count = len(observation.frames)
        self._latents[chosen] = self._encode(
            observation,
            np.zeros((count, self._action_size), np.float32),
            np.ones(count, np.bool_),
            rows,
        )
        return self._latents.copy()

    def advance(
        self,
        observations: Any,
        actions: Shaped[np.ndarray, "n ..."],
        is_first: Bool[np.ndarray, " n"] | None = None,
    ) -> Float32[np.ndarray, "n z"]:
        """Advances by a step.

        Args:
            observations: Those of all environments in a batch, or that of a single one.
            actions: What led to them, in the environments' units.
            is_first: Environments that started an episode instead of taking the action.

        Returns:
            The latents of all environments.
        """
        if is_first is None:
            is_first = np.zeros(self._num_envs, np.bool_)
        observation = self._reader.finite(observations)
        self._latents = self._encode(observation, self._actions.to_model(actions), is_first)
        return self._latents.copy()

    def advance_over_ends(
        self,
        observations: Any,
        actions: Shaped[np.ndarray, "n ..."],
        last_observations: Mapping[int, Any],
    ) -> tuple[Float32[np.ndarray, "n z"], dict[int, Float32[np.ndarray, " z"]]]:
        """Advances by a step at which some episodes ended and the next ones started at once.

        Args:
            observations: Those of all environments in a batch, of the new episodes where one
                ended.
            actions: What led to them or to the last ones, in the environments' units.
            last_observations: The last observation of each environment whose episode ended.

        Returns:
            The latents of all environments, and those of the last observations.
        """
        rows = np.array(list(last_observations), np.int64)
        ending = self._reader.finite(observations).copy()
        for row, observation in last_observations.items():
            ending.frames[row], ending.proprioception[row] = self._reader.finite(
                observation, [row]
            ).row(0)
        self._latents = self._encode(
            ending, self._actions.to_model(actions), np.zeros(self._num_envs, np.bool_)
        )
        last = dict(zip(last_observations, self._latents[rows].copy(), strict=True))
        return self.start(observations, rows), last

    def observation(self, latents: NDArray[np.float32], observation: Any) -> Any:
        """Returns what an agent sees: latents, together with what is kept of the observation.

        Args:
            latents: Of one environment or of a batch.
            observation: The same of the environment's own.
        """
        if not self._keep:
            return latents
        kept = observation if isinstance(observation, Mapping) else {self._pixels_name: observation}
        return {LATENT: latents, **{key: _own(kept[key]) for key in self._keep}}

    def _encode(
        self,
        observation: Observation,
        actions: Float32[np.ndarray, "k a"],
        is_first: Bool[np.ndarray, " k"],
        rows: Int[np.ndarray, " k"] | None = None,
    ) -> Float32[np.ndarray, "k z"]:
        self.last_input = observation, actions
        with torch_threads(self._threads):
            seen = self._tracker.step(*observation, actions, is_first, rows)
            if self._surprise is not None and rows is None:
                self.surprises = np.full(self._num_envs, np.nan)
                if not is_first.all():
                    readings = self._tracker.surprise_readings()
                    self.surprises[~is_first] = self._surprise(readings)[~is_first]
            return seen

    def _space(self, observation_space: spaces.Space[Any]) -> spaces.Space[Any]:
        latent = spaces.Box(-np.inf, np.inf, (self._tracker.size,), np.float32)
        if not self._keep:
            return latent
        kept = (
            observation_space.spaces
            if isinstance(observation_space, spaces.Dict)
            else {self._pixels_name: observation_space}
        )
        for key in self._keep:
            if key not in kept:
                raise ValueError(
                    f"keep={self._keep!r} asks for {key!r}, but the environment's observations "
                    f"are {_listed(kept)}{_did_you_mean(key, kept)}."
                )
        if LATENT in self._keep:
            raise ValueError(
                f"keep={self._keep!r} cannot be: {LATENT!r} is the name that the latents take."
            )
        return spaces.Dict({LATENT: latent, **{key: kept[key] for key in self._keep}})


def _own(kept: Any) -> Any:
    """Returns a copy, in plain layout: environments may write what comes next to the same array."""
    return np.array(kept, order="C") if isinstance(kept, np.ndarray) else deepcopy(kept)


def load_model(
    model: str | os.PathLike[str] | CoReWorldModel,
    revision: str | None,
    device: str | torch.device | None,
) -> CoReWorldModel:
    """Returns a model that was named, or the one that was given.

    Args:
        model: As for :class:`~core_repr.wrappers.CoReWrapper`.
        revision: As for :class:`~core_repr.wrappers.CoReWrapper`.
        device: As for :class:`~core_repr.wrappers.CoReWrapper`.

    Raises:
        TypeError: If it is no model.
        ValueError: If revision or device do not fit.
        OSError: If there is no such model, or the Hub cannot be reached.
    """
    if isinstance(model, CoReWorldModel):
        if revision is not None:
            raise ValueError(
                f"revision={revision!r} chooses a version of a Hub repository, but the model is "
                "given as it is; leave it out."
            )
        asked = model.device if device is None else find_device(device)
        if asked.type != model.device.type or asked.index not in (None, model.device.index):
            raise ValueError(
                f"device={str(device)!r} was asked for, but the model is on {model.device}; "
                "move it with model.to(device)."
            )
        return model
    if not isinstance(model, str | os.PathLike):
        raise TypeError(
            "The model must be a zoo name, a folder, a Hub repository or a CoReWorldModel, not "
            f"a {type(model).__name__}."
        )
    return zoo.load(model, "cpu" if device is None else device, revision=revision)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
