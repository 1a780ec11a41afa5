import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from core_repr import cli
from core_repr.agent import CoReSAC, algorithm_of
from core_repr.config import CoReConfig, make_variant
from core_repr.evaluation.probes import latents, linear_r2, probe
from core_repr.evaluation.recorded import Recording, record

LENGTH = 12


class Quantities:
    names = ("brightness", "nothing")


class Lamp(gym.Env[Any, Any]):
    """A frame as bright as the state says, with noise for a distraction."""

    observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    action_space = spaces.Box(-2, 3, (2,), np.float32)
    quantities = Quantities()

    def __init__(self, noise: int = 20) -> None:
        self.noise = noise

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.noise_rng = np.random.default_rng((options or {}).get("distraction_seed", 0))
        self.steps, self.brightness = 0, 0.5
        return self._observe()

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.brightness = float(np.clip(self.brightness + 0.1 * action[0], 0, 1))
        frame, info = self._observe()
        return frame, 0.0, False, self.steps == LENGTH, info

    def _observe(self) -> Any:
        noise = self.noise_rng.integers(self.noise + 1, size=(16, 16, 3))
        frame = (200 * self.brightness + noise).astype(np.uint8)
        return frame, {"physics_quantities": np.array([self.brightness, 3.0])}


@pytest.fixture
def agent(tiny_config: Callable[..., CoReConfig]) -> CoReSAC:
    config = tiny_config(agent={"mean_recurrence": True}).replace(environment=None)
    return CoReSAC("CoRePolicy", Lamp(), config, seed=0, device="cpu")


