"""What users copy from the README and the documentation runs as it stands, only shorter."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml
from stable_baselines3 import SAC

from core_repr import cli
from core_repr.config import VARIANTS

ROOT = Path(__file__).parents[1]


def test_the_readme_s_ten_lines() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shorter, changes = re.subn(r"learn\(5_000, progress_bar=True\)", "learn(120)", blocks[0])
    assert changes == 1
    names: dict[str, object] = {}
    exec(shorter, names)
    assert names["env"].observation_space.shape == (264,)  # type: ignore[attr-defined]
    names["env"].close()  # type: ignore[attr-defined]


def test_pictures_that_the_readme_shows_are_there() -> None:
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert shown and all((ROOT / path).is_file() for path in shown)


def test_every_variant_is_described() -> None:
    page = (ROOT / "docs" / "paper.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    assert rows == [(name, v.title, v.about) for name, v in VARIANTS.items()]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_torchrl_and_the_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchrl")
    (block,) = blocks("bridges.md", "python")
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["rollout"]["latent"].shape == (2, 20, 264)
    (lines,) = blocks("bridges.md", "yaml")
    (settings,) = yaml.safe_load(lines).values()
    # What the Zoo makes of them.
    ((place, arguments),) = settings.pop("env_wrapper")[0].items()
    module, name = place.rsplit(".", 1)
    env = getattr(importlib.import_module(module), name)(
        gym.make("distracting_control/cartpole-swingup-v0", difficulty="medium"), **arguments
    )
    assert settings.pop("n_timesteps") == 100_000 / 8
    SAC(env=env, **settings).learn(260)
    if importlib.util.find_spec("rl_zoo3") is None:
        return
    monkeypatch.chdir(tmp_path)
    Path("sac.yml").write_text(lines.replace("!!float 12500", "!!float 260"))
    command = shlex.split(blocks("bridges.md", "bash")[0].replace("\\\n", " "))
    assert command[0] == "python"
    subprocess.run([sys.executable, *command[1:], "--eval-freq", "-1"], check=True)


def test_settings_that_the_documentation_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = blocks("settings.md", "yaml")
    (tmp_path / "mine.yaml").write_text(block)
    assert cli.main(["config", "check", str(tmp_path / "mine.yaml")]) == 0
    assert "+agent.updates_per_step: 0.25" in capsys.readouterr().out


def test_every_page_has_its_place() -> None:
    shown = re.findall(r": (\w+\.md)", (ROOT / "mkdocs.yml").read_text())
    assert sorted(shown) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
