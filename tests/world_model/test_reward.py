from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel, SequenceBatch
from core_repr.world_model.objectives import Reward


@pytest.fixture
def normalized(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    torch.manual_seed(0)
    return CoReWorldModel(tiny_config(objectives={"reward": {"normalized": True}}))


def reward_of(model: CoReWorldModel) -> Reward:
    return model.objectives.objective("reward", Reward)


def test_moments_are_those_of_all_rewards_at_first_and_of_the_latest_later(
    normalized: CoReWorldModel,
) -> None:
    moments = reward_of(normalized).moments
    assert moments is not None
    rng = np.random.default_rng(0)
    numbers = rng.normal(3, 2, (50, 8, 4)).astype(np.float32)
    mask = torch.ones(8, 4, dtype=torch.bool)
    mask[:, 3] = False
    for batch in torch.from_numpy(numbers):
        moments.update(batch, mask)
    seen = numbers[:, :, :3]
    mean, scale = moments.undo(torch.tensor([0.0, 1.0])).tolist()
    assert mean == pytest.approx(seen.mean(), abs=1e-4)
    assert scale - mean == pytest.approx(seen.std(), abs=1e-4)

    for _ in range(1_000):
        moments.update(torch.tensor([[10.0, 12.0]]), torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(
        moments(torch.tensor([10.0, 11.0, 12.0])), torch.tensor([-1.0, 0, 1]), rtol=0, atol=0.01
    )


def test_rewards_that_are_all_the_same_stay_finite(normalized: CoReWorldModel) -> None:
    moments = reward_of(normalized).moments
    assert moments is not None
    moments.update(torch.full((4, 2), 7.0), torch.ones(4, 2, dtype=torch.bool))
    assert moments(torch.full((3,), 7.0)).abs().max() < 0.01
    assert moments.undo(torch.zeros(3)).tolist() == pytest.approx([7.0] * 3)


@pytest.mark.parametrize("factor", [0.01, 1.0, 100.0])
def test_the_loss_is_that_of_rewards_of_variance_1_and_predictions_are_rewards(
    factor: float, normalized: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    torch.manual_seed(1)
    batch = random_batch(length=40)
    batch.mask[30:, 1] = False
    scaled = batch._replace(rewards=factor * (batch.rewards + 5))
    observed = normalized.observe_batch(scaled)
    objective = reward_of(normalized)
    term = objective(observed)

    state = observed.posterior.at(slice(1, None))
    scored = batch.mask[1:]
    rewards = batch.rewards[:-1][scored]
    mean, scale = rewards.mean(), rewards.std(correction=0)
    predicted = objective.head(state.sample_features)[..., 0][scored]
    torch.testing.assert_close(term.loss, F.smooth_l1_loss(predicted, (rewards - mean) / scale))
    torch.testing.assert_close(
        normalized.predict_reward(state)[scored], factor * (predicted * scale + mean + 5)
    )


def test_what_is_only_scored_does_not_move_the_moments(
    normalized: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    with torch.no_grad():
        normalized.losses(normalized.observe_batch(random_batch()))
    moments = reward_of(normalized).moments
    assert moments is not None and moments.count == 0


def test_moments_are_saved_with_the_model_and_learning_goes_on_from_them(
    normalized: CoReWorldModel, random_batch: Callable[..., SequenceBatch], tmp_path: Path
) -> None:
    normalized.losses(normalized.observe_batch(random_batch()))
    normalized.save_pretrained(tmp_path)
    loaded = CoReWorldModel.from_pretrained(str(tmp_path))
    state = normalized.observe_batch(random_batch()).posterior
    torch.testing.assert_close(loaded.predict_reward(state), normalized.predict_reward(state))
    loaded.losses(loaded.observe_batch(random_batch()))
    moments = reward_of(loaded).moments
    assert moments is not None and moments.count == 2
