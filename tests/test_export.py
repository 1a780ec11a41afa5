"""Graphs of models: what they give, on other runtimes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from core_repr import CoReWorldModel, CoReWrapper, export, load_agent
from core_repr.agent import algorithm_of
from core_repr.cli import main
from core_repr.config import CoReConfig, EnvironmentConfig, make_variant
from core_repr.environments import make_environment

pytestmark = pytest.mark.slow


def first_inputs(session: onnxruntime.InferenceSession) -> dict[str, NDArray[Any]]:
    """What a user makes of the graph alone."""
    types = {"tensor(uint8)": np.uint8, "tensor(bool)": np.bool_, "tensor(float)": np.float32}
    return {i.name: np.zeros(i.shape, types[i.type]) for i in session.get_inputs()}


def run(session: onnxruntime.InferenceSession, inputs: dict[str, Any]) -> dict[str, Any]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.mark.parametrize(
    ("variant", "kind"), [("no-recurrence", "onnx"), ("sac-rad", "onnx"), ("gated", "torch")]
)
def test_a_graph_gives_what_the_model_gives(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, variant: str, kind: Any
) -> None:
    config = make_variant(tiny_config(), variant)
    space = gym.spaces.Box(0, 255, (config.world_model.frame_size,) * 2 + (3,), np.uint8)
    agent = algorithm_of(config)("CoRePolicy", None, config, seed=0, device="cpu")
    assert agent.observation_space == space
    actor = agent.policy.actor_critic.actor
    path = tmp_path / f"step{export.SUFFIXES[kind]}"
    assert export.export(agent.world_model, actor, path, kind) <= 1e-5
    if kind == "torch":
        assert torch.export.load(path).module() is not None


def test_a_model_of_the_zoo_acts_the_same_over_an_episode(tmp_path: Path) -> None:
    name, path = "cartpole-swingup-medium-v1", tmp_path / "cartpole.onnx"
    assert main(["export", name, "--output", str(path)]) == 0
    session = onnxruntime.InferenceSession(path)
    told = {each.key: each.value for each in onnx.load(path).metadata_props}
    assert told["environment"] == "distracting_control/cartpole-swingup-v0"
    assert json.loads(told["action_low"]) == [-1.0] and told["action_repeat"] == "8"
    agent = load_agent(name, device="cpu")
    env = make_environment(agent.environment_config, split="val")
    frame, _ = env.reset(seed=0)
    inputs, state, over = first_inputs(session), None, False
    inputs["is_first"][:] = True
    while not over:
        inputs["frames"] = frame[None]
        outputs = run(session, inputs)
        action, state = agent.predict(frame, state, deterministic=True)
        np.testing.assert_allclose(outputs["latent"], state.latent.features, atol=1e-4)
        np.testing.assert_allclose(outputs["action"][0], action, atol=1e-4)
        inputs = {name: outputs.get(f"next_{name}", value) for name, value in inputs.items()}
        inputs["is_first"] = np.array([False])
        frame, _, terminated, truncated, _ = env.step(action)
        over = terminated or truncated


def test_without_an_agent_the_action_goes_in(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    # Its second dimension cannot vary; proprioception comes beside the frames.
    environment = EnvironmentConfig(
        "an/Env-v0", {}, (-2.0, 5.0, 0.0), (3.0, 5.0, 1.0), 1, "pixels", {"arm": 2, "hand": 1}
    )
    config = tiny_config().replace(environment=environment)
    model = CoReWorldModel(config).eval()
    model.save_pretrained(tmp_path / "model")
    path = tmp_path / "step.onnx"
    assert main(["export", str(tmp_path / "model"), "--no-agent", "--output", str(path)]) == 0
    session = onnxruntime.InferenceSession(path)

    class Arm(gym.Env[Any, Any]):
        observation_space = gym.spaces.Dict(
            pixels=gym.spaces.Box(0, 255, (16, 16, 3), np.uint8),
            arm=gym.spaces.Box(-1, 1, (2,), np.float32),
            hand=gym.spaces.Box(-1, 1, (1,), np.float32),
        )
        action_space = gym.spaces.Box(
            np.array([-2, 5, 0], np.float32), np.array([3, 5, 1], np.float32)
        )

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return self.observation_space.sample(), {}

        def step(self, action: Any) -> Any:
            return self.observation_space.sample(), 0.0, False, False, {}

    class Kept(gym.ObservationWrapper[Any, Any, Any]):
        def observation(self, observation: Any) -> Any:
            self.seen = observation
            return observation

    inner = Kept(Arm())
    env = CoReWrapper(inner, model)
    latent, _ = env.reset(seed=0)
    inputs = first_inputs(session)
    inputs["is_first"][:] = True
    for _ in range(5):
        seen = inner.seen
        inputs["frames"] = seen["pixels"][None]
        inputs["proprioception"] = np.concatenate([seen["arm"], seen["hand"]])[None]
        outputs = run(session, inputs)
        np.testing.assert_allclose(outputs["latent"][0], latent, atol=1e-5)
        action = env.action_space.sample()
        latent, *_ = env.step(action)
        inputs = {name: outputs.get(f"next_{name}", value) for name, value in inputs.items()}
        inputs["is_first"], inputs["action"] = np.array([False]), action[None]


def test_what_cannot_be_exported_is_refused(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_variant(tiny_config(), "qt-opt-rad")
    agent = algorithm_of(config)("CoRePolicy", None, config, seed=0, device="cpu")
    agent.save_pretrained(tmp_path / "agent")
    for typed, message in (
        ([str(tmp_path / "agent")], "searches for its actions at random"),
        (["cartpole-swingup-easy-v0", "--opset", "9"], "opset 9 cannot be written"),
    ):
        output = tmp_path / "out.onnx"
        assert main(["export", *typed, "--output", str(output)]) == 1
        assert message in capsys.readouterr().err and not output.exists()
    agent.world_model.save_pretrained(tmp_path / "model")
    assert main(["export", str(tmp_path / "model")]) == 1
    assert "has no agent; leave it out with --no-agent" in capsys.readouterr().err
    with pytest.raises(ValueError, match="format 'tflite' is unknown"):
        export.export(agent.world_model, None, tmp_path / "x", "tflite")  # type: ignore[arg-type]
