"""Every block of the README and of each page, run in order as a reader would, only shorter."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from core_repr import cli
from core_repr.evaluation import RandomAgent, write_video
from core_repr.evaluation.results import COLUMNS

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```(python|bash)\n(.*?)```", re.DOTALL)

ELSEWHERE = {"bridges.md"}
"""Pages whose blocks have a test of their own."""

NEEDS = {"datasets.md": "minari", "robosuite.md": "robosuite"}
"""Pages of packages that not everybody has."""

CAR_RACING = 'gym.make("CarRacing-v3")'
REACHER = """gym.wrappers.AddRenderObservation(
    gym.make("Reacher-v5", render_mode="rgb_array", width=96, height=96)
)"""

SHORTER: list[tuple[str, Any]] = [
    (r"\.learn\([\d_]+", ".learn(300"),
    (r"episodes=\d+", "episodes=1"),
    (r"(env, )[\d_]+(, LatentAgent)", r"\g<1>130\2"),
    (r"\] \* 8|, 8,", lambda match: match[0].replace("8", "2")),
    ("3f2a91c…", "main"),
    # Takes as long as a training does.
    (r"agent\.world_model\.encoder\.compile\(\)\n", ""),
]
if importlib.util.find_spec("Box2D") is None:
    SHORTER.append((re.escape(CAR_RACING), REACHER))

TRAINING = (
    *("--agent.initial-updates", "1", "--agent.updates-per-step", "0.01"),
    *("--agent.batch-size", "2", "--evaluation-episodes", "1", "--device", "cpu"),
)

OPTIONS: dict[str, dict[str, str | None]] = {
    "evaluate": {"--episodes": "1"},
    "picture": {"--training-episodes": "1", "--updates": "2"},
    "robustness": {"--episodes": "1"},
    "record": {"--episodes": "3"},
    "probe": {"--episodes": "4"},
    "pairs": {"--episodes": "2"},
    "zoo": {"--episodes": "0", "--yes": None},
    "bench": {"--env-steps": "2400", "--evaluations": "1", "--episodes": "1", "--seeds": "0"},
}
"""Command → options that make it short."""

TESTED_ELSEWHERE = {"board", "demo", "download"}
"""Commands that serve a page, take minutes, or fetch from their authors' server."""

CLASSIC_CONTROL = all(map(importlib.util.find_spec, ("pygame", "cv2")))

MINE = "mine"
MY_PACKAGE = """
import gymnasium as gym
import numpy as np


class Reach(gym.Env):
    def __init__(self, frame_size=84, split="train"):
        self.observation_space = gym.spaces.Box(0, 255, (frame_size, frame_size, 3), np.uint8)
        self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), 0.0, False, self.steps == 50, {}


gym.register("my/Reach-v0", Reach)
"""


def pages() -> list[str]:
    found = ["README.md", "CONTRIBUTING.md", *(path.name for path in (ROOT / "docs").glob("*.md"))]
    return sorted(page for page in found if BLOCK.search(text_of(page)))


def text_of(page: str) -> str:
    folder = ROOT / "docs" if (ROOT / "docs" / page).is_file() else ROOT
    return (folder / page).read_text()


