"""CoReTransform gives in TorchRL what CoReWrapper gives in Gymnasium."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from core_repr import CoReWorldModel, CoReWrapper
from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig

pytest.importorskip("torchrl")

from torchrl.envs import (
    ActionScaling,
    Compose,
    GymWrapper,
    SerialEnv,
    ToTensorImage,
    TransformedEnv,
)
from torchrl.envs.utils import check_env_specs

from core_repr.wrappers.torchrl import CoReTransform

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., Any]) -> Any:
    return CoReSAC("CoRePolicy", make_pixels(), tiny_config(), seed=0, device="cpu").world_model


def latents_of(model: CoReWorldModel, frames: Any, actions: Any, env: Any) -> Any:
    """What CoReWrapper gives for the frames and the actions of an episode."""
    shown = iter(frames)
    seen = gym.wrappers.TransformObservation(env, lambda _: next(shown), env.observation_space)
    env = CoReWrapper(seen, model)
    found = [env.reset()[0]]
    for action in actions:
        found.append(env.step(action.numpy())[0])
    return np.stack(found)


def test_an_episode(model: CoReWorldModel, make_pixels: Callable[..., Any]) -> None:
    env = TransformedEnv(GymWrapper(make_pixels(length=6)), CoReTransform(model))
    check_env_specs(env)
    played = env.rollout(6)
    assert "pixels" not in played and played["latent"].shape == (6, model.latent_size)
    # Frozen, and not the user's to train.
    assert not list(env.transform.parameters())


def test_environments_in_a_batch_end_by_themselves(
    model: CoReWorldModel, make_pixels: Callable[..., Any]
) -> None:
    lengths = (3, 5)
    makers = [lambda n=n: GymWrapper(make_pixels(length=n)) for n in lengths]
    env = TransformedEnv(SerialEnv(2, makers), CoReTransform(model, keep_pixels=True))
    played = env.rollout(11, break_when_any_done=False)
    for row, length in enumerate(lengths):
        for start in range(0, 11 - length, length):
            steps = played[row, start : start + length]
            frames = torch.cat([steps["pixels"], steps["next", "pixels"][-1:]]).numpy()
            expected = latents_of(model, frames, steps["action"], make_pixels(length=length))
            np.testing.assert_allclose(steps["latent"], expected[:-1], atol=1e-5)
            np.testing.assert_allclose(steps["next", "latent"], expected[1:], atol=1e-5)


def test_frames_as_torchrl_likes_them(
    model: CoReWorldModel, make_pixels: Callable[..., Any]
) -> None:
    env = TransformedEnv(GymWrapper(make_pixels(length=4)), ToTensorImage(in_keys=["pixels"]))
    played = TransformedEnv(env, CoReTransform(model, keep_pixels=True)).rollout(4)
    shown = torch.cat([played["pixels"], played["next", "pixels"][-1:]])
    frames = (shown * 255).round().byte().permute(0, 2, 3, 1).numpy()
    expected = latents_of(model, frames, played["action"], make_pixels(length=4))
    np.testing.assert_allclose(played["next", "latent"], expected[1:], atol=1e-4)


def test_what_cannot_be(
    tiny_config: Callable[..., CoReConfig], model: CoReWorldModel, make_pixels: Callable[..., Any]
) -> None:
    with pytest.raises(RuntimeError, match="not to a replay buffer"):
        CoReTransform(model)(None)
    config = model.config
    assert config.environment is not None
    with_arm = replace(config.environment, pixels_key="pixels", proprioception={"arm": 2})
    with pytest.raises(ValueError, match="proprioception"):
        CoReTransform(CoReWorldModel(config.replace(environment=with_arm)))


@pytest.mark.parametrize(
    ("env", "error", "words"),
    [
        ("Pixels", ValueError, "2 action dimensions .* but the environment has 3"),
        ("CartPole-v1", TypeError, "needs a Box of continuous actions, .* has OneHot"),
    ],
)
def test_other_actions_are_refused_before_the_first_step(
    model: CoReWorldModel,
    make_pixels: Callable[..., Any],
    env: str,
    error: type[Exception],
    words: str,
) -> None:
    made = make_pixels(action_size=3) if env == "Pixels" else gym.make(env)
    with pytest.raises(error, match=words):
        _ = TransformedEnv(GymWrapper(made), CoReTransform(model)).action_spec


def test_an_unknown_action_is_told(model: CoReWorldModel, make_pixels: Callable[..., Any]) -> None:
    env = TransformedEnv(GymWrapper(make_pixels()), CoReTransform(model, action_key="torque"))
    with pytest.raises(ValueError, match="no action 'torque'"):
        _ = env.action_spec


def test_actions_are_in_the_environments_own_units(
    model: CoReWorldModel, make_pixels: Callable[..., Any]
) -> None:
    """As CoReWrapper does it: its bounds count, not those of the training."""
    made = gym.wrappers.RescaleAction(make_pixels(length=4), -1.0, 1.0)
    played = TransformedEnv(GymWrapper(made), CoReTransform(model, keep_pixels=True)).rollout(4)
    frames = torch.cat([played["pixels"], played["next", "pixels"][-1:]]).numpy()
    again = gym.wrappers.RescaleAction(make_pixels(length=4), -1.0, 1.0)
    expected = latents_of(model, frames, played["action"], again)
    np.testing.assert_allclose(played["next", "latent"], expected[1:], atol=1e-5)


@pytest.mark.parametrize("first", [True, False])
def test_transforms_of_actions_may_stand_before_and_behind(
    model: CoReWorldModel, make_pixels: Callable[..., Any], first: bool
) -> None:
    transforms = [ActionScaling(), CoReTransform(model, keep_pixels=True)]
    chain = Compose(*(transforms if first else transforms[::-1]))
    played = TransformedEnv(GymWrapper(make_pixels(length=4)), chain).rollout(4)
    frames = torch.cat([played["pixels"], played["next", "pixels"][-1:]]).numpy()
    actions = -2 + 2.5 * (played["action"] + 1)
    expected = latents_of(model, frames, actions, make_pixels(length=4))
    np.testing.assert_allclose(played["next", "latent"], expected[1:], atol=1e-5)
