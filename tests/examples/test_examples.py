"""What users copy from examples/ runs as it stands, only shorter."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v3 as iio
import pytest

from core_repr import CoReSAC, cli

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.stem: path for path in (ROOT / "examples").glob("*.py")}


@pytest.fixture
def main(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., None]:
    """An example's ``main``; an episode of the suite takes 20 agent steps instead of 125."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gym, "make", functools.partial(gym.make, action_repeat=50))
    name = request.function.__name__.removeprefix("test_")
    spec = importlib.util.spec_from_file_location(name, EXAMPLES[name])
    assert spec is not None and spec.loader is not None
    example: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example.main  # type: ignore[no-any-return]


shorter = pytest.mark.filterwarnings("ignore:The model was trained in")


@shorter
def test_wrap_and_train(main: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    main(agent_steps=110, episodes=2)
    assert re.search(r"return on unseen backgrounds: \d+ ± \d+", capsys.readouterr().out)


@shorter
def test_record_a_video(main: Callable[..., None], tmp_path: Path) -> None:
    main(agent_steps=20, path=tmp_path / "videos" / "episode.mp4")
    frames = iio.imread(tmp_path / "videos" / "episode.mp4")
    # The scene, and beside it the pixels, six times as large as they are.
    assert len(frames) == 20 and frames.shape[1] == 480 and frames.shape[2] > 640 + 6 * 72


@shorter
@pytest.mark.slow
def test_evaluate_robustness(main: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    main(agent_steps=20, episodes=2)
    assert re.search(r"\| \| random actions \| \d+ ± \d+ \|", capsys.readouterr().out)
    assert Path("robustness.png").stat().st_size


@pytest.mark.slow
def test_lerobot_env(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("lerobot_env", EXAMPLES["lerobot_env"])
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lerobot_env", module)
    spec.loader.exec_module(module)
    # As lerobot.envs.factory.make_env calls it, and what it makes of the result.
    suites = module.make_env(n_envs=2, use_async_envs=False, cfg=None)
    assert list(suites) == ["distracting_control"] and len(suites["distracting_control"]) == 6
    envs = suites["distracting_control"][1]
    observation, _ = envs.reset(seed=[0, 1])
    assert observation["pixels"].shape == (2, 72, 72, 3)
    assert observation["environment_state"].shape == (2, 264)
    assert envs.call("task_description") == ("cartpole swingup",) * 2
    (only,) = module.make_env(cfg=argparse.Namespace(task="walker-walk"))[
        "distracting_control"
    ].values()
    assert only.single_action_space.shape == (6,)


def test_your_own_environment(
    main: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main(agent_steps=60, folder=str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "model.safetensors").is_file()


@pytest.mark.slow
def test_vectorised_training() -> None:
    typed = "--agent-steps 40 --environments 2 --rollout-steps 20 --episodes 2"
    command = [sys.executable, str(EXAMPLES["vectorised_training"]), *typed.split()]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"return on unseen backgrounds: \d+", outcome.stdout)


@pytest.mark.slow
def test_robosuite_on_latents(tmp_path: Path) -> None:
    pytest.importorskip("robosuite")
    env = gym.make("distracting_robosuite/Door-v0", distractions="color")
    agent = CoReSAC("CoRePolicy", env, config="compact")
    agent.save_pretrained(tmp_path / "model")
    env.close()
    typed = [
        "--model",
        str(tmp_path / "model"),
        "--agent-steps",
        "20",
        "--path",
        str(tmp_path / "x"),
    ]
    command = [sys.executable, str(EXAMPLES["robosuite_on_latents"]), *typed]
    subprocess.run(command, capture_output=True, check=True)


@shorter
def test_learn_in_imagination(
    main: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    main(recorded_steps=30, agent_steps=4_096, episodes=2)
    assert re.search(r"return on unseen backgrounds: \d+ ± \d+", capsys.readouterr().out)


@pytest.mark.slow
def test_run_a_graph(tmp_path: Path) -> None:
    graph = tmp_path / "cartpole.onnx"
    assert cli.main(["export", "cartpole-swingup-easy-v0", "--output", str(graph)]) == 0
    # Neither PyTorch nor this package is there to import.
    blocked = (
        "import sys; sys.modules.update(torch=None, core_repr=None); sys.argv[:] = sys.argv[1:]"
    )
    code = f"{blocked}; import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(EXAMPLES["run_a_graph"]), str(graph)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"the last of 100 actions is \[-?\d", outcome.stdout)


def test_every_example_is_short_and_run_here() -> None:
    assert len(EXAMPLES) == 9
    for name, path in EXAMPLES.items():
        assert f"test_{name}" in globals()
        lines = path.read_text().splitlines()
        assert len(lines) < 60 and f"python examples/{path.name}" in lines


ALGORITHMS = {
    "stable_baselines3": ["A2C", "DDPG", "PPO", "SAC", "TD3"],
    "sb3_contrib": ["CrossQ", "RecurrentPPO", "TQC", "TRPO"],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package in ALGORITHMS for name in ALGORITHMS[package]]
)
def test_the_readme_s_ten_lines_for_every_algorithm(package: str, name: str) -> None:
    lines = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    for old, new in {
        "learn(5_000, progress_bar=True)": "learn(120)",
        "stable_baselines3": package,
        "SAC": name,
        "MlpPolicy": "MlpLstmPolicy" if name == "RecurrentPPO" else "MlpPolicy",
    }.items():
        assert old in lines
        lines = lines.replace(old, new)
    names: dict[str, Any] = {}
    exec(lines, names)
    assert names["agent"].num_timesteps >= 120
    action, _ = names["agent"].predict(names["env"].reset(seed=0)[0])
    assert action in names["env"].action_space
    names["env"].close()
