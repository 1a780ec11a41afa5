from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel, SequenceBatch


@pytest.fixture(params=["published", "compact", "earlier"])
def model(request: pytest.FixtureRequest, tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    """A tiny model in the published form, in that of ``compact``, and in that of models before."""
    forms: dict[str, dict[str, object]] = {
        "published": {"normalize_statistics": True, "log_std_offset": 0.0},
        "compact": {"log_std_offset": -1.0, "observation_output": "elu", "initial_std": 0.0},
        "earlier": {"normalize_statistics": True, "observation_output": "elu", "initial_std": 1.0},
    }
    torch.manual_seed(0)
    return CoReWorldModel(tiny_config(dynamics=forms[request.param]))


@pytest.fixture(scope="session")
def random_batch() -> Callable[..., SequenceBatch]:
    """Makes a mini-batch of random cropped sequences for a tiny model."""

    def make(
        length: int = 6, batch_size: int = 3, side: int = 12, proprioception_size: int = 0
    ) -> SequenceBatch:
        is_first = torch.zeros(length, batch_size, dtype=torch.bool)
        is_first[0] = True
        return SequenceBatch(
            frames=torch.randint(256, (length, batch_size, side, side, 3), dtype=torch.uint8),
            actions=2 * torch.rand(length, batch_size, 2) - 1,
            rewards=torch.randn(length, batch_size),
            is_first=is_first,
            terminated=torch.zeros(length, batch_size, dtype=torch.bool),
            mask=torch.ones(length, batch_size, dtype=torch.bool),
            proprioception=torch.zeros(length, batch_size, proprioception_size),
        )

    return make
