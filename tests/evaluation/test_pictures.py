from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from gymnasium import spaces

from core_repr import cli
from core_repr.agent import SequenceAlgorithm, algorithm_of
from core_repr.config import CoReConfig, GateConfig, make_variant
from core_repr.evaluation import pictures
from core_repr.evaluation.recorded import Recording, observe, record
from core_repr.world_model import Noise

LENGTH = 14


class Bar(gym.Env[Any, Any]):
    """A bright column that moves from left to right over noise; the clean frame has none."""

    observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    action_space = spaces.Box(-2, 3, (2,), np.float32)
    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, clean_frames: bool = True) -> None:
        self.clean_frames = clean_frames

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe()

    def step(self, action: Any) -> Any:
        self.steps += 1
        frame, info = self._observe()
        return frame, 0.0, False, self.steps == LENGTH, info

    def _observe(self) -> Any:
        clean = np.zeros((16, 16, 3), np.uint8)
        clean[:, min(self.steps, 15)] = 200
        noise = self.np_random.integers(56, size=clean.shape, dtype=np.uint8)
        return clean + noise, {"clean_frame": clean} if self.clean_frames else {}


gym.register("core-repr-tests/Bar-v0", Bar, disable_env_checker=True)

MakeAgent = Callable[[str], SequenceAlgorithm]


@pytest.fixture
def make_agent(tiny_config: Callable[..., CoReConfig]) -> MakeAgent:
    def make(variant: str = "core") -> SequenceAlgorithm:
        config = make_variant(tiny_config(agent={"mean_recurrence": True}), variant)
        env = gym.make("core-repr-tests/Bar-v0")
        config = config.replace(environment=None)
        return algorithm_of(config)("CoRePolicy", env, config, seed=0, device="cpu")

    return make


def test_a_recording_holds_what_there_is_without_distractions(make_agent: MakeAgent) -> None:
    agent = make_agent("core")
    recording = record(agent, Bar(), 0)
    assert recording.clean_frames is not None and recording.clean_frames.shape == (15, 16, 16, 3)
    assert recording.clean_frames[3, :, 3].min() == 200
    assert recording.clean_frames[3, :, 4].max() == 0
    assert recording.quantities.shape == (15, 0)
    assert record(agent, Bar(clean_frames=False), 0).clean_frames is None


def test_clean_frames_are_reduced_as_the_frames_are(make_agent: MakeAgent) -> None:
    agent = make_agent("core")

    class LargeBar(Bar):
        observation_space = spaces.Box(0, 255, (32, 32, 3), np.uint8)

        def _observe(self) -> Any:
            frame, info = super()._observe()
            larger = {"clean_frame": info["clean_frame"].repeat(2, 0).repeat(2, 1)}
            return frame.repeat(2, 0).repeat(2, 1), larger

    agent.set_env(LargeBar())
    recording = record(agent, LargeBar(), 0)
    assert recording.clean_frames is not None
    assert recording.clean_frames.shape == recording.frames.shape == (15, 16, 16, 3)
    assert (recording.clean_frames[5].argmax(1) == 5).all()


def fitted(
    agent: SequenceAlgorithm, updates: int = 2, **fields: Any
) -> tuple[pictures.ProbeDecoder, Recording]:
    recording = record(agent, Bar(), 0)._replace(**fields)
    return pictures.fit_decoder(agent, [recording], updates), recording


@pytest.mark.slow
def test_a_decoder_draws_the_clean_frame_and_leaves_the_model(make_agent: MakeAgent) -> None:
    agent = make_agent("core")
    before = {name: tensor.clone() for name, tensor in agent.policy.state_dict().items()}
    decoder, recording = fitted(agent, updates=150)
    for name, tensor in agent.policy.state_dict().items():
        assert torch.equal(tensor, before[name])
    shown = pictures.rows(agent, decoder, recording)
    assert recording.clean_frames is not None
    clean = recording.clean_frames[:, 2:14, 2:14]
    np.testing.assert_array_equal(shown["frame"], recording.frames[:, 2:14, 2:14])
    np.testing.assert_array_equal(shown["without\ndistractions"], clean)
    drawn = shown["latent state"].astype(float)
    error = np.abs(drawn - clean).mean()
    assert error < 0.4 * np.abs(clean.mean(0) - clean).mean()


def test_the_same_seed_draws_the_same(make_agent: MakeAgent) -> None:
    agent = make_agent("core")
    decoder, recording = fitted(agent)
    again = pictures.fit_decoder(agent, [recording], updates=2)
    torch.testing.assert_close(again.state_dict(), decoder.state_dict(), atol=0, rtol=0)


def test_the_frame_itself_is_drawn_where_nothing_is_told_to_be_clean(
    make_agent: MakeAgent,
) -> None:
    agent = make_agent("core")
    decoder, recording = fitted(agent, clean_frames=None)
    shown = pictures.rows(agent, decoder, recording)
    assert "without\ndistractions" not in shown
    mean = recording.frames[:, 2:14, 2:14].mean((0, 3))
    assert abs(255 * decoder.mean.mean(-1).numpy() - mean).max() < 1


