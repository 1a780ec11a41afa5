import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import huggingface_hub
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from core_repr import zoo
from core_repr.config import EnvironmentConfig
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReWrapper

MakeEnv = Callable[..., gym.Env[Any, Any]]


def play(env: gym.Env[Any, Any], seed: int | None, steps: int | None = None) -> Any:
    """Resets, acts at random to the end or for some steps; returns the observations."""
    observations = [env.reset(seed=seed)[0]]
    if seed is not None:
        env.action_space.seed(seed)
    over = False
    while not over and (steps is None or len(observations) <= steps):
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        observations.append(observation)
        over = terminated or truncated
    return observations if isinstance(observations[0], dict) else np.stack(observations)


def test_a_reset_in_mid_episode_starts_afresh(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    env = CoReWrapper(make_pixels(), model)
    fresh = play(env, 3, steps=4)
    play(env, 5, steps=2)
    again = play(env, 3, steps=4)
    assert np.array_equal(fresh, again)


def test_an_episode_that_starts_by_itself_starts_afresh(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    def steps(env: gym.Env[Any, Any]) -> list[Any]:
        actions = np.linspace(-2, 3, 40, dtype=np.float32).reshape(20, 2)
        return [env.reset(seed=1)[0], *(env.step(action)[0] for action in actions)]

    outside = steps(gym.wrappers.Autoreset(CoReWrapper(make_pixels(), model)))
    inside = steps(CoReWrapper(gym.wrappers.Autoreset(make_pixels()), model))
    np.testing.assert_array_equal(np.stack(inside), np.stack(outside))


def test_two_environments_share_a_model_but_not_a_state(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    alone = play(CoReWrapper(make_pixels(), model), 1)
    one, two = CoReWrapper(make_pixels(), model), CoReWrapper(make_pixels(), model)
    observations = [one.reset(seed=1)[0]]
    two.reset(seed=2)
    one.action_space.seed(1)
    for _ in range(8):
        observations.append(one.step(one.action_space.sample())[0])
        two.step(two.action_space.sample())
    assert np.array_equal(np.stack(observations), alone)


def test_seeds_reproduce(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    first, same, other = (play(CoReWrapper(make_pixels(), model), seed) for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


@pytest.mark.filterwarnings("ignore:The model was trained")
@pytest.mark.parametrize("terminates", [False, True])
def test_rewards_ends_and_actions_pass_unchanged(
    make_pixels: MakeEnv, model: CoReWorldModel, terminates: bool
) -> None:
    pixels = make_pixels(length=2, terminates=terminates)
    env = CoReWrapper(pixels, model)
    assert env.action_space == pixels.action_space
    env.reset(seed=0)
    action = np.array([-2.0, 2.5], np.float32)
    _, reward, terminated, truncated, _ = env.step(action)
    assert (reward, terminated, truncated) == (0.5, False, False)
    assert np.array_equal(pixels.unwrapped.episodes[0].actions[0], action)  # type: ignore[attr-defined]
    _, _, terminated, truncated, _ = env.step(action)
    assert (terminated, truncated) == (terminates, not terminates)


def test_the_checker_of_gymnasium_passes(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    env = CoReWrapper(make_pixels(), model)
    assert env.observation_space == gym.spaces.Box(-np.inf, np.inf, (14,), np.float32)
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=True)
    # Those on any environment that is wrapped, has no bounds, or acts in other units.
    known = ("is different from the unwrapped version", "infinity", "action space", "action_space")
    for remark in remarks:
        assert any(words in str(remark.message) for words in known), remark.message


def test_the_checker_of_sb3_passes(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # It recommends actions in [−1, 1]: those of the environment are not.
        warnings.filterwarnings("ignore", "We recommend you to use a symmetric")
        sb3_check_env(CoReWrapper(make_pixels(), model))
        warnings.filterwarnings("ignore", "The minimal resolution for an image is 36x36")
        sb3_check_env(CoReWrapper(make_pixels(), model, keep=["pixels"]))


def test_the_environment_can_be_made_again_from_its_spec(
    make_pixels: MakeEnv, model: CoReWorldModel, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "model")
    env = CoReWrapper(
        make_pixels(),
        tmp_path / "model",
        features="sample",
        predicted_reward=True,
        keep=("pixels",),
        device=torch.device("cpu"),
        threads=2,
    )
    assert env.spec is not None
    again = gym.make(env.spec)
    assert isinstance(again, CoReWrapper)
    assert again.observation_space == env.observation_space
    assert again.spec == env.spec
    for seen, expected in zip(play(again, 1), play(env, 1), strict=True):
        assert np.array_equal(seen["latent"], expected["latent"])


def test_a_model_that_was_given_is_in_the_spec_and_not_copied(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    env = CoReWrapper(make_pixels(), model)
    assert env.spec is not None
    again = gym.make(env.spec)
    assert isinstance(again, CoReWrapper) and again.model is model
    with pytest.raises((TypeError, ValueError)):
        env.spec.to_json()


def test_the_model_stays_as_it_is(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    play(CoReWrapper(make_pixels(), model, features="sample"), 0)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_action_that_is_not_finite_is_refused(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    env = CoReWrapper(make_pixels(), model)
    env.reset()
    with pytest.raises(ValueError, match="is not finite"):
        env.step(np.full(2, np.nan, np.float32))
    assert np.isfinite(env.step(np.ones(2, np.float32))[0]).all()


@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_is_taken_from_a_folder(
    make_pixels: MakeEnv, model: CoReWorldModel, tmp_path: Path, kind: type
) -> None:
    model.save_pretrained(tmp_path / "model")
    env = CoReWrapper(make_pixels(), kind(tmp_path / "model"))
    assert np.array_equal(play(env, 0), play(CoReWrapper(make_pixels(), model), 0))


def test_a_model_is_taken_from_the_hub_and_recorded_with_its_revision(
    make_pixels: MakeEnv, model: CoReWorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(*arguments: Any, **options: Any) -> CoReWorldModel:
        asked.append((*arguments, options))
        return model

    monkeypatch.setattr(zoo, "load", load)
    env = CoReWrapper(make_pixels(), "user/model", revision="v1")
    assert env.spec is not None
    gym.make(env.spec)
    assert asked == [("user/model", "cpu", {"revision": "v1"})] * 2


def test_a_missing_model_is_refused(make_pixels: MakeEnv) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"'cartpole-swing-easy-v0' is neither.*did you mean"
    ):
        CoReWrapper(make_pixels(), "cartpole-swing-easy-v0")


def test_the_hub_is_not_asked_without_a_network(
    make_pixels: MakeEnv, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="user/model") as raised:
        CoReWrapper(make_pixels(), "user/model")
    assert str(raised.value).count("\n") == 0


# What does not fit


class Changed(gym.Wrapper[Any, Any, Any, Any]):
    """The pixels with another space."""

    def __init__(self, env: gym.Env[Any, Any], **spaces: gym.Space[Any]) -> None:
        super().__init__(env)
        for name, space in spaces.items():
            setattr(self, name, space)


BAD_SPACES = [
    ({"observation_space": gym.spaces.Box(-1, 1, (5,))}, TypeError, r"Box\(-1.0, 1.0, \(5,\)"),
    ({"action_space": gym.spaces.Discrete(7)}, TypeError, r"Discrete\(7\)"),
    ({"action_space": gym.spaces.Box(-1, 1, (6,))}, ValueError, r"2 action dim.*Pixels-v0.*has 6"),
]


@pytest.mark.parametrize(("spaces", "error", "words"), BAD_SPACES)
def test_environments_that_cannot_work_are_refused(
    make_pixels: MakeEnv,
    model: CoReWorldModel,
    spaces: dict[str, gym.Space[Any]],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        CoReWrapper(Changed(make_pixels(), **spaces), model)


BAD_OPTIONS = [
    ({"features": "men"}, ValueError, r"'men' is unknown.*'mean', 'sample', 'prior'"),
    ({"threads": 0}, ValueError, "threads=0"),
    ({"threads": True}, ValueError, "threads=True"),
    ({"pixels_key": "camera"}, ValueError, r"'camera'.*Box.*leave it out"),
    ({"keep": ["pixel"]}, ValueError, r"'pixel'.*did you mean 'pixels'"),
    ({"keep": "state"}, ValueError, r"'state'.*are 'pixels'\."),
    ({"device": "meta"}, ValueError, r"'meta'.*is on cpu"),
    ({"device": "gpu"}, ValueError, r"'gpu' is not a device"),
    ({"revision": "main"}, ValueError, r"'main'.*leave it out"),
]


@pytest.mark.parametrize(("options", "error", "words"), BAD_OPTIONS)
def test_options_without_sense_are_refused(
    make_pixels: MakeEnv,
    model: CoReWorldModel,
    options: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        CoReWrapper(make_pixels(), model, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_a_gpu_that_is_not_there_is_refused(make_pixels: MakeEnv) -> None:
    with pytest.raises(ValueError, match=r"'cuda'.*no GPU"):
        CoReWrapper(make_pixels(), "cartpole-swingup-easy-v0", device="cuda")


def test_what_is_no_model_or_no_single_environment_is_refused(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    with pytest.raises(TypeError, match="not a CoReConfig"):
        CoReWrapper(make_pixels(), model.config)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"not a SyncVectorEnv.*CoReVectorWrapper"):
        CoReWrapper(gym.vector.SyncVectorEnv([make_pixels]), model)  # type: ignore[arg-type]


# What it was not trained for


def trained_elsewhere(model: CoReWorldModel, **changes: Any) -> CoReWorldModel:
    fields = {"id": "core-repr-tests/Pixels-v0", "arguments": {}, "action_repeat": 4, **changes}
    environment = EnvironmentConfig(action_low=(-2.0, -2.0), action_high=(3.0, 3.0), **fields)
    return CoReWorldModel(model.config.replace(environment=environment))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "distracting_control/reacher-easy-v0"}, r"reacher-easy-v0.*Pixels-v0"),
        ({"action_repeat": 8}, r"action repeat is 4, not 8"),
        ({"arguments": {"length": 9}}, r"length is 8, not 9"),
    ],
)
def test_another_environment_than_the_models_sets_off_a_warning(
    make_pixels: MakeEnv, model: CoReWorldModel, changes: dict[str, Any], words: str
) -> None:
    with pytest.warns(UserWarning, match=words) as caught:
        CoReWrapper(make_pixels(), trained_elsewhere(model, **changes))
    # The warning points at the line that wrapped the environment.
    assert caught[0].filename == __file__


def test_the_models_own_environment_sets_off_no_warning(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CoReWrapper(make_pixels(), model)
        CoReWrapper(gym.wrappers.TimeLimit(make_pixels(), 5), model)


def test_on_the_distracting_control_suite() -> None:
    env = gym.make(
        "distracting_control/cartpole-swingup-v0",
        # Other distractions than those of the training are what latents are for.
        difficulty="hard",
        dynamic=False,
        split="val",
        render_mode="rgb_array",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrapped = CoReWrapper(env, "cartpole-swingup-easy-v0")
    first, again = play(wrapped, 3, steps=6), play(wrapped, 3, steps=6)
    assert first.shape == (7, 264) and np.array_equal(first, again)
    assert wrapped.render().shape == (480, 640, 3)
    # By name, it can be written down and made again.
    written = wrapped.spec.to_json()
    assert "cartpole-swingup-easy-v0" in written and len(written) < 3_000
    made_again = gym.make(EnvSpec.from_json(written))
    assert np.array_equal(play(made_again, 3, steps=6), first)
    made_again.close()
    wrapped.close()
    other = gym.make("distracting_control/reacher-easy-v0")
    with pytest.raises(ValueError, match=r"1 action dim.*cartpole-swingup-v0.*has 2"):
        CoReWrapper(other, "cartpole-swingup-easy-v0")
    other.close()
    larger = gym.make("distracting_control/cartpole-swingup-v0", frame_size=90, action_repeat=4)
    words = r"action repeat is 4, not 8; frames of 90 × 90 pixels are reduced to 72 × 72"
    with pytest.warns(UserWarning, match=words):
        assert np.isfinite(play(CoReWrapper(larger, "cartpole-swingup-easy-v0"), 0, 2)).all()
    larger.close()
