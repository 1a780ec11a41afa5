"""Generated clips with the statistics of natural video.

Each clip is a scene of overlapping textured shapes ("dead leaves", whose edges and occlusions give
the 1/f amplitude spectrum of natural pictures), seen by a camera that pans and zooms, with objects
that cross it. Luminance varies widely, and the colour channels go together. Everything follows
from the split and the clip's number; pixels are computed in integers, so that every machine gets
the same ones.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NUM_CLIPS = {"train": 60, "val": 30}
"""How many different clips each split has."""

VERSION = 2
"""Part of every seed and of every cached file's name; goes up when a pixel changes."""

_SPLIT_SEED = {"train": 0, "val": 1}
_CANVAS = 320
_LEAVES = 200


def procedural_clip(split: str, index: int, size: int) -> NDArray[np.uint8]:
    """Generates a clip.

    Args:
        split: "train" or "val"; the two share no seed.
        index: The clip's number in its split.
        size: Height and width in pixels. The scene is the same in every size.

    Returns:
        Shape (frames, size, size, 3), with 60 to 100 frames.
    """
    rng = np.random.default_rng([VERSION, _SPLIT_SEED[split], index])
    length = int(rng.integers(60, 101))
    canvas = _canvas(rng)
    objects = [_Object(rng, length) for _ in range(int(rng.integers(2, 6)))]
    exposure = np.round(256 * (1 + 0.08 * smooth_path(rng, length))).astype(np.int64)

    # Share of the canvas's side in view, and the view's middle, in texels.
    view = _CANVAS * rng.uniform(0.4, 0.7) * np.exp(0.12 * smooth_path(rng, length))
    speed = _CANVAS * rng.uniform(0.02, 0.12)
    middle = rng.uniform(0, _CANVAS, (2, 1)) + speed * np.stack(
        [0.5 * smooth_path(rng, length), smooth_path(rng, length)]
    )
    grid = (np.arange(size) + 0.5) / size - 0.5
    frames = np.empty((length, size, size, 3), np.uint8)
    for t in range(length):
        rows, columns = middle[:, t, None] + view[t] * grid
        frame = resample(canvas, rows, columns)
        for thing in objects:
            thing.paint(frame, t)
        frames[t] = np.minimum(frame.astype(np.uint32) * int(exposure[t]) >> 8, 255)
    return frames


