"""Model folders that someone has tampered with: refused in a sentence, or loaded bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel

MAX_MEGABYTES = 500


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        (CoReWorldModel, 150),
        pytest.param(CoReWorldModel, 10_000, marks=pytest.mark.slow),
        pytest.param(CoReSAC, 2_000, marks=pytest.mark.slow),
    ],
)
def test_mutated_folders(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, kind: type, count: int
) -> None:
    config = tiny_config(agent={"actor_layers": (8,), "critic_layers": (8,)})
    if kind is CoReWorldModel:
        CoReWorldModel(config).save_pretrained(tmp_path / "model")
    else:
        CoReSAC("CoRePolicy", None, config, device="cpu").save_pretrained(tmp_path / "model")
    script = Path(__file__).with_name("mutate_models.py")
    process = subprocess.run(
        [sys.executable, script, tmp_path / "model", str(count), "1"],
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
