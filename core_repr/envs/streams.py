"""Random numbers of each distraction, whichever of the others are on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core_repr.envs.arguments import PARTS
from core_repr.envs.checks import require_integer


class Streams:
    """Gives each distraction a generator of its own for every episode.

    A seed fixes all of them, and those of the episodes that follow.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng()

    def draw(self, seed: int | None, alone: int | None) -> dict[str, np.random.Generator]:
        """Draws the generators of an episode.

        Args:
            seed: That of `reset`; None continues with the random numbers that there are.
            alone: What the distractions follow from alone, see :func:`pop_distraction_seed`.

        Returns:
            Name of a distraction → its generator.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        seeds = self._rng.integers(2**32, size=len(PARTS)).tolist()
        if alone is not None:
            seeds = np.random.SeedSequence(alone).generate_state(len(PARTS)).tolist()
        generators = {
            name: np.random.default_rng(number) for name, number in zip(PARTS, seeds, strict=True)
        }
        (generators["textures"],) = generators["color"].spawn(1)
        return generators


def pop_distraction_seed(
    options: Mapping[str, Any] | None,
) -> tuple[int | None, dict[str, Any] | None]:
    """Takes what is ours out of the options of `reset`.

    Returns:
        `options["distraction_seed"]`, and the environment's own options; None for none.

    Raises:
        TypeError: The seed is not an integer.
        ValueError: It is negative.
    """
    own = dict(options or {})
    seed = own.pop("distraction_seed", None)
    if seed is not None:
        seed = require_integer("distraction_seed", seed, lowest=0)
    return seed, own or None