def commands(block: str) -> list[list[str]]:
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that most pages begin with."""
    run = tmp_path_factory.mktemp("runs") / MINE
    typed = ["train", "--task", "cartpole-swingup", "--difficulty", "medium", "--run", str(run)]
    assert cli.main([*typed, *shortened("1200")]) == 0
    return run


def shortened(env_steps: str) -> list[str]:
    return ["--env-steps", env_steps, "--agent.learning-starts", "60", *TRAINING]


class Reader:
    """Someone who types what a page says, in an empty folder.

    Args:
        trained: A run that was trained before.
        folder: The folder.
        capsys: What they see.
    """

    def __init__(self, trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.trained, self.folder, self.capsys = trained, folder, capsys
        self.names: dict[str, Any] = {}

    def read(self, page: str) -> None:
        for language, block in BLOCK.findall(text_of(page)):
            if language == "bash":
                for words in commands(block):
                    self.type(words)
            elif block.startswith("# push.py"):
                Path("push.py").write_text(block)
            elif "davis" in block:
                with pytest.raises(FileNotFoundError, match="core-repr download davis"):
                    exec(block, self.names)
            else:
                for pattern, shorter in SHORTER:
                    block = re.sub(pattern, shorter, block)
                exec(block, self.names)

    def type(self, words: list[str]) -> None:
        program, *typed = (word.replace("your-name/", "user/") for word in words)
        if program == "make":
            assert re.search(rf"^{typed[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif program == "pip":
            named = re.findall(r"\[(.*)\]", " ".join(typed))
            text = (ROOT / "pyproject.toml").read_text()
            section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
            known = re.findall(r"^([a-z]+) = \[", section, re.MULTILINE)
            assert set(",".join(named).split(",")) - {""} <= set(known)
        elif program == "bash":
            assert (ROOT / typed[0]).is_file()
        elif program == "core-repr":
            self.run(typed)
        else:
            assert program in ("ffmpeg", "rm")

    def run(self, typed: list[str]) -> None:
        output = None
        if ">" in typed:
            typed, output = typed[: typed.index(">")], Path(typed[-1])
        command = typed[0]
        if command in TESTED_ELSEWHERE:
            with pytest.raises(SystemExit) as stopped:
                cli.main([*typed, "--help"])
            assert stopped.value.code == 0
            return
        if "MountainCarContinuous-v0" in typed and not CLASSIC_CONTROL:
            return
        if command == "train":
            typed = self.shorter_training(typed)
        self.make_what_is_assumed(typed)
        for option, value in OPTIONS.get(command, {}).items():
            typed = with_option(typed, option, value)
        if command == "campaign":  # The paper's grids need DAVIS's videos, and others a cluster.
            typed = ["campaign", "compact", "--dry-run"]
        self.capsys.readouterr()
        done = cli.main(typed)
        seen = self.capsys.readouterr()
        assert done == 0, (typed, seen.err)
        if output is not None:
            output.write_text(seen.out)

    def shorter_training(self, typed: list[str]) -> list[str]:
        if "--dataset" in typed:
            typed = with_option(typed, "--updates", "2")
            return [*typed, "--agent.batch-size", "2", "--agent.sequence-length", "8"]
        if "--resume" in typed:
            option = "--updates" if "--updates" in typed else "--env-steps"
            return with_option(typed, option, "3" if option == "--updates" else "3200")
        return [*without(typed, "--env-steps"), *shortened("6000" if "--from" in typed else "1200")]

    def make_what_is_assumed(self, typed: list[str]) -> None:
        """Runs and files that a page takes as there."""
        for word in typed:
            if word.startswith(f"runs/{MINE}") and "--run" not in typed:
                shutil.copytree(self.trained, f"runs/{MINE}", dirs_exist_ok=True)
        if "--run" in typed:
            shutil.rmtree(typed[typed.index("--run") + 1], ignore_errors=True)
        if typed[0] == "record":
            shutil.rmtree(f"minari/{typed[2]}", ignore_errors=True)
        if typed[0] == "report":
            folder = Path(typed[1])
            folder.mkdir(parents=True, exist_ok=True)
            row = {"model": "walker-walk/medium/core/seed-0", "env_steps": 100, "episodes": 1}
            with open(folder / "results.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerow({**row, "mean": 3, "arguments": json.dumps({"difficulty": "easy"})})


def with_option(typed: list[str], option: str, value: str | None) -> list[str]:
    """An option with another value, or added; of ``zoo push`` and ``train`` alike."""
    if option == "--episodes" and typed[0] == "zoo" and typed[1] != "push":
        return typed
    typed = without(typed, option)
    return [*typed, option, *([] if value is None else [value])]


def without(typed: list[str], *options: str) -> list[str]:
    kept, skipping = [], False
    for word in typed:
        if word.startswith("--"):
            skipping = word in options
        if not skipping:
            kept.append(word)
    return kept


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [page for page in pages() if page not in ELSEWHERE])
def test_every_block_runs(
    page: str,
    trained: Path,
    hub: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if page in NEEDS:
        pytest.importorskip(NEEDS[page])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    (tmp_path / "my_package.py").write_text(MY_PACKAGE)
    reader = Reader(trained, tmp_path, capsys)
    before = BEFORE.get(page)
    if before is not None:
        before(reader)
    reader.read(page)
    for module in ("push", "my_package"):
        sys.modules.pop(module, None)


def publish(reader: Reader) -> None:
    reader.run(["zoo", "push", "runs/mine", "user/cartpole"])


def film_and_train(reader: Reader) -> None:
    for split in ("train", "val"):
        Path("clips", split).mkdir(parents=True)
        noise = np.random.default_rng(0).integers(256, size=(4, 32, 32, 3), dtype=np.uint8)
        write_video(Path("clips", split, "noise.mp4"), noise, 10)
    wrapper = 'DistractionWrapper("medium", dynamic=True)'
    reader.run(["train", "--env", "Reacher-v5", "--wrappers", wrapper, "--run", "runs/reacher"])


def record(reader: Reader) -> None:
    """What a page trains from before it says how to record."""
    pixels = ("cartpole/pixels-v0", "--observations", "pixels")
    reader.run(["record", "cartpole-swingup-medium-v1", *pixels])
    shutil.copytree("minari/cartpole/pixels-v0", "data/pusht")
    reader.names["agent"] = RandomAgent(gym.spaces.Box(-1, 1, (1,), np.float32))


BEFORE: dict[str, Callable[[Reader], None]] = {
    "hub.md": publish,
    "datasets.md": record,
    "robustness.md": film_and_train,
}


def test_pages_that_are_left_out_are_there() -> None:
    assert ELSEWHERE | NEEDS.keys() | BEFORE.keys() <= set(pages())
