import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from core_repr.world_model.latent import LatentState
from core_repr.world_model.objectives.losses import (
    balanced_kl,
    info_nce,
    inverse_dynamics_loss,
    masked_mean,
    normal_kl,
    reward_loss,
)


def normal_state(*batch: int, size: int = 5) -> LatentState:
    mean, log_std = torch.randn(*batch, size), 0.7 * torch.randn(*batch, size)
    return LatentState(torch.zeros(*batch, 3), mean, log_std, mean)


@given(n=st.integers(1, 6), temperature=st.floats(0.01, 5), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_info_nce_is_equation_1(n: int, temperature: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, n, 4, generator=generator)
    expected = 0.0
    for i in range(n):
        positive = math.exp(temperature * float(x[i] @ y[i]))
        all_y = sum(math.exp(temperature * float(x[i] @ y[m])) for m in range(n))
        all_x = sum(math.exp(temperature * float(x[m] @ y[i])) for m in range(n))
        expected -= 0.5 * (math.log(positive / all_y) + math.log(positive / all_x)) / n
    # float32 products of up to about 50 in the exponent
    assert info_nce(x, y, torch.tensor(temperature)).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("n", [1, 2, 31, 496])
def test_info_nce_of_encodings_that_tell_nothing_is_log_n(n: int) -> None:
    x = torch.ones(n, 4)
    assert info_nce(x, x, torch.tensor(1.3)).item() == pytest.approx(math.log(n), abs=1e-5)


def test_info_nce_of_perfect_encodings_vanishes_with_the_temperature() -> None:
    x = torch.eye(8)
    values = [info_nce(x, x, torch.tensor(scale)).item() for scale in (0.0, 1.0, 5.0, 50.0)]
    assert values[0] == pytest.approx(math.log(8), abs=1e-6)
    assert values == sorted(values, reverse=True) and values[-1] < 1e-6


def test_normal_kl_agrees_with_torch() -> None:
    p, q = normal_state(4, 3), normal_state(4, 3)
    expected = kl_divergence(Normal(p.mean, p.log_std.exp()), Normal(q.mean, q.log_std.exp()))
    torch.testing.assert_close(normal_kl(p, q), expected.sum(-1))
    torch.testing.assert_close(normal_kl(p, p), torch.zeros(4, 3))


def test_balanced_kl_pulls_both_sides_half() -> None:
    leaves = [torch.randn(6, 5, requires_grad=True) for _ in range(4)]
    h = torch.zeros(6, 3)
    posterior = LatentState(h, leaves[0], leaves[1], leaves[0])
    prior = LatentState(h, leaves[2], leaves[3], leaves[2])
    plain = torch.autograd.grad(normal_kl(posterior, prior).sum(), leaves)
    value = balanced_kl(posterior, prior, 0.0)
    balanced = torch.autograd.grad(value.sum(), leaves)
    torch.testing.assert_close(value, normal_kl(posterior, prior))
    for whole, half in zip(plain, balanced, strict=True):
        assert whole.abs().max() > 0
        torch.testing.assert_close(half, 0.5 * whole)


def test_free_nats_clip_each_pair_from_below_and_stop_its_gradient() -> None:
    zeros = torch.zeros(2, 1)
    mean = torch.tensor([[1.0], [3.0]], requires_grad=True)
    posterior = LatentState(zeros, mean, zeros, mean)
    prior = LatentState(zeros, zeros, zeros, zeros)
    # KL of unit normals is half the squared distance: 0.5 and 4.5 nats.
    value = balanced_kl(posterior, prior, 1.0)
    torch.testing.assert_close(value, torch.tensor([1.0, 4.5]))
    (gradient,) = torch.autograd.grad(value.sum(), mean)
    torch.testing.assert_close(gradient, torch.tensor([[0.0], [1.5]]))


def test_reward_loss_is_smooth_l1() -> None:
    reward = torch.tensor([1.0, 1.0, 1.0, 1.0])
    predicted = torch.tensor([1.0, 1.5, 3.0, -2.0])
    torch.testing.assert_close(reward_loss(predicted, reward), torch.tensor([0.0, 0.125, 1.5, 2.5]))


def test_inverse_dynamics_loss_is_half_the_squared_distance() -> None:
    predicted, action = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[-1.0, 1.0]]])
    torch.testing.assert_close(inverse_dynamics_loss(predicted, action), torch.tensor([[2.5]]))


def test_masked_mean_ignores_what_is_masked() -> None:
    values = torch.tensor([[1.0, 100.0], [3.0, -7.0]])
    mask = torch.tensor([[True, False], [True, False]])
    assert masked_mean(values, mask).item() == 2
    assert masked_mean(values, torch.zeros_like(mask)).item() == 0
    assert masked_mean(values.masked_fill(~mask, torch.nan), mask).item() == 2


def test_excluded_pairs_are_not_negatives() -> None:
    x, y = torch.randn(5, 3), torch.randn(5, 3)
    sequences = torch.tensor([0, 1, 0, 0, 1])
    loss = info_nce(x, y, torch.tensor(2.0), sequences[:, None] != sequences[None])
    expected = []
    for n in range(5):
        own = [m for m in range(5) if sequences[m] == sequences[n]]
        for a, b in ((x, y), (y, x)):
            logits = torch.stack([2 * (a[n] * b[m]).sum() for m in own])
            expected.append(-logits.log_softmax(0)[own.index(n)] / 2)
    torch.testing.assert_close(loss, torch.stack(expected).sum() / 5)
