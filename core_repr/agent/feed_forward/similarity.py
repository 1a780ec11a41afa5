"""PSE's policy similarity: states are alike where a good policy acts alike from them on.

After Agarwal et al., 2021, "Contrastive Behavioral Similarity Embeddings for Generalization in
Reinforcement Learning" (PSE).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

SMALL = 1e-9
"""Keeps a cosine, and a logarithm, finite."""


def policy_distance(
    first: Float[np.ndarray, "m a"], second: Float[np.ndarray, "n a"], discount: float
) -> Float[np.ndarray, "m n"]:
    """Returns how differently a policy acts from each state of two episodes on.

    It is the fixed point of d(i, j) = mean |aᵢ − aⱼ| + γ d(i + 1, j + 1), the mean over the
    action's dimensions. At the end of an episode its last state stays; both last states differ by
    their own actions alone.

    Args:
        first: Actions of an episode.
        second: Actions of the other.
        discount: γ.
    """
    distance: Float[np.ndarray, "m n"] = np.abs(first[:, None] - second[None]).mean(-1)
    rows, columns = distance.shape
    for j in reversed(range(columns - 1)):
        distance[-1, j] += discount * distance[-1, j + 1]
    for i in reversed(range(rows - 1)):
        after = distance[i + 1]
        distance[i] += discount * np.append(after[1:], after[-1])
    return distance


def similarity_loss(
    first: Float[Tensor, "m e"],
    second: Float[Tensor, "n e"],
    distance: Float[Tensor, "m n"],
    temperature: float,
    coupling: float,
) -> Float[Tensor, ""]:
    """Returns the contrastive loss: each state belongs to the nearest one of the other episode.

    The nearer another one is, the less it counts as a negative.

    Args:
        first: Embeddings of states of an episode.
        second: Embeddings of all states of the other.
        distance: :func:`policy_distance` between them.
        temperature: λ, of the cosines.
        coupling: β, of the distances.
    """
    lengths = first.norm(dim=-1)[:, None] * second.norm(dim=-1)
    cosine = first @ second.T / (lengths + SMALL)
    nearest = distance.argmin(-1, keepdim=True)
    positive = cosine.gather(-1, nearest) / temperature - distance.gather(-1, nearest) / coupling
    weight = (1 - (-distance / coupling).exp() + SMALL).log()
    others = (cosine / temperature + weight).scatter(-1, nearest, positive)
    loss: Tensor = (others.logsumexp(-1) - positive.squeeze(-1)).mean()
    return loss
