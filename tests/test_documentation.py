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


@pytest.mark.slow
def test_your_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "your_own_environment.md").read_text()
    blocks = re.findall(r"```(python|bash)\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module, *others = blocks
    assert module[1].startswith("# push.py")
    (tmp_path / "push.py").write_text(module[1])
    names: dict[str, object] = {}
    shorter = (
        *("--agent.learning-starts", "100", "--agent.initial-updates", "2"),
        *("--agent.updates-per-step", "0.02", "--evaluation-episodes", "1"),
    )
    for language, text in others:
        if language == "python":
            exec(text.replace("learn(5_000)", "learn(120)"), names)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            command, *typed = shlex.split(line)
            assert command == "core-repr"
            if typed[0] == "zoo":
                continue
            if typed[0] == "train":
                typed[typed.index("--env-steps") + 1] = "600"
                typed += shorter
            else:
                typed[typed.index("--episodes") + 1] = "1"
            assert cli.main(typed) == 0
    assert (tmp_path / "push.mp4").stat().st_size and (tmp_path / "on_latents.zip").exists()
    assert 'ImageDistractionWrapper(difficulty="hard"' in capsys.readouterr().out
    frames = [names["observation"]["pixels"], names["distracted"]["pixels"]]  # type: ignore[index]
    assert (frames[0] != frames[1]).mean() > 0.5
    del sys.modules["push"]


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


@pytest.mark.slow
def test_robustness_of_an_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("robustness.md", "python")
    shorter = block.replace("learn(5_000)", "learn(120)").replace("episodes=10", "episodes=1")
    exec(shorter.replace('"split": "val"', '"split": "val", "action_repeat": 100'), {})
    assert Path("robustness.png").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "learned"), [("index.md", "5_000, pro"), ("settings.md", "10_000")]
)
def test_pages_of_the_site(page: str, learned: str) -> None:
    (block,) = blocks(page, "python")
    assert f"learn({learned}" in block
    exec(re.sub(r"learn\([^)]*\)", "learn(130)", block), {})


def test_settings_that_the_documentation_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = blocks("settings.md", "yaml")
    (tmp_path / "mine.yaml").write_text(block)
    assert cli.main(["config", "check", str(tmp_path / "mine.yaml")]) == 0
    assert "+agent.updates_per_step: 0.25" in capsys.readouterr().out


def test_every_page_has_its_place() -> None:
    shown = re.findall(r"\w+\.md", (ROOT / "mkdocs.yml").read_text())
    assert sorted(shown) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
