from collections.abc import Callable

import pytest
import torch
from torch import nn

from core_repr.config import CoReConfig
from core_repr.world_model import LatentState
from core_repr.world_model.dynamics import Dynamics, Noise, RecurrentDynamics

LENGTH, BATCH, ACTIONS = 7, 3, 2


@pytest.fixture
def random_recurrence(tiny_config: Callable[..., CoReConfig]) -> Callable[..., RecurrentDynamics]:
    """Makes a recurrence whose biases and LayerNorms are as random as its weights."""

    def make(**changes: object) -> RecurrentDynamics:
        dynamics = RecurrentDynamics(
            tiny_config(dynamics=changes).world_model.dynamics, ACTIONS, 7, True
        )
        for module in dynamics.modules():
            if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None:
                nn.init.normal_(module.bias, std=0.3)
            if isinstance(module, nn.LayerNorm) and module.elementwise_affine:
                nn.init.normal_(module.weight, mean=1, std=0.3)
        return dynamics

    return make


def stepwise(
    dynamics: RecurrentDynamics,
    projected: torch.Tensor,
    actions: torch.Tensor,
    is_first: torch.Tensor,
    noise: Noise | None,
) -> LatentState:
    """The definition: one step after the other, under autograd."""
    return Dynamics.observe(dynamics, projected, actions, is_first, noise)


@pytest.mark.parametrize("with_noise", [True, False], ids=["noise", "means"])
@pytest.mark.parametrize(
    "changes",
    [
        {"initial_std": 0.0},
        {"normalize_statistics": True, "log_std_offset": 0.0},
        {"normalize_statistics": True, "initial_std": 1.0, "log_std_offset": 0.0},
        {"recurrent_layers": (6, 5), "posterior_layers": (6, 5, 4)},
        {"log_std_offset": 9.9},
    ],
    ids=["compact", "published", "wide start", "deep", "clamped"],
)
def test_outputs_and_gradients_are_those_of_single_steps(
    random_recurrence: Callable[..., RecurrentDynamics],
    changes: dict[str, object],
    with_noise: bool,
) -> None:
    dynamics = random_recurrence(**changes)
    width = dynamics.posterior_input.out_features
    projected = torch.randn(LENGTH, BATCH, width, requires_grad=True)
    actions = torch.rand(LENGTH, BATCH, ACTIONS) * 2 - 1
    is_first = torch.zeros(LENGTH, BATCH, dtype=torch.bool)
    is_first[0] = True
    is_first[3, 1] = is_first[5, 0] = is_first[5, 2] = True
    noise = Noise(*torch.randn(3, LENGTH, BATCH, dynamics.stochastic_size)) if with_noise else None

    cotangents = None
    results = []
    for run in (stepwise, RecurrentDynamics.observe):
        dynamics.zero_grad()
        projected.grad = None
        state = run(dynamics, projected, actions, is_first, noise)
        if cotangents is None:
            cotangents = [torch.randn_like(field) for field in state.tensors]
        torch.autograd.backward(state.tensors, cotangents)
        gradients = {name: p.grad for name, p in dynamics.named_parameters() if p.grad is not None}
        results.append((state, projected.grad, gradients))

    (state, to_projected, gradients), (unrolled, to_same, same) = results
    for field, other in zip(state.tensors, unrolled.tensors, strict=True):
        torch.testing.assert_close(other, field, rtol=1e-5, atol=1e-5)
    # Sums over steps and rows in another order: some digits of float32.
    scale = to_projected.abs().max().item()
    torch.testing.assert_close(to_same, to_projected, rtol=1e-4, atol=1e-5 * (1 + scale))
    assert gradients.keys() == same.keys() and len(gradients) >= 10
    for name, gradient in gradients.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(same[name], gradient, rtol=1e-4, atol=1e-5 * (1 + scale))


def test_some_log_standard_deviations_are_clamped_in_the_case_above(
    random_recurrence: Callable[..., RecurrentDynamics],
) -> None:
    dynamics = random_recurrence(log_std_offset=9.9)
    projected = torch.randn(LENGTH, BATCH, dynamics.posterior_input.out_features)
    is_first = torch.zeros(LENGTH, BATCH, dtype=torch.bool)
    is_first[0] = True
    state = dynamics.observe(projected, torch.zeros(LENGTH, BATCH, ACTIONS), is_first, None)
    at_bound = state.log_std == 10
    assert at_bound.any() and not at_bound.all()


def test_in_bfloat16_only_the_products_are_rough(
    random_recurrence: Callable[..., RecurrentDynamics],
) -> None:
    dynamics = random_recurrence()
    projected = torch.randn(
        LENGTH, BATCH, dynamics.posterior_input.out_features, requires_grad=True
    )
    actions = torch.rand(LENGTH, BATCH, ACTIONS)
    is_first = torch.zeros(LENGTH, BATCH, dtype=torch.bool)
    is_first[0] = True
    exact = dynamics.observe(projected, actions, is_first, None)
    with torch.autocast("cpu", torch.bfloat16):
        rough = dynamics.observe(projected, actions, is_first, None)
    assert all(field.dtype == torch.float32 for field in rough.tensors)
    for field, other in zip(exact.tensors, rough.tensors, strict=True):
        assert 0 < (field - other).abs().max() < 0.1
    gradients = [torch.autograd.grad(s.sample.sum(), projected)[0] for s in (exact, rough)]
    # bfloat16 has 8 bits, and errors grow over the steps.
    assert (gradients[0] - gradients[1]).norm() < 0.05 * gradients[0].norm()


@pytest.mark.parametrize("with_noise", [True, False], ids=["noise", "means"])
@pytest.mark.parametrize("run", [stepwise, RecurrentDynamics.observe], ids=["steps", "sequence"])
def test_what_is_not_finite_ends_at_a_fresh_start_in_both_directions(
    random_recurrence: Callable[..., RecurrentDynamics],
    run: Callable[..., LatentState],
    with_noise: bool,
) -> None:
    dynamics = random_recurrence(initial_std=1.0)
    projected = torch.randn(LENGTH, BATCH, dynamics.posterior_input.out_features)
    actions = torch.rand(LENGTH, BATCH, ACTIONS) * 2 - 1
    is_first = torch.zeros(LENGTH, BATCH, dtype=torch.bool)
    is_first[0] = is_first[4, 1] = True
    noise = Noise(*torch.randn(3, LENGTH, BATCH, dynamics.stochastic_size)) if with_noise else None
    plain = run(dynamics, projected, actions, is_first, noise)

    before = torch.zeros(LENGTH, BATCH, dtype=torch.bool)
    before[:4, 1] = True
    actions[:5, 1] = torch.nan  # The one at the start came from the episode before.
    broken = projected.masked_fill(before[..., None], torch.nan)
    rough = run(dynamics, broken, actions, is_first, noise)
    for field, other in zip(plain.tensors, rough.tensors, strict=True):
        assert torch.equal(other[~before], field[~before])
        assert other[3, 1].isnan().all()

    projected.requires_grad_()
    actions = actions.nan_to_num()
    later = before.roll(3, 0)[..., None]  # Steps 3 to 6 of the same row, but 3 was before.
    later[3] = False
    state = run(dynamics, projected, actions, is_first, noise)
    torch.autograd.backward(
        state.tensors,
        [torch.ones_like(field).masked_fill(later, torch.nan) for field in state.tensors],
    )
    assert projected.grad is not None
    assert torch.equal(projected.grad.isnan().any(-1, keepdim=True), later)
