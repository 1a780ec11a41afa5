import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch

from core_repr import CoReSAC
from core_repr.config import CoReConfig, make_variant
from core_repr.world_model import CoReWorldModel, OtherViews, SequenceBatch
from core_repr.world_model.objectives.momentum_contrast import momentum_contrast_loss


@pytest.fixture
def rcurl(tiny_config: Callable[..., CoReConfig]) -> CoReConfig:
    return make_variant(tiny_config(), "rcurl")


def test_the_loss_is_that_of_curl() -> None:
    query, key, bilinear = torch.randn(6, 4), torch.randn(6, 4), torch.rand(4, 4)
    expected = 0.0
    for i in range(6):
        scores = [math.exp(float(query[i] @ bilinear @ key[j])) for j in range(6)]
        expected -= math.log(scores[i] / sum(scores)) / 6
    loss = momentum_contrast_loss(query, key, bilinear)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_keys_are_the_second_view_through_a_slow_copy(
    rcurl: CoReConfig, random_batch: Callable[..., SequenceBatch]
) -> None:
    model = CoReWorldModel(rcurl)
    objective = model.objectives["frames"]
    batch, others = random_batch(), OtherViews(second=random_batch().frames)
    batch.mask[4:, 1] = False
    before = [p.clone() for p in objective.key_encoder.parameters()]
    # At first, the slow copy is the encoder itself.
    with torch.no_grad():
        kept = batch.mask.flatten()
        query = model.encoder(batch.frames.flatten(0, 1))[kept]
        key = model.encoder(others.second.flatten(0, 1))[kept]
        expected = momentum_contrast_loss(query, key, objective.bilinear)
        term = objective(model.observe_batch(batch, others=others))
    torch.testing.assert_close(term.loss, expected, atol=1e-5, rtol=0)
    assert term.chance.item() == pytest.approx(math.log(6 * 3 - 2))

    objective(model.observe_batch(batch, others=others)).loss.backward()
    assert all(p.grad is None for p in objective.key_encoder.parameters())
    assert objective.bilinear.grad.abs().sum() > 0
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(1.0)
    model.objectives.after_step(model.encoder)
    for old, new in zip(before, objective.key_encoder.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.05)


def test_rcurl_learns_f_and_w_with_curls_rate_and_no_slow_copy(
    rcurl: CoReConfig, make_pixels: Callable[..., gym.Env[Any, Any]]
) -> None:
    agent = CoReSAC("CoRePolicy", make_pixels(), rcurl, seed=0, device="cpu")
    rates = {
        name: group["lr"]
        for group in agent.optimizers.model.param_groups
        for name in group["param_names"]
    }
    assert rates["encoder.linear.weight"] == rates["objectives.frames.bilinear"] == 1e-3
    assert not [name for name in rates if "key_encoder" in name]
    # Two views of each sequence, cropped at places of their own.
    seen: list[tuple[SequenceBatch, OtherViews]] = []
    update = agent._sequential_update
    agent._sequential_update = lambda *views: (seen.append(views), update(*views))[1]
    agent.learn(40)
    first, second = seen[-1][0].frames, seen[-1][1].second
    assert second is not None and first.shape == second.shape
    assert not torch.equal(first, second)
