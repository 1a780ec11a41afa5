from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from core_repr.envs.clips.procedural import (
    NUM_CLIPS,
    VERSION,
    procedural_clip,
    resample,
)


def test_pixels_never_change_under_a_version() -> None:
    digest = hashlib.sha256(procedural_clip("train", 0, 16).tobytes()).hexdigest()
    assert (VERSION, digest[:16]) == (2, "ac11280fade0e89f")


def test_the_scene_is_the_same_in_every_size() -> None:
    small = procedural_clip("train", 1, 48).astype(float)
    large = procedural_clip("train", 1, 96).astype(float)
    assert len(small) == len(large)
    pooled = large.reshape(len(large), 48, 2, 48, 2, 3).mean(axis=(2, 4))
    correlation = np.corrcoef(small.ravel(), pooled.ravel())[0, 1]
    assert correlation > 0.9


def test_no_two_clips_are_alike() -> None:
    clips = {
        procedural_clip(split, index, 4)[0].tobytes() for split in NUM_CLIPS for index in range(3)
    }
    assert len(clips) == 6
    assert NUM_CLIPS == {"train": 60, "val": 30}


def test_statistics_of_natural_video() -> None:
    slopes, correlations = [], []
    for index in range(4):
        clip = procedural_clip("train", index, 96)
        assert clip.dtype == np.uint8 and clip.shape[1:] == (96, 96, 3)
        assert 60 <= len(clip) <= 100
        frame = clip[0].astype(float)
        luminance = frame.mean(axis=-1)
        assert luminance.std() > 15
        window = np.hanning(96)[:, None] * np.hanning(96)
        amplitude = np.abs(np.fft.fft2((luminance - luminance.mean()) * window))
        frequency = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(96))
        edges = np.geomspace(2 / 96, 0.45, 8)
        bands = [
            amplitude[(frequency >= low) & (frequency < high)].mean()
            for low, high in pairwise(edges)
        ]
        middles = np.log(np.sqrt(edges[:-1] * edges[1:]))
        slopes.append(np.polyfit(middles, np.log(bands), 1)[0])
        correlations.append(np.corrcoef(frame.reshape(-1, 3).T)[0, 2])
        # Neighbouring frames are alike, and not the same; distant ones differ.
        change = np.abs(np.diff(clip[:20].astype(int), axis=0)).mean()
        assert 0.5 < change < np.abs(clip[0].astype(int) - clip[40]).mean()
    # Photographs have slopes around −1.2 and red and blue that go together.
    assert -1.6 < np.mean(slopes) < -0.9
    assert np.mean(correlations) > 0.5


def test_resample_is_bilinear_and_repeats() -> None:
    image = np.array([[[0], [100]], [[200], [40]]], np.uint8)
    sampled = resample(image, np.array([0.0, 0.5, 2.0]), np.array([0.0, 0.5, -1.0]))
    expected = [[0, 50, 100], [100, 85, 70], [0, 50, 100]]
    assert sampled[..., 0].tolist() == pytest.approx(np.array(expected), abs=1)
