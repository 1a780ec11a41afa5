"""What a model sees, expects and imagines, as pictures (Figure 5, Appendix D of the paper)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from core_repr.agent import SequenceAlgorithm
from core_repr.evaluation.plots import save_figure
from core_repr.evaluation.recorded import Recording, observe, record, to_model
from core_repr.evaluation.video import upscale, write_video
from core_repr.files.places import check_file
from core_repr.world_model import LatentState, Noise
from core_repr.world_model.encoders.frames import center_crop
from core_repr.world_model.layers import mlp
from core_repr.world_model.objectives import Reconstruction
from core_repr.world_model.pixel_decoder import PixelDecoder, as_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UPDATES = 1_000
"""After so many updates, a decoder draws what there is to draw."""

LEAST_DEVIATION = 0.03
"""Added to what a pixel varies by, of 1: what hardly changes need not be drawn exactly."""

BATCH_SIZE, HIDDEN_SIZE = 64, 512
FILTERS = (128, 64, 32, 16)
LEARNING_RATE = 1e-3

SEEN_FRAMES = 10
"""Frames that a model sees before it imagines."""

MOMENTS = (0, 3, 6, 9, 10, 12, 15, 20, 30, 40)
"""Frames of an episode that a strip shows."""

Frames = UInt8[np.ndarray, "n side side 3"]


class ProbeDecoder(nn.Module):
    """Draws frames from latent states, and leaves the model as it is.

    A clean frame that comes from a distracted episode shows what the latent state keeps of the
    scene, and drops of its distractions.

    Args:
        latent_size: Size of the latent state's features.
        mean: The mean frame; what is learned is how a frame differs from it.
        deviation: The standard deviation of each pixel, the unit of that.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        latent_size: int,
        mean: Float[Tensor, "side side 3"],
        deviation: Float[Tensor, "side side 3"],
    ) -> None:
        super().__init__()
        self.hidden = mlp(latent_size, (HIDDEN_SIZE,))
        self.pixels = PixelDecoder(HIDDEN_SIZE, FILTERS, len(mean))
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation + LEAST_DEVIATION)

    def forward(self, state: LatentState) -> Float[Tensor, "*batch side side 3"]:
        """Returns frames, about [0, 1]."""
        difference = self.pixels(self.hidden(state.sample_features))
        frames: Tensor = self.mean + self.deviation * difference
        return frames

    def loss(
        self, state: LatentState, frames: Float[Tensor, "*batch side side 3"]
    ) -> Float[Tensor, ""]:
        """Returns the squared error, each pixel in units of its own standard deviation."""
        error: Tensor = (self(state) - frames) / self.deviation
        return error.square().mean()


