"""The terms of J_M as pure functions: equations (1) and (2), reward and inverse dynamics."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from core_repr.world_model.latent import LatentState


def info_nce(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    inverse_temperature: Float[Tensor, ""],
    excluded: Bool[Tensor, "n n"] | None = None,
) -> Float[Tensor, ""]:
    """Contrastive loss L_c, equation (1), with the mean of both directions halved.

    Args:
        x: Encodings of the observations.
        y: Predicted encodings; row n belongs to row n of ``x``, all other rows are negatives.
        inverse_temperature: λ.
        excluded: Pairs, never of a row with itself, that are not negatives; all are if ``None``.

    Returns:
        The loss in nats; the mean logarithm of the number of rows to choose from is chance.
    """
    # In bfloat16, neighbouring similarities would be one number.
    with torch.autocast(x.device.type, enabled=False):
        similarity = inverse_temperature * (x.float() @ y.float().T)
    if excluded is not None:
        similarity = similarity.masked_fill(excluded, -torch.inf)
    target = torch.arange(len(x), device=x.device)
    return 0.5 * (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target))


def normal_kl(p: LatentState, q: LatentState) -> Float[Tensor, "*batch"]:
    """KL(p ‖ q) of the diagonal normal distributions of two states, in nats, summed over s."""
    squared_distance = (p.mean - q.mean).square() * (-2 * q.log_std).exp()
    variance_ratio = (2 * (p.log_std - q.log_std)).exp()
    return (0.5 * (variance_ratio + squared_distance - 1) - p.log_std + q.log_std).sum(-1)


def balanced_kl(
    posterior: LatentState, prior: LatentState, free_nats: float
) -> Float[Tensor, "*batch"]:
    """L_KL, equation (2): half of it moves the posterior, half the prior.

    Each half is KL(posterior ‖ prior), clipped from below at ``free_nats``.
    """
    to_posterior = normal_kl(posterior, prior.detach()).clamp(min=free_nats)
    to_prior = normal_kl(posterior.detach(), prior).clamp(min=free_nats)
    return 0.5 * (to_posterior + to_prior)


def reward_loss(
    predicted: Float[Tensor, "*batch"], reward: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """L_r: smooth-L1 error of the predicted reward, as published."""
    return F.smooth_l1_loss(predicted, reward, reduction="none")


def inverse_dynamics_loss(
    predicted: Float[Tensor, "*batch a"], action: Float[Tensor, "*batch a"]
) -> Float[Tensor, "*batch"]:
    """L_a: ½‖a − â‖²."""
    return 0.5 * (predicted - action).square().sum(-1)


def masked_mean(values: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"]) -> Float[Tensor, ""]:
    """Mean over the entries that ``mask`` keeps; 0 where it keeps none."""
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp(min=1)
