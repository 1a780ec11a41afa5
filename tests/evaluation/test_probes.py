import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from core_repr import cli
from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig
from core_repr.evaluation.probes import latents, linear_r2, probe

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
    config = tiny_config().replace(environment=None)
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
            action = agent.policy.unscale_action(state.action.numpy())[0]
            frames.append(env.step(action)[0])
            actions.append(action)
    recording = type("R", (), {"frames": np.stack(frames), "actions": np.stack(actions)})
    seen = latents(agent.world_model, agent, recording)
    np.testing.assert_allclose(seen, features[2:], atol=1e-4)


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


def test_a_model_of_another_environment_is_refused(
    agent: CoReSAC, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.save_pretrained(tmp_path)
    assert cli.main(["probe", str(tmp_path)]) == 1
    assert "Distracting Control Suite" in capsys.readouterr().err