def fit_decoder(
    agent: SequenceAlgorithm,
    recordings: Sequence[Recording],
    updates: int = UPDATES,
    seed: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> ProbeDecoder:
    """Trains a decoder to draw the frames of recorded episodes from their latent states.

    Args:
        agent: The agent and its model, which stay as they are.
        recordings: Episodes; their clean frames are what is drawn, where there are any.
        updates: Of 64 frames each.
        seed: Draws the mini-batches and the weights at the start.
        progress: Called after each update.

    Raises:
        ValueError: If there is no episode.
    """
    if not recordings:
        raise ValueError("A decoder needs at least one episode to learn from.")
    side = int(agent.config.world_model.crop_size)
    states = [observe(agent, recording)[1] for recording in recordings]
    first, *others = states
    state = first.map(lambda *fields: torch.cat(fields).clone(), *others)
    target = torch.cat([torch.from_numpy(_shown(each, side)) for each in recordings])
    mean, deviation = _moments(target)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = ProbeDecoder(agent.world_model.latent_size, mean, deviation).to(agent.device)
    optimizer = torch.optim.Adam(decoder.parameters(), LEARNING_RATE)
    for _ in range(updates):
        chosen = torch.randint(len(target), (BATCH_SIZE,), generator=generator)
        frames = as_target(target[chosen]).to(agent.device)
        loss = decoder.loss(state.at(chosen.to(agent.device)), frames)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress()
    return decoder.eval()


def see(
    agent: SequenceAlgorithm,
    training: gym.Env[Any, Any],
    validation: gym.Env[Any, Any],
    *,
    episodes: int = 1,
    seed: int = 0,
    training_episodes: int = 20,
    updates: int = UPDATES,
    progress: Callable[[str, int], Callable[[], object]] = lambda what, count: lambda: None,
) -> list[dict[str, Frames]]:
    """Fits a decoder to episodes of the training, and shows validation episodes with it.

    Args:
        agent: The agent and its model, which stay as they are.
        training: The environment of the training.
        validation: The same with backgrounds that the training has not seen.
        episodes: How many to show.
        seed: Of the first of them.
        training_episodes: That the decoder learns from; every other one is random.
        updates: How often it does so.
        progress: Called with what begins, "episode" or "update", and how many; what it returns is
            called after each.

    Returns:
        For each episode, what :func:`rows` returns.
    """
    agent.set_env(training)
    # The decoder's own seeds, behind those of the episodes that are shown.
    first = seed + episodes
    finished = progress("episode", training_episodes + episodes)
    learned, seen = [], []
    for episode in range(training_episodes):
        learned.append(record(agent, training, first + episode, at_random=episode % 2 == 1))
        finished()
    for episode in range(episodes):
        seen.append(record(agent, validation, seed + episode, deterministic=True))
        finished()
    decoder = fit_decoder(agent, learned, updates, progress=progress("update", updates))
    return [rows(agent, decoder, recording) for recording in seen]


def _moments(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of each pixel of many frames, in units of 1."""
    total = torch.zeros(frames.shape[1:], dtype=torch.float64)
    squares = total.clone()
    for part in frames.split(256):
        pixels = as_target(part).double()
        total += pixels.sum(0)
        squares += pixels.square().sum(0)
    mean = total / len(frames)
    deviation = (squares / len(frames) - mean.square()).clamp(min=0).sqrt()
    return mean.float(), deviation.float()


def _shown(recording: Recording, side: int) -> Frames:
    """Returns the centre of the clean frames, or of the frames where there are none."""
    frames = recording.frames if recording.clean_frames is None else recording.clean_frames
    cropped: Frames = center_crop(torch.from_numpy(frames), side).contiguous().numpy()
    return cropped


@torch.inference_mode()
def rows(
    agent: SequenceAlgorithm, decoder: ProbeDecoder, recording: Recording, seed: int = 0
) -> dict[str, Frames]:
    """Returns title → frames of an episode, in the order that pictures show them.

    They are the frame, the clean frame where there is one, the mask of a model with a gating
    network, what the decoder draws of the posterior, of the prior where there is one, and of what
    the model imagines after its first ten frames, told nothing but the actions; and, for a model
    that decodes frames itself, what it draws.

    Args:
        agent: The agent and its model.
        decoder: What :func:`fit_decoder` returned.
        recording: An episode.
        seed: Draws what is imagined.
    """
    model = agent.world_model
    side = int(model.config.world_model.crop_size)
    prior, posterior = observe(agent, recording)
    frames = center_crop(torch.from_numpy(recording.frames), side).contiguous()
    found = {"frame": frames.numpy()}
    if recording.clean_frames is not None:
        found["without\ndistractions"] = _shown(recording, side)
    if model.encoder.gate is not None:
        is_first = torch.zeros(len(frames), 1, dtype=torch.bool)
        is_first[0] = True
        stacked = model.stack(frames[:, None], is_first)[:, 0].to(model.device)
        mask = torch.cat([model.encoder.mask(part) for part in stacked.split(BATCH_SIZE)])
        found["mask"] = _pixels(mask[..., None].expand(*mask.shape, 3))
    found["latent state"] = _drawn(decoder, posterior)
    if prior is None:
        return found
    found["expected\n(prior)"] = _drawn(decoder, prior)
    found["imagined"] = _drawn(decoder, _imagined(agent, recording, posterior, seed))
    own = dict(model.objectives.items()).get("frames")
    if isinstance(own, Reconstruction):
        found["its own\ndecoder"] = _drawn(own.decode, prior)
    return found


def _imagined(
    agent: SequenceAlgorithm, recording: Recording, posterior: LatentState, seed: int
) -> LatentState:
    """Returns the posterior of the first frames, and what the prior's samples make of the last."""
    model = agent.world_model
    seen = min(SEEN_FRAMES, len(recording.frames))
    actions = torch.from_numpy(to_model(agent, recording)[seen - 1 : -1])[:, None]
    if not len(actions):
        return posterior
    generator = torch.Generator().manual_seed(seed)
    drawn: Noise = model.noise(generator, len(actions), 1)
    last = posterior.at(slice(seen - 1, seen))
    imagined = model.imagine(last, actions.to(model.device), drawn)
    return posterior.at(slice(0, seen)).map(
        lambda known, further: torch.cat([known, further[:, 0]]), imagined
    )


def _drawn(decode: Callable[[LatentState], Tensor], state: LatentState) -> Frames:
    parts = [
        decode(state.at(slice(start, start + BATCH_SIZE)))
        for start in range(0, len(state.h), BATCH_SIZE)
    ]
    return _pixels(torch.cat(parts))


def _pixels(frames: Tensor) -> Frames:
    pixels: NDArray[np.uint8] = (255 * frames).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return pixels


def strip(shown: Mapping[str, Frames], moments: Sequence[int] = MOMENTS) -> Figure:
    """Draws moments of an episode from left to right, a row for each thing that is shown.

    Args:
        shown: What :func:`rows` returned.
        moments: Numbers of frames; those that the episode has not are left out.
    """
    from matplotlib.figure import Figure

    count = len(next(iter(shown.values())))
    columns = [moment for moment in moments if moment < count]
    figure = Figure(figsize=(1.1 * len(columns) + 1.2, 1.1 * len(shown) + 0.4))
    axes = figure.subplots(len(shown), len(columns), squeeze=False)
    for row, (title, frames) in zip(axes, shown.items(), strict=True):
        row[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
        for axis, moment in zip(row, columns, strict=True):
            axis.imshow(frames[moment], interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            unseen = title == "imagined" and moment >= SEEN_FRAMES
            for spine in axis.spines.values():
                spine.set(color="tab:orange" if unseen else "none", linewidth=2)
    for axis, moment in zip(axes[0], columns, strict=True):
        axis.set_title(f"t = {moment}", fontsize=9)
    figure.subplots_adjust(
        left=1.1 / figure.get_figwidth(),
        right=0.995,
        bottom=0.01,
        top=1 - 0.35 / figure.get_figheight(),
        hspace=0.06,
        wspace=0.06,
    )
    return figure


def check_place(path: str | os.PathLike[str]) -> None:
    """Refuses a path that is neither a picture nor a video, or that cannot be written to.

    Raises:
        ValueError: If it does not end in ``.png`` or ``.mp4``.
        OSError: If it cannot be written to.
    """
    if Path(path).suffix not in (".png", ".mp4"):
        raise ValueError(f"{path} ends neither in .png, for a strip, nor in .mp4, for a video")
    check_file(Path(path))


def write(
    path: str | os.PathLike[str], episodes: Sequence[Mapping[str, Frames]], fps: float
) -> None:
    """Writes the strip of the first episode, or a video with a column for each.

    Args:
        path: Ending in ``.png`` or ``.mp4``. Missing folders are made.
        episodes: What :func:`rows` returned for each.
        fps: Frames a second of a video.

    Raises:
        ValueError: If there is no episode, or the path has another ending.
        OSError: If it cannot be written.
    """
    check_place(path)
    if not episodes:
        raise ValueError("There is no episode to show.")
    if Path(path).suffix == ".png":
        save_figure(strip(episodes[0]), path, dpi=150)
        return
    factor = max(1, 128 // next(iter(episodes[0].values())).shape[1])
    columns = [np.concatenate([*shown.values()], 1) for shown in episodes]
    shortest = min(map(len, columns))
    pictures = np.concatenate([column[:shortest] for column in columns], 2)
    write_video(path, (upscale(picture, factor) for picture in pictures), fps)
