"""What the model sees of an environment: frames, and proprioception where there is any."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float32, Int, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor

from core_repr.adapters.frames import WAY_TO_PIXELS, FrameReader, looks_like_frames

Rows = Sequence[int] | Int[np.ndarray, " k"]


class Observation(NamedTuple):
    """Observations of some environments.

    Attributes:
        frames: ``(B, side, side, 3)``.
        proprioception: ``(B, P)``; P is 0 if there is none.
    """

    frames: UInt8[np.ndarray, "b side side 3"]
    proprioception: Float32[np.ndarray, "b p"]

    def row(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Returns frame and proprioception of one environment."""
        return self.frames[index], self.proprioception[index]

    def copy(self) -> Observation:
        """Returns arrays that no environment writes to."""
        return Observation(self.frames.copy(), self.proprioception.copy())

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Returns both as tensors on ``device``."""
        return (
            torch.from_numpy(self.frames).to(device),
            torch.from_numpy(self.proprioception).to(device),
        )


class ObservationReader:
    """Takes observations apart.

    Args:
        space: Observation space of one environment.
        side: Side in pixels of the model's frames; that of the environment's if ``None``.
        pixels_key: Name of the pixels in a ``Dict``; ``None`` where they are all there is.
        proprioception: Name → number of values, in the model's order.

    Attributes:
        frames: Reads the frames.

    Raises:
        TypeError: If the observations hold no RGB frames.
        ValueError: If a name is unknown, or frames or proprioception are of another size.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        side: int | None,
        pixels_key: str | None,
        proprioception: Mapping[str, int],
    ) -> None:
        self._pixels_key = pixels_key
        self._proprioception = dict(proprioception)
        self._space = space
        self.frames = FrameReader(_entry(space, pixels_key), side)
        entries = space.spaces if isinstance(space, spaces.Dict) else {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for key, size in self._proprioception.items():
            if key not in entries:
                raise ValueError(
                    f"The model was trained with proprioception {key!r} beside the frames, but "
                    f"the environment's observations are {space}; let it give a Dict with both."
                )
            shape = entries[key].shape
            if shape is None or int(np.prod(shape)) != size:
                raise ValueError(
                    f"The model was trained with {size} values of proprioception {key!r}, but the "
                    f"environment gives {entries[key]}; make the environment of the training."
                )
            self._shapes[key] = shape
        ends = np.cumsum([0, *self._proprioception.values()], dtype=int).tolist()
        self._size = ends[-1]
        self._columns = {
            key: slice(start, end)
            for key, start, end in zip(self._proprioception, ends[:-1], ends[1:], strict=True)
        }

    def __call__(self, observations: Any, rows: Rows | None = None) -> Observation:
        """Reads a batch of observations, or one, which becomes a batch.

        Args:
            observations: Observations of the space.
            rows: Which of a batch to read, all if ``None``. Beside a single observation, the
                number of its environment, for messages.

        Raises:
            ValueError: If they are not what the space promises. Proprioception may hold what is
                not finite: see :meth:`finite`.
        """
        pixels = self._part(observations, self._pixels_key, self.frames.shape)
        batch = pixels.shape[: -len(self.frames.shape)]
        values = {}
        for key, shape in self._shapes.items():
            values[key] = self._part(observations, key, shape)
            own_batch = values[key].shape[: values[key].ndim - len(shape)]
            if own_batch != batch:
                raise ValueError(
                    f"The entries of the observation are batches of different sizes: {batch} "
                    f"frames, but {own_batch} of {key!r}."
                )
        chosen: Any = slice(None) if rows is None or not batch else rows
        pixels = pixels.reshape(-1, *self.frames.shape)[chosen]
        count = len(pixels)
        joined = np.zeros((count, self._size), np.float32)
        for key, columns in self._columns.items():
            own_size = columns.stop - columns.start
            joined[:, columns] = values[key].reshape(-1, own_size)[chosen]
        try:
            return Observation(self.frames(pixels), joined)
        except ValueError:
            # Which one of them? Looked for only now that one is wrong.
            for number in range(count):
                try:
                    self.frames(pixels[number : number + 1])
                except ValueError as error:
                    raise ValueError(f"{self._name(observations, rows, number)}{error}") from None
            raise

    def finite(self, observations: Any, rows: Rows | None = None) -> Observation:
        """Reads observations, and refuses what is not finite before anything acts on it.

        Args:
            observations: See :meth:`__call__`.
            rows: As for :meth:`__call__`.

        Raises:
            ValueError: As for :meth:`__call__`, and if proprioception is not finite. The message
                names the environment.
        """
        read = self(observations, rows)
        if not self._size:
            return read
        finite = np.isfinite(read.proprioception)
        if not finite.all():
            number, column = np.argwhere(~finite)[0]
            for key, columns in self._columns.items():
                if columns.start <= column < columns.stop:
                    raise ValueError(
                        f"{self._name(observations, rows, number)}The observation holds values "
                        f"that are not finite, {read.proprioception[number, columns].tolist()}, "
                        f"in {key!r}."
                    )
        return read

    def pixels(self, observations: Any) -> Shaped[np.ndarray, "n ..."]:
        """Returns the pixels of a batch of observations, or of one, as they are there."""
        pixels = self._part(observations, self._pixels_key, self.frames.shape)
        return pixels.reshape(-1, *self.frames.shape)

    def is_single(self, observation: Any) -> bool:
        """Whether this is the observation of one environment, not a batch."""
        pixels = observation if self._pixels_key is None else observation[self._pixels_key]
        return np.ndim(pixels) == len(self.frames.shape)

    def _name(self, observations: Any, rows: Rows | None, number: int) -> str:
        """What a message begins with, where there is more than one environment."""
        if rows is None and self.is_single(observations):
            return ""
        return f"Environment {number if rows is None else rows[number]}: "

    def _part(self, observations: Any, key: str | None, shape: tuple[int, ...]) -> NDArray[Any]:
        """Returns pixels or proprioception, as they are there, if their shape is right."""
        value = observations
        if key is not None:
            if not isinstance(observations, Mapping) or key not in observations:
                mapping = isinstance(observations, Mapping)
                seen = list(observations) if mapping else type(observations).__name__
                names = [name for name in (self._pixels_key, *self._shapes) if name is not None]
                raise ValueError(
                    f"Expected a dictionary with {', '.join(map(repr, names))}, not {seen}."
                )
            value = observations[key]
        array = _as_array(value)
        axes = array.ndim - len(shape)
        if axes not in (0, 1) or array.shape[axes:] != shape:
            name = "" if key is None else f" {key!r}"
            raise ValueError(
                f"Expected one observation{name} of shape {shape} or a batch of them, not an "
                f"array of shape {np.shape(value)}."
            )
        return array


def find_pixels(space: spaces.Space[Any]) -> str | None:
    """Returns the name of the frames in a ``Dict`` of observations; ``None`` without a ``Dict``.

    Raises:
        TypeError: If there are no frames in it.
        ValueError: If there are several entries of them.
    """
    if not isinstance(space, spaces.Dict):
        return None
    found = [key for key, part in space.spaces.items() if looks_like_frames(part)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(map(repr, space.spaces))
    if found:
        raise ValueError(
            f"CoReSAC learns from one entry of frames, but the environment's observations have "
            f"{len(found)} ({', '.join(map(repr, found))}); leave out all but one with "
            "gymnasium.wrappers.FilterObservation."
        )
    pictures = [
        key
        for key, part in space.spaces.items()
        if isinstance(part, spaces.Box) and len(part.shape) > 1
    ]
    if len(pictures) == 1:
        FrameReader(space.spaces[pictures[0]])  # Says what it is instead.
    raise TypeError(
        "CoReSAC learns from a Dict with one entry of RGB frames, but the environment's "
        f"observations are {names}; {WAY_TO_PIXELS}."
    )


def find_proprioception(space: spaces.Space[Any], pixels_key: str | None) -> dict[str, int]:
    """Returns what a ``Dict`` holds beside the frames: name → number of values.

    Raises:
        ValueError: If an entry is not a flat ``Box``.
    """
    if not isinstance(space, spaces.Dict):
        return {}
    sizes = {}
    for key, part in space.spaces.items():
        if key == pixels_key:
            continue
        if not isinstance(part, spaces.Box) or len(part.shape) != 1 or part.shape[0] == 0:
            raise ValueError(
                f"CoReSAC takes flat Box entries beside the frames, but {key!r} is {part}; leave "
                "it out with gymnasium.wrappers.FilterObservation, or make it flat."
            )
        sizes[key] = int(part.shape[0])
    return sizes


def last_observations(
    infos: Sequence[Mapping[str, Any]], dones: Bool[np.ndarray, " n"]
) -> dict[int, Any]:
    """Returns what SB3's environments saw last in episodes that ended in a step.

    Args:
        infos: Information of the step, one of each environment.
        dones: Which environments ended an episode.

    Returns:
        Number of the environment → its last observation.

    Raises:
        ValueError: If an environment does not give it.
    """
    last = {}
    for row in map(int, np.flatnonzero(dones)):
        if infos[row].get("terminal_observation") is None:
            raise ValueError(
                f"Environment {row} ended an episode without giving its last observation in "
                f"infos[{row}]['terminal_observation'], as every VecEnv of SB3 does; let the "
                "vector, or what is wrapped around it, keep it."
            )
        last[row] = infos[row]["terminal_observation"]
    return last


def _entry(space: spaces.Space[Any], key: str | None) -> spaces.Space[Any]:
    """Returns the space of the pixels."""
    if not isinstance(space, spaces.Dict):
        if key is None:
            return space
        raise ValueError(
            f"pixels_key={key!r} names pixels within a Dict, but the environment's observations "
            f"are {space}; leave it out."
        )
    if key is None or key not in space.spaces:
        near = difflib.get_close_matches(str(key), space.spaces, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "give its name as pixels_key."
        raise ValueError(
            f"There is no key {key!r} among the environment's observations "
            f"({', '.join(map(repr, space.spaces))}); {hint}"
        )
    return space.spaces[key]


def _as_array(value: Any) -> NDArray[Any]:
    """Returns an array; lists of whole numbers become bytes if they can."""
    array = np.asarray(value)
    if array.dtype.kind == "i" and not hasattr(value, "dtype"):
        return array.astype(np.uint8) if ((array >= 0) & (array <= 255)).all() else array
    return array
