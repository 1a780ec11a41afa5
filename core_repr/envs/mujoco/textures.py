"""Texture distraction: patterns lie over what surfaces are covered with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.rendering.coarse import texels_of
from core_repr.envs.rendering.frame_renderer import FrameRenderer

Pattern = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


def plain(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Returns one colour everywhere, RGB values from 0 to 255, shape (*shape, 3)."""
    return np.broadcast_to(_colors(rng)[0], (*shape, 3))


def checkered(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Returns a chequer of two colours, a texel a field."""
    odd = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 2
    return _of_two(_colors(rng), odd.astype(np.float64))


def noisy(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Returns texels of two colours, mixed at random, 10 to 90 % of them of the first."""
    colors = _colors(rng)
    share = rng.uniform(0.1, 0.9)
    return _of_two(colors, (rng.uniform(size=shape) >= share).astype(np.float64))


def graded(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Returns a linear change from one colour to another, along rows or columns."""
    colors = _colors(rng)
    along_rows = rng.uniform() > 0.5
    steps = np.linspace(0, 1, shape[0 if along_rows else 1])
    return _of_two(colors, np.broadcast_to(steps[:, None] if along_rows else steps, shape))


PATTERNS: Sequence[Pattern] = (plain, checkered, noisy, graded)


def _of_two(colors: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mixes two colours; `share` is that of the second, shape (height, width)."""
    mixed: NDArray[np.float64] = colors[0] + share[..., None] * (colors[1] - colors[0])
    return mixed


def _colors(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(0, 255, (2, 3))


class Textures:
    """Mixes a random pattern into every texture, anew in each episode.

    Args:
        model: The `mujoco.MjModel`.
        share: Of the pattern in the mixture, from 0 to 1.
        numbers: Of the textures; None for all that materials have.

    Attributes:
        numbers: Of the textures.
        episode: Counts what was drawn, for whoever must give it to a renderer.
    """

    model_arrays: tuple[str, ...] = ()
    data_arrays: tuple[str, ...] = ()

    def __init__(self, model: Any, *, share: float, numbers: Sequence[int] | None = None) -> None:
        self._model = model
        self._share = share
        used = sorted({int(number) for number in np.ravel(model.mat_texid) if number >= 0})
        self.numbers = used if numbers is None else list(numbers)
        self.episode = 0
        self._own = {number: texels_of(model, number).copy() for number in self.numbers}
        self._texels = dict(self._own)

    def reset(self, rng: np.random.Generator) -> None:
        """Draws a pattern for every texture."""
        # Each from numbers of its own, however many a pattern takes.
        for number, own_rng in zip(self.numbers, rng.spawn(len(self.numbers)), strict=True):
            own = self._own[number]
            pattern = PATTERNS[int(own_rng.integers(len(PATTERNS)))](own_rng, own.shape[:2])
            mixed = own.copy()
            colors = (1 - self._share) * own[..., :3] + self._share * pattern
            mixed[..., :3] = np.rint(colors).astype(np.uint8)
            self._texels[number] = mixed
        self.episode += 1

    def step(self) -> None:
        """Textures stay for an episode."""

    def apply(self) -> None:
        """A renderer holds the textures of an episode, see `shown_by`."""

    def shown_by(self, renderer: FrameRenderer) -> None:
        """Gives a renderer the textures of this episode; the model keeps its own."""
        self._write(self._texels)
        try:
            renderer.show_textures(self.numbers)
        finally:
            self._write(self._own)

    def _write(self, texels: Mapping[int, NDArray[np.uint8]]) -> None:
        for number, values in texels.items():
            texels_of(self._model, number)[:] = values

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._model = model