def test_a_linear_relation_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)

    def episodes(count: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        features = [rng.normal(size=(50, 5)) for _ in range(count)]
        return [
            (x, np.stack([3 * x[:, 0] - x[:, 4] + 7, rng.normal(size=50), np.full(50, 2)], -1))
            for x in features
        ]

    found, noise, constant = linear_r2(episodes(8), episodes(4))
    assert found > 0.98 and noise < 0.1 and constant == 0


def test_latents_are_those_that_the_agent_acts_on(agent: CoReSAC) -> None:
    env = Lamp()
    frames, actions, state = [env.reset(seed=0)[0]], [], None
    features = []
    for t in range(LENGTH + 1):
        # The policy's own step, with the action that is then taken.
        _, state = agent.predict(frames[-1], state, np.array([t == 0]), deterministic=True)
        features.append(torch.cat([state.latent.h, state.latent.mean], -1)[0].numpy())
        if t < LENGTH:
            (action,) = agent.policy.actions.to_environment(state.action.numpy())
            frames.append(env.step(action)[0])
            actions.append(action)
    recording = Recording(
        0,
        np.stack(frames),
        np.zeros((LENGTH + 1, 0), np.float32),
        np.stack(actions),
        np.zeros(LENGTH),
        np.zeros((LENGTH + 1, 0)),
    )
    seen = latents(agent, recording)
    np.testing.assert_allclose(seen, features[2:], atol=1e-4)


class Reused(gym.Wrapper[Any, Any, Any, Any]):
    """Gives joint angles too, writes each frame to one array, and to the action that it was given.

    The frames are larger, upside down in memory and have their channels first.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        frames = spaces.Box(0, 255, (3, 32, 32), np.uint8)
        angles = spaces.Box(-1, 1, (2,), np.float64)
        self.observation_space = spaces.Dict(camera=frames, angles=angles)
        self.frame, self.angles = np.zeros((3, 32, 32), np.uint8), np.zeros(2)

    def reset(self, **arguments: Any) -> Any:
        frame, info = self.env.reset(**arguments)
        return self.observe(frame), info

    def step(self, action: Any) -> Any:
        frame, *others = self.env.step(action.copy())
        action[:] = 77
        return self.observe(frame), *others

    def observe(self, frame: Any) -> Any:
        self.frame[:] = frame.transpose(2, 0, 1).repeat(2, 1).repeat(2, 2)
        self.angles[:] = frame[0, 0, :2] / 255
        return {"camera": self.frame[:, ::-1], "angles": self.angles}


def test_an_episode_of_any_form_is_recorded_as_the_model_takes_it(
    tiny_config: Callable[..., CoReConfig],
) -> None:
    env = Reused(Lamp())
    config = tiny_config().replace(environment=None)
    agent = CoReSAC("CoRePolicy", env, config, seed=0, device="cpu")
    recording = record(agent, env, 0)
    frames, proprioception = recording.frames, recording.proprioception
    assert frames.shape == (LENGTH + 1, 16, 16, 3) and proprioception.shape == (LENGTH + 1, 2)
    assert all((one != two).any() for one, two in pairwise(frames))
    assert all((one != two).any() for one, two in pairwise(proprioception))
    assert (np.abs(recording.actions) <= 3).all()
    # The policy's own latents along the way.
    again, state = env.reset(seed=0)[0], None
    for t, action in enumerate(recording.actions):
        _, state = agent.predict(again, state, np.array([t == 0]), deterministic=True)
        state = state._replace(action=torch.from_numpy(agent.policy.actions.to_model(action)))
        again = env.step(action.copy())[0]
    _, state = agent.predict(again, state, deterministic=True)
    seen = latents(agent, recording)
    np.testing.assert_allclose(seen[-1], state.latent.features[0], atol=1e-4)
    # A probe goes through all of it.
    assert probe(agent, env, Reused(Lamp()), 4).invariance > 0


@pytest.mark.parametrize("variant", ["no-recurrence", "sac-rad", "recon"])
def test_models_of_other_systems_are_probed(
    tiny_config: Callable[..., CoReConfig], variant: str
) -> None:
    config = make_variant(tiny_config(), variant).replace(environment=None)
    agent = algorithm_of(config)("CoRePolicy", Lamp(), config, seed=0, device="cpu")
    recording = record(agent, Lamp(), 0)
    env, state = Lamp(), None
    observation, _ = env.reset(seed=0)
    for t, action in enumerate(recording.actions):
        _, state = agent.predict(observation, state, np.array([t == 0]), deterministic=True)
        state = state._replace(action=torch.from_numpy(agent.policy.actions.to_model(action[None])))
        if t >= 2:
            features = state.latent.features[0].detach().numpy()
            np.testing.assert_allclose(latents(agent, recording)[t - 2], features, atol=1e-4)
        observation = env.step(action.copy())[0]
    assert probe(agent, Lamp(), Lamp(), 4).invariance > 0


def test_probes_score_latents_beside_what_needs_no_learning(agent: CoReSAC) -> None:
    finished: list[None] = []
    result = probe(agent, Lamp(), Lamp(), 4, progress=lambda: finished.append(None))
    assert list(result.r2) == ["latent", "random encoder", "pixel components"]
    assert list(result.r2["latent"]) == ["brightness", "nothing"]
    assert result.r2["pixel components"]["brightness"] > 0.9
    assert result.r2["latent"]["nothing"] == 0
    assert 0 < result.invariance < 1 and len(finished) == 12
    assert result.to_dict()["mean_r2"]["latent"] == pytest.approx(result.mean_r2("latent"))


def test_without_distractions_latents_stay_where_they_are(agent: CoReSAC) -> None:
    assert probe(agent, Lamp(noise=0), Lamp(noise=0), 4).invariance == pytest.approx(0, abs=1e-6)


def test_too_few_episodes_are_refused(agent: CoReSAC) -> None:
    with pytest.raises(ValueError, match="at least 4 episodes, not 3"):
        probe(agent, Lamp(), Lamp(), 3)


@pytest.mark.slow
def test_the_command_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "probes.json"
    command = ["probe", "cartpole-swingup-easy-v0", "--episodes", "4", "--output", str(output)]
    assert cli.main(command) == 0
    outcome = json.loads(output.read_text())
    assert f"{outcome['invariance']:.2f}" in capsys.readouterr().out
    assert outcome["mean_r2"]["latent"] > outcome["mean_r2"]["pixel components"] + 0.3


def test_a_model_of_an_environment_that_does_not_tell_its_physics_is_refused(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    CoReSAC("CoRePolicy", None, tiny_config(), device="cpu").save_pretrained(tmp_path)
    assert cli.main(["probe", str(tmp_path)]) == 1
    assert "has no argument physics_state" in capsys.readouterr().err