def test_what_is_imagined_follows_from_the_first_ten_frames_and_the_actions(
    make_agent: MakeAgent,
) -> None:
    agent = make_agent("core")
    decoder, recording = fitted(agent)
    shown = pictures.rows(agent, decoder, recording, seed=3)
    np.testing.assert_array_equal(shown["imagined"][:10], shown["latent state"][:10])
    model, policy = agent.world_model, agent.policy
    actions = torch.from_numpy(policy.actions.to_model(recording.actions))
    with torch.no_grad():
        _, posterior = observe(agent, recording)
        state = posterior.at(slice(9, 10))
        noise = model.noise(torch.Generator().manual_seed(3), 5, 1)
        for t in range(5):
            drawn = Noise(*(draws[t] for draws in noise))
            state = model.dynamics.predict(state, actions[9 + t : 10 + t], drawn.prior)
            expected = (255 * decoder(state)).round().clamp(0, 255)[0]
            np.testing.assert_allclose(shown["imagined"][10 + t], expected, atol=1)
    other = recording._replace(
        frames=np.concatenate([recording.frames[:10], 0 * recording.frames[10:]])
    )
    np.testing.assert_array_equal(
        pictures.rows(agent, decoder, other, seed=3)["imagined"], shown["imagined"]
    )


@pytest.mark.parametrize(
    ("variant", "further"),
    [
        ("sac-rad", set()),
        ("rsac", set()),
        ("gated", {"mask", "expected\n(prior)", "imagined"}),
        ("recon", {"its own\ndecoder", "expected\n(prior)", "imagined"}),
        ("no-recurrence", {"expected\n(prior)", "imagined"}),
    ],
)
def test_models_of_other_systems_show_what_they_have(
    make_agent: MakeAgent, variant: str, further: set[str]
) -> None:
    agent = make_agent(variant)
    decoder, recording = fitted(agent)
    shown = pictures.rows(agent, decoder, recording)
    assert shown.keys() == {"frame", "without\ndistractions", "latent state"} | further
    assert {frames.shape for frames in shown.values()} == {(LENGTH + 1, 12, 12, 3)}


def test_the_mask_is_the_gate_of_each_frame(make_agent: MakeAgent) -> None:
    agent = make_agent("gated")
    gate = agent.world_model.encoder.gate
    assert gate is not None and isinstance(agent.config.world_model.encoder.gate, GateConfig)
    decoder, recording = fitted(agent)
    shown = pictures.rows(agent, decoder, recording)["mask"]
    with torch.no_grad():
        pixels = torch.from_numpy(recording.frames[5:6, 2:14, 2:14]) / 255
        expected = 255 * gate(pixels)[0]
    np.testing.assert_allclose(shown[5, :, :, :1], expected, atol=1)


def test_a_strip_and_a_video_are_written(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent("core")
    decoder, recording = fitted(agent)
    shown = pictures.rows(agent, decoder, recording)
    short = {title: frames[:9] for title, frames in shown.items()}
    figure = pictures.strip(shown)
    assert len(figure.axes) == 5 * 6
    assert [axis.get_title() for axis in figure.axes[:6]] == [
        f"t = {t}" for t in (0, 3, 6, 9, 10, 12)
    ]
    pictures.write(tmp_path / "new" / "strip.png", [shown], 30)
    assert (tmp_path / "new" / "strip.png").stat().st_size > 5_000
    pictures.write(tmp_path / "episodes.mp4", [shown, short], 30)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "episodes.mp4"))
    assert next(reader)["size"] == (2 * 120, 5 * 120)
    assert sum(1 for _ in reader) == 9


def test_the_command_draws_a_model_of_the_hub_s_form(
    make_agent: MakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_agent("core").save_pretrained(tmp_path / "model")
    typed = ["picture", str(tmp_path / "model"), str(tmp_path / "strip.png")]
    fast = ["--training-episodes", "1", "--updates", "2"]
    assert cli.main([*typed, *fast]) == 0
    assert "strip.png shows" in capsys.readouterr().out
    for wrong, message in (
        (["--updates", "0"], "--updates must be at least 1, not 0."),
        (["--training-episodes", "0"], "--training-episodes must be at least 1, not 0."),
    ):
        assert cli.main([*typed, *wrong]) == 1
        assert message in capsys.readouterr().err
    assert cli.main(["picture", str(tmp_path / "model"), str(tmp_path / "strip.gif")]) == 1
    assert "ends neither in .png, for a strip, nor in .mp4, for a video" in capsys.readouterr().err


def test_nothing_to_learn_from_or_to_show_is_refused(make_agent: MakeAgent, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one episode to learn from"):
        pictures.fit_decoder(make_agent("core"), [])
    with pytest.raises(ValueError, match="There is no episode to show"):
        pictures.write(tmp_path / "strip.png", [], 30)
