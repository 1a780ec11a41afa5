"""The continuation head: what it learns of terminations, and before there are any."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from core_repr import CoReWorldModel, LatentState
from core_repr.config import ContinuationConfig, CoReConfig
from core_repr.world_model import SequenceBatch
from core_repr.world_model.objectives import Continuation


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    torch.manual_seed(0)
    config = tiny_config()
    objectives = dataclasses.replace(
        config.objectives, continuation=ContinuationConfig(layers=(8,))
    )
    return CoReWorldModel(config.replace(objectives=objectives))


def head_of(model: CoReWorldModel) -> Continuation:
    return model.objectives.objective("continuation", Continuation)


def some_states(model: CoReWorldModel) -> LatentState:
    return model.initial_state(6).map(torch.randn_like)


def test_episodes_go_on_until_one_has_terminated(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch(length=4, batch_size=3)
    assert torch.equal(model.predict_continuation(some_states(model)), torch.ones(6))
    term = head_of(model)(model.observe_batch(batch))
    assert term.loss == 0 and head_of(model).terminations == 0
    term.loss.backward()
    assert all(not p.grad.any() for p in head_of(model).parameters() if p.grad is not None)


def test_a_model_without_the_head_foresees_no_termination(
    tiny_config: Callable[..., CoReConfig],
) -> None:
    model = CoReWorldModel(tiny_config())
    assert torch.equal(model.predict_continuation(some_states(model)), torch.ones(6))


def test_the_loss_is_the_cross_entropy_of_whether_the_next_state_is_terminal(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch(length=4, batch_size=3)
    batch.terminated[1, 2] = True
    batch.mask[3, 2] = False
    # What lies after the end is not scored, whatever is there.
    batch.terminated[2, 2] = True
    observed = model.observe_batch(batch)
    loss = head_of(model)(observed).loss
    assert head_of(model).terminations == 1
    probability = model.predict_continuation(observed.posterior.at(slice(1, None)))
    goes_on = torch.ones(3, 3)
    goes_on[1, 2] = 0
    scored = torch.ones(3, 3, dtype=torch.bool)
    scored[2, 2] = False
    expected = F.binary_cross_entropy(probability[scored], goes_on[scored])
    torch.testing.assert_close(loss, expected)
    # At first, every step is thought to go on.
    assert probability.min() > 0.8


def test_it_learns_which_states_are_terminal(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch(length=4, batch_size=6)
    batch.terminated[2, ::2] = True
    observed = model.observe_batch(batch)
    observed = observed._replace(posterior=observed.posterior.detach())
    optimizer = torch.optim.Adam(head_of(model).parameters(), lr=2e-2)
    for _ in range(300):
        optimizer.zero_grad()
        head_of(model)(observed).loss.backward()
        optimizer.step()
    goes_on = model.predict_continuation(observed.posterior)
    assert goes_on[3, ::2].max() < 0.2 < 0.8 < goes_on[1:3].min()


def test_what_is_only_scored_counts_no_termination(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch(length=4, batch_size=3)
    batch.terminated[1] = True
    with torch.no_grad():
        head_of(model)(model.observe_batch(batch))
    assert head_of(model).terminations == 0


def test_whether_it_has_seen_any_is_saved_with_the_model(
    model: CoReWorldModel, tmp_path: Path
) -> None:
    head_of(model).terminations.fill_(3)
    model.save_pretrained(tmp_path)
    loaded = CoReWorldModel.from_pretrained(tmp_path)
    state = some_states(model)
    assert (loaded.predict_continuation(state) < 1).all()
    torch.testing.assert_close(
        loaded.predict_continuation(state), model.predict_continuation(state)
    )
