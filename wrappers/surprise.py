"""Surprise: an alarm for a camera that fails, or a scene that a model has never seen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from core_repr.files.json_files import read_json, write_json
from core_repr.files.places import user_path
from core_repr.world_model import CoReWorldModel, LatentState

if TYPE_CHECKING:
    from core_repr.wrappers.core_wrapper import CoReWrapper

QUANTILE = 0.99
"""Share of the calibration's steps whose surprise is at most 1."""

LEAST_STEPS = 100
FORMAT_VERSION = 1
SMALL = 1e-3


def readings(
    model: CoReWorldModel,
    state: LatentState,
    x: Float[Tensor, "n x"],
    x_before: Float[Tensor, "n x"],
) -> Float[Tensor, "n readings"]:
    """Returns what tells an unusual step from a usual one.

    They are the logarithm of the KL divergence from posterior to prior; how far their means are
    apart, in standard deviations of the prior; how sure the posterior is; how much the encoding
    has changed; and, of a model with L_c, how alike the encoding and its prediction are. A camera
    that stands still makes some of them too small.

    Args:
        model: The model, with a recurrent prior.
        state: The posterior of the step.
        x: The encoding of its frame.
        x_before: That of the frame before.
    """
    prior = model.prior_of(state)
    prior_std, std = prior.log_std.exp(), state.log_std.exp()
    away = ((state.mean - prior.mean) / prior_std).square()
    kl = prior.log_std - state.log_std + 0.5 * ((std / prior_std).square() + away - 1)
    found = [
        kl.sum(-1).clamp(min=SMALL).log(),
        away.sum(-1).clamp(min=SMALL).log(),
        state.log_std.mean(-1),
        ((x - x_before).norm(dim=-1) + SMALL).log(),
    ]
    if getattr(model.config.objectives.frames, "kind", None) == "contrastive":
        found.append(F.cosine_similarity(x, model.decode(prior), dim=-1))
    return torch.stack(found, -1)


class Surprise:
    """How unusual a step is, against those of a calibration: above 1 is one step of a hundred.

    It is the Mahalanobis distance of the :func:`readings`, divided by what 99 % of the
    calibration's steps have at most.

    Args:
        steps: Readings of the steps of a calibration, ``(n, readings)``.

    Raises:
        ValueError: If there are fewer than 100 steps, or a reading is not finite.
    """

    def __init__(self, steps: Float[np.ndarray, "n readings"]) -> None:
        if len(steps) < LEAST_STEPS or not np.isfinite(steps).all():
            raise ValueError(
                f"A calibration needs {LEAST_STEPS} steps or more, all of them finite, not "
                f"{len(steps)}."
            )
        self.center = steps.mean(0)
        covariance = np.cov(steps.T) + 1e-6 * np.eye(steps.shape[1])
        self.precision = np.linalg.inv(covariance)
        self.limit = 1.0
        self.limit = float(np.quantile(self(steps), QUANTILE))

    def __call__(self, steps: Float[np.ndarray, "*batch readings"]) -> Float[np.ndarray, "*batch"]:
        """Returns the surprise of steps.

        Raises:
            ValueError: If they have other readings than the calibration's.
        """
        if steps.shape[-1] != len(self.center):
            raise ValueError(
                f"The model gives {steps.shape[-1]} readings of a step, but surprise was "
                f"calibrated with {len(self.center)}: calibrate it with this model."
            )
        away = steps - self.center
        distance: Float[np.ndarray, "*batch"] = np.sqrt(
            np.einsum("...i,ij,...j->...", away, self.precision, away)
        )
        return distance / self.limit

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the calibration to a JSON file.

        Raises:
            OSError: If it cannot be written.
        """
        fields = {
            "format_version": FORMAT_VERSION,
            "center": self.center.tolist(),
            "precision": self.precision.tolist(),
            "limit": self.limit,
        }
        write_json(user_path(path), fields)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Surprise:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is something else.
        """
        place = user_path(path)
        if not place.is_file():
            raise FileNotFoundError(f"There is no calibration {str(place)!r}.")
        fields = read_json(place)
        surprise = cls.__new__(cls)
        try:
            surprise.center = np.array(fields["center"], np.float64)
            surprise.precision = np.array(fields["precision"], np.float64)
            surprise.limit = float(fields["limit"])
            size = len(surprise.center)
            fits = surprise.precision.shape == (size, size) and surprise.limit > 0
            np.linalg.cholesky(surprise.precision)  # Or it measures no distance.
            if fields["format_version"] != FORMAT_VERSION or not fits:
                raise ValueError
        except (KeyError, TypeError, ValueError, np.linalg.LinAlgError):
            raise ValueError(f"{place} is not a calibration of surprise.") from None
        return surprise


def calibrate_surprise(
    env: CoReWrapper, steps: int = 2_000, policy: Any = None, seed: int | None = None
) -> Surprise:
    """Plays usual episodes, and learns what is usual.

    Args:
        env: An environment in a :class:`~core_repr.CoReWrapper`, as it is when all is well.
        steps: Agent steps to play.
        policy: Acts, with a ``predict`` like that of Stable-Baselines3's agents; at random by
            default.
        seed: Of the first episode and of random actions.

    Raises:
        ValueError: If fewer than 100 of the steps have a step before them in their episode, or the
            model has no recurrent prior.
    """
    from core_repr.wrappers.imagined import play

    found = []
    for first in play(env, steps, policy, 0.0, seed):
        if not first:
            found.append(env.surprise_readings())
    return Surprise(np.stack(found) if found else np.zeros((0, 1)))
