"""Imagined rewards against those that came."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig, make_variant
from core_repr.evaluation import Foresight, evaluate
from core_repr.evaluation.foresight import HORIZONS

MakePixels = Callable[..., gym.Env[Any, Any]]


@pytest.fixture
def agent(tiny_config: Callable[..., CoReConfig], make_pixels: MakePixels) -> CoReSAC:
    return CoReSAC("CoRePolicy", make_pixels(length=6), tiny_config(), seed=0, device="cpu")


def test_an_evaluation_is_the_same_with_foresight(agent: CoReSAC, make_pixels: MakePixels) -> None:
    plain = evaluate(agent, make_pixels(length=6), episodes=2)
    foresight = Foresight(agent, make_pixels(length=6))
    assert evaluate(foresight, foresight, episodes=2) == plain
    outcome = foresight.to_dict(plain)
    assert outcome["returns"] == list(plain.returns)
    assert [*outcome["imagined_reward_r2"]] == [str(horizon) for horizon in HORIZONS]


def test_scores_are_those_of_one_roll_out_after_another(
    agent: CoReSAC, make_pixels: MakePixels
) -> None:
    env = make_pixels(length=6)
    foresight = Foresight(agent, env)
    evaluate(foresight, foresight, episodes=2, deterministic=False)
    (states, actions, rewards), (more, further, others) = foresight._episodes
    imagined, real = [], []
    for run, taken, came in ((states, actions, rewards), (more, further, others)):
        for start in range(len(came) - 2):
            state = run[start].map(lambda field: field[None])
            for step in range(3):
                state = agent.world_model.imagine(state, taken[start + step][None, None]).at(0)
            imagined.append(agent.world_model.predict_reward(state).item())
            real.append(came[start + 2])
    error = np.mean(np.square(np.subtract(imagined, real)))
    assert foresight.r2()[3] == pytest.approx(1 - error / np.var(real), abs=1e-4)
    # Six steps do not reach ten ahead.
    assert foresight.r2()[10] is None


def test_rewards_that_are_all_the_same_have_no_score(
    agent: CoReSAC, make_pixels: MakePixels
) -> None:
    env = gym.wrappers.TransformReward(make_pixels(length=6), lambda _: 1.0)
    foresight = Foresight(agent, env)
    evaluate(foresight, foresight, episodes=1)
    assert set(foresight.r2().values()) == {None}


@pytest.mark.parametrize("variant", ["rsac", "no-reward"])
def test_a_model_that_imagines_no_rewards_has_no_scores(
    tiny_config: Callable[..., CoReConfig], make_pixels: MakePixels, variant: str
) -> None:
    config = make_variant(tiny_config(), variant)
    foresight = Foresight(
        CoReSAC("CoRePolicy", make_pixels(), config, device="cpu"), make_pixels(length=3)
    )
    result = evaluate(foresight, foresight, episodes=1)
    assert foresight.to_dict(result) == {**result.to_dict(), "imagined_reward_r2": {}}


def test_what_a_perfect_model_would_score() -> None:
    from core_repr.evaluation.foresight import _r2

    rewards = np.array([0.0, 1.0, 2.0])
    assert _r2(rewards, rewards) == 1
    assert _r2(np.full(3, 1.0), rewards) == 0
