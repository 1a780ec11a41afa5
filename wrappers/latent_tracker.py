"""The latent states of some environments, one row each."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, UInt8

from core_repr.world_model import CoReWorldModel, LatentState, Noise
from core_repr.wrappers.surprise import readings

Features = Literal["mean", "sample", "prior"]
"""[h, mean of the posterior], [h, sample of it], or [h, mean of the prior]."""


class LatentTracker:
    """Follows environments with a world model; every row has a state and a generator of its own.

    Args:
        model: Stays as it is.
        num_envs: Number of rows.
        features: What is returned of a state. With "sample", samples continue from step to step, as
            in learning, otherwise means do.
        predicted_reward: Whether the predicted reward of the step follows the features.

    Attributes:
        size: Length of what is returned for a row.

    Raises:
        ValueError: If there are no such features, or the model has no prior or reward head that
            they need.
    """

    def __init__(
        self, model: CoReWorldModel, num_envs: int, features: Features, predicted_reward: bool
    ) -> None:
        if features not in get_args(Features):
            raise ValueError(
                f"features={features!r} is unknown: expected one of "
                f"{', '.join(map(repr, get_args(Features)))}."
            )
        blank = model.initial_state(1)
        if features == "prior":
            model.prior_of(blank)
        if predicted_reward:
            model.predict_reward(blank)
        self._model = model
        self._num_envs = num_envs
        self._features = features
        self._predicted_reward = predicted_reward
        self.size = model.latent_size + predicted_reward
        self._state = model.initial_state(num_envs).detach()
        # Encodings of the newest frames, and of those before.
        self._encodings: tuple[torch.Tensor, torch.Tensor] | None = None
        # Always on the CPU: a device changes no draw.
        self._generators = [torch.Generator() for _ in range(num_envs)]
        for generator in self._generators:
            generator.seed()

    @property
    def states(self) -> LatentState:
        """The latent state of every row."""
        return self._state

    @torch.inference_mode()
    def surprise_readings(self) -> Float32[np.ndarray, "n readings"]:
        """Returns what tells whether the last step of all rows was a usual one.

        Raises:
            ValueError: If the model has no recurrent prior, or there was no step.
        """
        if self._encodings is None:
            raise ValueError("There was no step yet whose surprise could be told.")
        found = readings(self._model, self._state, *self._encodings)
        told: Float32[np.ndarray, "n readings"] = found.float().cpu().numpy()
        return told

    def seed(self, seeds: Sequence[int | None], rows: Int[np.ndarray, " k"] | None = None) -> None:
        """Starts the generators of some rows anew, of all if ``None``, where a seed is given."""
        for row in range(self._num_envs) if rows is None else rows:
            seed = seeds[row]
            if seed is not None:
                self._generators[row].manual_seed(int(seed) % 2**63)

    @torch.inference_mode()
    def step(
        self,
        frames: UInt8[np.ndarray, "k side side 3"],
        proprioception: Float32[np.ndarray, "k p"],
        actions: Float32[np.ndarray, "k a"],
        is_first: Bool[np.ndarray, " k"],
        rows: Int[np.ndarray, " k"] | None = None,
    ) -> Float32[np.ndarray, "k z"]:
        """Takes in one more frame of some rows, of all if ``None``.

        Args:
            frames: The frames.
            proprioception: What came with them; P is 0 if there is none.
            actions: Actions in [−1, 1] that led to them.
            is_first: Rows whose frame is the first one of an episode: their state and action do
                not count.
            rows: Which rows, each at most once.

        Returns:
            What agents see of the new states.
        """
        device = self._model.device
        state = self._state if rows is None else self._state.at(torch.from_numpy(rows).to(device))
        action = torch.from_numpy(actions).to(device)
        state, x = self._model.step_with_encoding(
            state,
            action,
            torch.from_numpy(frames).to(device),
            torch.from_numpy(is_first).to(device),
            self._noise(rows),
            torch.from_numpy(proprioception).to(device),
        )
        if rows is None:
            before = x if self._encodings is None else self._encodings[0]
            self._encodings = x, before
            self._state = state
        else:
            places = torch.from_numpy(rows).to(device)
            self._state = self._state.put(places, state)
            if self._encodings is not None:
                newest, before = self._encodings
                self._encodings = newest.index_copy(0, places, x), before
        seen: Float32[np.ndarray, "k z"] = self._seen(state).cpu().numpy()
        return seen

    def _noise(self, rows: Int[np.ndarray, " k"] | None) -> Noise | None:
        if self._features != "sample":
            return None
        chosen = range(self._num_envs) if rows is None else rows
        draws = [self._model.noise(self._generators[row], 1) for row in chosen]
        return Noise(*(torch.cat(parts) for parts in zip(*draws, strict=True)))

    def _seen(self, state: LatentState) -> torch.Tensor:
        if self._features == "prior":
            state = self._model.prior_of(state)
        seen = state.sample_features if self._features == "sample" else state.features
        if self._predicted_reward:
            seen = torch.cat([seen, self._model.predict_reward(state)[:, None]], -1)
        return seen


class _Threads:
    """How many threads PyTorch has outside of all blocks of :func:`torch_threads`.

    Attributes:
        blocks: Of all threads of the process that are under way.
        before: What it was before the first of them.
    """

    lock = threading.Lock()
    blocks, before = 0, 1


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch computes with so many threads within, and with as many as before after it.

    Several threads of a process may be within at once: the last one that leaves sets what was
    before the first one came.
    """
    with _Threads.lock:
        if not _Threads.blocks:
            _Threads.before = torch.get_num_threads()
        _Threads.blocks += 1
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        with _Threads.lock:
            _Threads.blocks -= 1
            if _Threads.before != torch.get_num_threads():
                torch.set_num_threads(_Threads.before)
