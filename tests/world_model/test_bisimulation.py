from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor

from core_repr.config import BisimulationConfig, CoReConfig, compact, make_variant, paper
from core_repr.world_model import Observed, SequenceBatch
from core_repr.world_model.encoders import Encoder
from core_repr.world_model.latent import LatentState
from core_repr.world_model.objectives import Bisimulation, Sizes

Transition = Literal["deterministic", "probabilistic", "ensemble"]


def build(size: int = 4, actions: int = 2, **settings: object) -> Bisimulation:
    encoder = Encoder(compact().world_model.encoder, 64)
    return Bisimulation(
        BisimulationConfig(**settings),  # type: ignore[arg-type]
        Sizes(2 * size, size, 2 * size, actions, 64, encoder),
    )


def observed(x: Tensor, actions: Tensor, rewards: Tensor) -> Observed:
    count = x.shape[1]
    nothing = torch.zeros(2, count, 0)
    no = torch.zeros(2, count, dtype=torch.bool)
    frames = torch.zeros(2, count, 8, 8, 3, dtype=torch.uint8)
    batch = SequenceBatch(
        frames,
        torch.stack([actions, actions]),
        torch.stack([rewards, rewards]),
        no,
        no,
        ~no,
        nothing,
    )
    return Observed(batch, x, None, LatentState(x, nothing, nothing, nothing))


@pytest.mark.parametrize("transition", ["deterministic", "probabilistic", "ensemble"])
def test_the_losses_are_those_of_the_published_code(transition: Transition) -> None:
    objective = build(transition=transition)
    x = torch.randn(2, 7, 8, requires_grad=True)
    actions, rewards = torch.randn(7, 2), 2 * torch.randn(7)
    torch.manual_seed(3)
    term = objective(observed(x, actions, rewards))
    parts = objective.diagnostics()

    torch.manual_seed(3)
    chosen = int(torch.randint(len(objective.transitions), ()))
    # The critics' encoding is the first half of what is observed.
    now, later = x[0, :, :4], x[1, :, :4]
    predictions = []
    for model in objective.transitions:
        output = model(torch.cat([now, actions], 1))
        if transition == "deterministic":
            predictions.append((output, torch.ones_like(output)))
        else:
            predictions.append((output[:, :4], 1e-4 + (10 - 1e-4) * output[:, 4:].sigmoid()))
    l_p = sum(
        (0.5 * ((mean - later) / std) ** 2 + std.log()).mean() for mean, std in predictions
    ) / len(predictions)
    mean, std = predictions[chosen]
    sample = mean if transition == "deterministic" else mean + std * torch.randn(7, 4)
    l_r = ((objective.reward(sample)[:, 0] - rewards) ** 2).mean()
    other = torch.randperm(7)

    def smooth(difference: Tensor) -> Tensor:
        size = difference.abs()
        return torch.where(size < 1, 0.5 * size**2, size - 0.5)

    errors = []
    for mean, std in predictions:
        for i, j in enumerate(other.tolist()):
            d_z, d_r = smooth(now[i] - now[j]), smooth(rewards[i] - rewards[j])
            if transition == "deterministic":
                d_p = smooth(mean[i] - mean[j])
            else:
                d_p = ((mean[i] - mean[j]) ** 2 + (std[i] - std[j]) ** 2).sqrt()
            errors.append((d_z - d_r - 0.99 * d_p) ** 2)
    l_b = torch.stack(errors).mean()
    expected = {"transition_loss": l_p, "decoded_reward_loss": l_r, "distance_loss": l_b}
    for name, loss in expected.items():
        torch.testing.assert_close(parts[name], loss.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(term.loss, 0.5 * l_b + l_p + l_r, atol=1e-5, rtol=1e-5)

    (gradient,) = torch.autograd.grad(term.loss, x)
    # Neither the next observation nor what the actor sees learns from it.
    assert not gradient[1].any() and not gradient[0, :, 4:].any()
    assert gradient[0, :, :4].abs().sum() > 0


def test_on_a_chain_of_states_the_distances_are_differences_of_values() -> None:
    """Rewards 1, 3, 5 along a chain whose end leads to itself: V = 5, 8, 10 with γ = ½.

    Where no two rewards or encodings are nearer than 1, a distance of smooth-L1 is a difference
    less ½, and that of transitions the difference itself, so d_z = d_r + γ d_P has the solution
    φ = V.
    """
    objective = build(size=1, discount=0.5, transition="probabilistic")
    following, rewards = torch.tensor([1, 2, 2]), torch.tensor([1.0, 3.0, 5.0])
    values = torch.zeros(3)
    for _ in range(60):
        values = rewards + 0.5 * values[following]
    assert values.tolist() == pytest.approx([5, 8, 10])

    def loss(encodings: Tensor) -> float:
        mean = encodings[following][None, :, None]
        pairs = [
            objective.distance_loss(
                encodings[:, None], rewards, mean, torch.ones_like(mean), torch.tensor(order)
            )
            for order in ([1, 2, 0], [2, 0, 1], [0, 1, 2])
        ]
        return float(sum(pairs))

    assert loss(values) == pytest.approx(0, abs=1e-10)
    assert loss(-values) == pytest.approx(0, abs=1e-10)
    assert loss(values + 3.0) == pytest.approx(0, abs=1e-10)
    for other in (1.2 * values, values + torch.tensor([0.3, 0.0, 0.0]), torch.zeros(3)):
        assert loss(other) > 0.05


def test_dbc_sees_whole_frames_of_the_encoders_size() -> None:
    for preset, side in ((compact, 64), (paper, 84)):
        config = make_variant(preset(), "dbc")
        assert config.world_model.frame_size == config.world_model.crop_size == side
        assert config.agent.batch_size == 512


def test_a_recurrent_model_has_no_bisimulation(tiny_config: Callable[..., CoReConfig]) -> None:
    config = tiny_config()
    with pytest.raises(ValueError, match="compares single steps, with the dynamics"):
        config.replace(objectives=replace(config.objectives, frames=BisimulationConfig()))
