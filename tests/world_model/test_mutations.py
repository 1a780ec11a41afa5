"""Model folders that someone has tampered with: refused in a sentence, or loaded bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel

MAX_MEGABYTES = 500


@pytest.mark.parametrize(
    ("count", "seed"), [(150, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)]
)
def test_mutated_folders(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, count: int, seed: int
) -> None:
    CoReWorldModel(tiny_config()).save_pretrained(tmp_path / "model")
    script = Path(__file__).with_name("mutate_models.py")
    process = subprocess.run(
        [sys.executable, script, tmp_path / "model", str(count), str(seed)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert result["wrong"] == [] and result["seen"] == []
    assert sum(result["outcomes"].values()) == count
    assert result["outcomes"]["loaded"] > count / 100 < result["outcomes"]["ValueError"]
    assert result["memory"] < MAX_MEGABYTES
