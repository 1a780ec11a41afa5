"""Shape checks, rendering and seeds for every test."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

# Before anything imports the world model: the shapes in its signatures are checked in every call.
install_import_hook("core_repr.world_model", "beartype.beartype")


@pytest.fixture(autouse=True)
def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