def resample(
    image: NDArray[np.uint8], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Samples an image bilinearly on a grid; the image repeats beyond its edges.

    Args:
        image: Shape (height, width, channels).
        rows: Vertical positions, in pixels, shape (n,).
        columns: Horizontal positions, in pixels, shape (m,).

    Returns:
        Shape (n, m, channels).
    """

    def split(positions: NDArray[np.float64], length: int) -> tuple[NDArray[np.int64], ...]:
        fixed = np.round(positions * 128).astype(np.int64)
        whole = fixed >> 7
        return whole % length, (whole + 1) % length, fixed & 127

    above, below, share = split(rows, image.shape[0])
    weight = share.astype(np.uint16)[:, None, None]
    wide = image[above] * (128 - weight) + image[below] * weight >> 7
    left, right, share = split(columns, image.shape[1])
    weight = share.astype(np.uint16)[None, :, None]
    sampled = wide[:, left] * (128 - weight) + wide[:, right] * weight >> 7
    return sampled.astype(np.uint8)


def smooth_path(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """Returns a path of unit size and no sudden turns: a drift and some waves, shape (length,)."""
    time = np.arange(length) / 80
    path = rng.normal(0, 1.0) * (time - 0.4)
    for frequency in (1, 2, 4):
        phase = rng.uniform(0, 2 * math.pi)
        path = path + rng.normal(0, 0.6 / frequency) * np.sin(
            2 * math.pi * frequency * time + phase
        )
    return path


def _noise(rng: np.random.Generator, size: int, exponent: float) -> NDArray[np.float64]:
    """Returns seamless noise whose amplitude falls as frequency^-exponent, shape (size, size)."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = math.inf
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * frequency**-exponent
    noise: NDArray[np.float64] = np.fft.irfft2(spectrum, (size, size))
    noise /= noise.std()
    return noise


def _color(rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns a colour in [0, 255]³: any luminance, mostly muted, seldom vivid."""
    luminance = 255 * rng.beta(0.9, 1.1)
    warmth, tint = 255 * rng.exponential([0.06, 0.025]) * rng.choice([-1.0, 1.0], 2)
    return np.clip(luminance + np.array([warmth, tint, -warmth]), 0, 255)


def _canvas(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns a seamless scene of dead leaves, shape (_CANVAS, _CANVAS, 3)."""
    size = _CANVAS
    shading = _noise(rng, size, 1.2)
    hue = _noise(rng, size, 1.3)
    grain = np.stack([shading + 0.25 * hue, shading, shading - 0.25 * hue], axis=-1)
    palette = [_color(rng) for _ in range(8)]
    contrast = rng.uniform(10, 45, 8)

    picture: NDArray[np.float64] = palette[0] + contrast[0] * grain
    smallest, largest = 3.0, 90.0
    for _ in range(_LEAVES):
        # Scale invariance: the number of leaves of a radius falls as its third power.
        u = rng.uniform(largest**-1.2, smallest**-1.2)
        radius = u ** (-1 / 1.2)
        stretch, tilt = rng.uniform(0.35, 1.0), rng.uniform(0, math.pi)
        row, column = rng.integers(0, size, 2)
        which = int(rng.integers(8))
        shift = 24 * rng.standard_normal()

        reach = math.ceil(radius)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        along = x * math.cos(tilt) + y * math.sin(tilt)
        across = (y * math.cos(tilt) - x * math.sin(tilt)) / stretch
        angular = rng.uniform() < 0.4
        distance = np.maximum(abs(along), abs(across)) if angular else np.hypot(along, across)
        inside = np.clip(radius * (0.7 if angular else 1.0) - distance, 0, 1)[..., None]
        place = np.ix_((np.arange(-reach, reach + 1) + row) % size,
                       (np.arange(-reach, reach + 1) + column) % size)  # fmt: skip
        offset = rng.integers(0, size, 2)
        texture = grain[np.ix_((np.arange(2 * reach + 1) + offset[0]) % size,
                               (np.arange(2 * reach + 1) + offset[1]) % size)]  # fmt: skip
        leaf = palette[which] + shift + contrast[which] * texture
        picture[place] += inside * (leaf - picture[place])
    pixels: NDArray[np.uint8] = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    return pixels


class _Object:
    """A textured shape that moves across the view on a path of its own.

    Args:
        rng: What it is drawn from.
        length: Number of frames.
    """

    _SIZE = 96

    def __init__(self, rng: np.random.Generator, length: int) -> None:
        size = self._SIZE
        axis = np.linspace(-1, 1, size)
        squash = rng.uniform(0.5, 1.0)
        radius = np.hypot(axis[:, None], axis[None, :] / squash)
        outline = 0.72 - radius + 0.16 * _noise(rng, size, 1.8)
        # Nothing at the very edge, where sampling clamps.
        opaque = np.clip(outline * size / 4, 0, 1) * (radius.clip(0, 1) < 1)
        opaque[[0, -1]] = 0
        opaque[:, [0, -1]] = 0
        shading = _noise(rng, size, 1.1)[..., None] * rng.uniform(10, 50)
        stripes = np.sign(_noise(rng, size, 1.6) - rng.uniform(0.2, 1.5))[..., None] > 0
        color = np.where(stripes, _color(rng), _color(rng)) + shading
        self._pixels = np.dstack([np.clip(color, 0, 255), 255 * opaque]).round().astype(np.uint8)
        # Height in shares of the view; positions with the view's middle at 0.
        self._height = rng.uniform(0.12, 0.4) * np.exp(0.15 * smooth_path(rng, length))
        reach = rng.uniform(0.05, 0.35)
        self._row = rng.uniform(-0.25, 0.25) + 0.5 * reach * smooth_path(rng, length)
        self._column = rng.uniform(-0.3, 0.3) + reach * smooth_path(rng, length)

    def paint(self, frame: NDArray[np.uint8], t: int) -> None:
        """Paints the object onto frame number `t`, in place."""
        size = len(frame)

        def cover(middle: float) -> tuple[slice, NDArray[np.float64]]:
            extent = self._height[t] * size
            start = (0.5 + middle) * size - extent / 2
            first = max(0, math.ceil(start))
            last = min(size, math.floor(start + extent))
            inside = np.arange(first, max(first, last)) - start
            return slice(first, max(first, last)), inside * ((self._SIZE - 1) / extent)

        place_rows, rows = cover(self._row[t])
        place_columns, columns = cover(self._column[t])
        if not len(rows) or not len(columns):
            return
        sampled = resample(self._pixels, rows, columns).astype(np.int32)
        below = frame[place_rows, place_columns].astype(np.int32)
        opaque = sampled[..., 3:]
        frame[place_rows, place_columns] = (
            below + ((sampled[..., :3] - below) * opaque + 127) // 255
        )
