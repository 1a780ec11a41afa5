"""Pairs of episodes: recorded, checked and learned from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from core_repr.agent import FeedForwardSAC, SequenceAlgorithm
from core_repr.agent.feed_forward.pairs import EpisodePairs
from core_repr.cli import main
from core_repr.config import CoReConfig, make_variant
from core_repr.evaluation.pairs import record_pairs


class Lit(gym.Wrapper[Any, Any, Any, Any]):
    """Frames of a brightness that the seed of the distractions says.

    Args:
        env: A small environment.
        repeats: Whether an episode's rewards are the same when it is repeated.
        distracts: Whether there is anything to see of the distractions.
    """

    def __init__(self, env: gym.Env[Any, Any], repeats: bool = True, distracts: bool = True):
        super().__init__(env)
        self.repeats, self.distracts, self.resets = repeats, distracts, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        frame, info = self.env.reset(seed=seed)
        self.brightness = (options or {}).get("distraction_seed", 0) if self.distracts else 0
        self.resets += 1
        return np.full_like(frame, self.brightness), info

    def step(self, action: Any) -> Any:
        frame, reward, *others = self.env.step(action)
        return np.full_like(frame, self.brightness), reward + self._drift, *others

    @property
    def _drift(self) -> float:
        return 0.0 if self.repeats else float(self.resets)


@pytest.fixture
def agent(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., gym.Env[Any, Any]]
) -> SequenceAlgorithm:
    config = make_variant(tiny_config(), "sac-drq")
    return FeedForwardSAC("CoRePolicy", make_pixels(frame_size=12), config, seed=0, device="cpu")


def test_a_pair_has_the_same_actions_and_other_distractions(
    agent: SequenceAlgorithm, make_pixels: Callable[..., gym.Env[Any, Any]], tmp_path: Path
) -> None:
    folder, played = tmp_path / "pairs", []
    recorded = record_pairs(
        agent, Lit(make_pixels(frame_size=12)), folder, 3, 5, lambda: played.append(1)
    )
    assert len(played) == 3 and recorded.differ
    pairs = EpisodePairs.read(str(folder), agent.config)
    rewards = []
    for number in range(3):
        one, two = pairs[number]
        assert len(one) == len(two) == 9
        assert np.array_equal(one["action"], two["action"]) and abs(one["action"]).max() <= 1
        assert np.array_equal(one["reward"], two["reward"])
        assert (one["frame"] == 2 * (5 + number)).all()
        assert (two["frame"] == 2 * (5 + number) + 1).all()
        rewards.append(one["reward"].sum())
    assert recorded.mean == pytest.approx(np.mean(rewards), rel=1e-4)


def test_an_environment_that_makes_no_pairs_is_refused(
    agent: SequenceAlgorithm, make_pixels: Callable[..., gym.Env[Any, Any]], tmp_path: Path
) -> None:
    env = Lit(make_pixels(frame_size=12), repeats=False)
    with pytest.raises(ValueError, match="it does not repeat episodes"):
        record_pairs(agent, env, tmp_path / "pairs", 1)
    assert not (tmp_path / "pairs").exists()


def test_pairs_without_distractions_are_told(
    agent: SequenceAlgorithm, make_pixels: Callable[..., gym.Env[Any, Any]], tmp_path: Path
) -> None:
    env = Lit(make_pixels(frame_size=12), distracts=False)
    assert not record_pairs(agent, env, tmp_path / "pairs", 1).differ


def test_a_folder_that_is_in_use_stays(agent: SequenceAlgorithm, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        record_pairs(agent, agent.env, tmp_path, 1)


def test_the_command_says_how_to_learn_from_the_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pairs"
    assert main(["pairs", "cartpole-swingup-easy-v0", str(folder), "--episodes", "0"]) == 1
    assert "--episodes must be at least 1" in capsys.readouterr().err
    assert not folder.exists()
    arguments = ["pairs", "cartpole-swingup-easy-v0", str(folder), "--episodes", "1"]
    assert main([*arguments, "--difficulty", "none"]) == 0
    told = capsys.readouterr().out
    assert f"--variant pse --agent.similarity.pairs {folder}" in told
    assert "Both episodes of a pair look the same" in told
    assert main(arguments) == 1
    assert "is not empty; choose another folder" in capsys.readouterr().err
