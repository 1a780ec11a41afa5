from __future__ import annotations

import errno
import itertools
import json
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core_repr.agent import SequenceReplayBuffer, episode_store
from core_repr.agent.segments import Segment
from core_repr.world_model import SequenceBatch

SIDE = 8


class Reference(NamedTuple):
    """An episode that was added, for comparison."""

    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: bool


def make_episode(number: int, steps: int, terminated: bool) -> Reference:
    """Pixels tell where they are from: the episode, then the step × 16 + row, then the column."""
    frames = np.zeros((steps + 1, SIDE, SIDE, 3), np.uint8)
    frames[..., 0] = number
    frames[..., 1] = np.arange(steps + 1)[:, None, None] * 16 + np.arange(SIDE)[:, None]
    frames[..., 2] = np.arange(SIDE)
    rng = np.random.default_rng(number)
    actions = rng.uniform(-1, 1, (steps, 2)).astype(np.float32)
    return Reference(frames, actions, rng.normal(size=steps).astype(np.float32), terminated)


def add(buffer: SequenceReplayBuffer, episode: Reference, env: int = 0) -> None:
    for frame, action, reward in zip(
        episode.frames, episode.actions, episode.rewards, strict=False
    ):
        buffer.add(env, frame, action, float(reward))
    buffer.end_episode(env, episode.frames[-1], terminated=episode.terminated)


def make_buffer(size: int = 60, seed: int = 0) -> SequenceReplayBuffer:
    return SequenceReplayBuffer(size, (SIDE, SIDE, 3), 2, seed)


class Piece(NamedTuple):
    """So many frames of an episode from one of its steps on."""

    episode: int
    first: int
    count: int


def check_sequence(batch: SequenceBatch, b: int, episodes: dict[int, Reference]) -> list[Piece]:
    """Asserts that sequence b is a faithful copy; returns its pieces."""
    frames, actions, rewards, is_first, terminated, mask, _ = (
        field[:, b].numpy() for field in batch
    )
    starts, end = np.flatnonzero(is_first).tolist(), int(mask.sum())
    assert starts[0] == 0 and mask[:end].all() and end >= len(mask) - 1
    pieces = []
    for start, over in itertools.pairwise([*starts, end]):
        number, row, _ = frames[start, 0, 0]
        first, episode = int(row // 16), episodes[int(number)]
        steps = len(episode.actions)
        # No piece stops before its episode or the sequence does.
        assert over - start == min(len(mask) - start, steps + 1 - first) >= 2
        for t in range(over - start):
            at, last = start + t, first + t == steps
            assert np.array_equal(frames[at], episode.frames[first + t])
            assert np.array_equal(actions[at], [0, 0] if last else episode.actions[first + t])
            assert rewards[at] == (0 if last else episode.rewards[first + t])
            assert terminated[at] == (episode.terminated and first + t == steps - 1)
        pieces.append(Piece(int(number), first, over - start))
    for padded in (frames, actions, rewards, is_first, terminated):
        assert not padded[end:].any()
    return pieces


@given(
    lengths=st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=15),
    size=st.integers(13, 40),
    num_envs=st.integers(1, 3),
    length=st.integers(2, 9),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_sequences_are_copies_from_one_of_the_newest_episodes(
    lengths: list[tuple[int, bool]], size: int, num_envs: int, length: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    buffer = make_buffer(size, seed)
    episodes = {i: make_episode(i, *choice) for i, choice in enumerate(lengths)}
    # The environments take turns at random, so that their episodes are interleaved.
    waiting = list(episodes)
    running: dict[int, tuple[int, int]] = {}
    finished: list[int] = []
    while waiting or running:
        env = int(rng.integers(num_envs))
        if env not in running:
            if waiting:
                running[env] = waiting.pop(0), 0
            continue
        number, step = running[env]
        episode = episodes[number]
        if step < len(episode.actions):
            frame = episode.frames[step].copy()
            action = episode.actions[step].copy()
            buffer.add(env, frame, action, float(episode.rewards[step]))
            # An environment may use its arrays again.
            frame[:], action[:] = 0, 0
            running[env] = number, step + 1
        else:
            buffer.end_episode(env, episode.frames[-1], terminated=episode.terminated)
            finished.append(number)
            del running[env]

    kept: list[int] = []
    for number in reversed(finished):
        if sum(len(episodes[other].frames) for other in [number, *kept]) > size:
            break
        kept.append(number)
    assert len(buffer) == sum(len(episodes[number].actions) for number in kept)

    batch = buffer.sample(64, length)
    assert batch.frames.shape == (length, 64, SIDE, SIDE, 3)
    seen = {piece.episode for b in range(64) for piece in check_sequence(batch, b, episodes)}
    assert seen <= set(kept)


def test_each_frame_takes_one_slot() -> None:
    buffer = make_buffer(size=27)
    for number in range(3):
        add(buffer, make_episode(number, 8, False))
    # 3 × (8 steps + the last frame) fill 27 slots; not one episode had to go.
    assert len(buffer.episodes) == 3 and len(buffer) == 24
    add(buffer, make_episode(3, 1, False))
    assert len(buffer.episodes) == 3 and len(buffer) == 17


def test_starts_are_uniform_inside_the_episodes() -> None:
    buffer = make_buffer()
    episodes = {0: make_episode(0, 12, False), 1: make_episode(1, 5, False)}
    for episode in episodes.values():
        add(buffer, episode)
    batch = buffer.sample(6_000, 4)
    counts: dict[tuple[int, int], int] = {}
    for b in range(6_000):
        (piece,) = check_sequence(batch, b, episodes)
        start = piece.episode, piece.first
        counts[start] = counts.get(start, 0) + 1
    # 13 frames have 10 starts of 4 frames, 6 frames have 3.
    assert set(counts) == {(0, i) for i in range(10)} | {(1, i) for i in range(3)}
    # Each start is hit 462 ± 21 times.
    assert all(abs(count - 6_000 / 13) < 5 * 21 for count in counts.values())


def test_what_an_episode_terminated_in_comes_as_often_as_the_rest() -> None:
    buffer = make_buffer(80)
    episodes = {0: make_episode(0, 15, True), 1: make_episode(1, 12, False)}
    for episode in episodes.values():
        add(buffer, episode)
    batch = buffer.sample(9_000, 4)
    seen = np.zeros((2, 16))
    for b in range(9_000):
        (piece,) = check_sequence(batch, b, episodes)
        seen[piece.episode, piece.first : piece.first + 4] += 1
    # Of 15 + 10 places to start at, each is hit 360 ± 19 times.
    place = 9_000 / 25
    whole = [1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 6, 5, 4, 3]
    cut_off = [1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 3, 2, 1, 0, 0, 0]
    for number, expected in ((0, whole), (1, cut_off)):
        assert np.abs(seen[number] / place - expected).max() < 0.6, number


@pytest.mark.parametrize("terminated", [True, False])
def test_short_episodes_fill_a_sequence_and_come_as_often_as_steps_of_long_ones(
    terminated: bool,
) -> None:
    buffer = make_buffer(80)
    episodes = {0: make_episode(0, 15, True), 1: make_episode(1, 2, terminated)}
    for episode in episodes.values():
        add(buffer, episode)
    batch = buffer.sample(6_000, 5)
    seen, joined = np.zeros((2, 16)), 0
    for b in range(6_000):
        pieces = check_sequence(batch, b, episodes)
        joined += len(pieces) > 1
        steps = pieces[0].first + np.arange(1, pieces[0].count)
        seen[pieces[0].episode, steps] += 1
    assert joined == seen[1, 1] > 0
    # Steps in the middle of the long one, and those of the short one.
    assert abs(seen[1, 1:3] / seen[0, 5:10].mean() - 1).max() < 0.1


def test_steps_and_stacks_of_an_episode_that_terminated_are_as_likely_as_others() -> None:
    for terminated in (False, True):
        buffer = make_buffer()
        add(buffer, make_episode(0, 5, terminated))
        batch = buffer.sample(4_000, 4, lead=2)
        steps = batch.frames[2, :, 0, 0, 1].div(16, rounding_mode="floor").bincount(minlength=6)
        # The last two of four frames are a step; there are five.
        assert steps.tolist()[5] == 0 and (steps[:5] - 800).abs().max() < 130


def test_truncation_is_not_termination() -> None:
    for terminated in (False, True):
        buffer = make_buffer()
        add(buffer, make_episode(0, 4, terminated))
        flags = buffer.sample(1, 5).terminated[:, 0].tolist()
        assert flags == [False, False, False, terminated, False]


def test_flags_of_an_overwritten_episode_are_cleared() -> None:
    buffer = make_buffer(size=10)
    add(buffer, make_episode(0, 4, True))
    add(buffer, make_episode(1, 4, True))
    add(buffer, make_episode(2, 9, False))
    assert not buffer.sample(8, 10).terminated.any()


def test_the_same_seed_samples_the_same() -> None:
    batches = []
    for seed in (1, 1, 2):
        buffer = make_buffer(seed=seed)
        add(buffer, make_episode(0, 12, False))
        batches.append(buffer.sample(16, 4).frames.numpy())
    assert np.array_equal(batches[0], batches[1])
    assert not np.array_equal(batches[0], batches[2])


def test_steps_of_an_unfinished_episode_are_neither_sampled_nor_kept_after_a_reset() -> None:
    buffer = make_buffer()
    episode = make_episode(0, 4, False)
    for env in (0, 1):
        buffer.add(env, episode.frames[3], episode.actions[3], 9.0)
    with pytest.raises(ValueError, match="no finished episode"):
        buffer.sample(1, 4)
    buffer.discard_staged()
    add(buffer, episode, env=1)
    assert len(buffer) == 4
    check_sequence(buffer.sample(1, 5), 0, {0: episode})


def test_an_episode_larger_than_the_buffer_is_refused_and_the_rest_stays() -> None:
    buffer = make_buffer(size=8)
    fitting = make_episode(0, 7, False)
    add(buffer, fitting)
    with pytest.raises(ValueError, match=r"8 steps or more does not fit a replay buffer of 8"):
        add(buffer, make_episode(1, 8, False))
    check_sequence(buffer.sample(1, 8), 0, {0: fitting})


# On the disk


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episode_store, "SEGMENT_SLOTS", 20)


def make_stored(folder: Path, size: int = 60) -> SequenceReplayBuffer:
    return SequenceReplayBuffer(size, (SIDE, SIDE, 3), 2, 0, folder)


def assert_same_samples(one: SequenceReplayBuffer, two: SequenceReplayBuffer) -> None:
    for field, expected in zip(one.sample(32, 6), two.sample(32, 6), strict=True):
        assert torch.equal(field, expected)


def as_json(manifest: dict[str, Any]) -> Any:
    return json.loads(json.dumps(manifest))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=25))
@settings(deadline=None, max_examples=25)
def test_a_buffer_on_the_disk_is_like_one_in_memory(lengths: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stored, plain = make_stored(Path(folder) / "replay"), make_buffer()
        for number, length in enumerate(lengths):
            for buffer in (stored, plain):
                add(buffer, make_episode(number, length, number % 2 == 0))
        assert len(stored) == len(plain)
        assert_same_samples(stored, plain)
        restored = make_stored(Path(folder) / "replay")
        restored.restore(as_json(stored.manifest()))
        assert_same_samples(restored, plain)
        # And it continues.
        for number in range(3):
            for buffer in (restored, plain):
                add(buffer, make_episode(number, 7, False))
        assert_same_samples(restored, plain)


def test_files_are_only_appended_to_and_deleted_after_a_checkpoint(tmp_path: Path) -> None:
    buffer = make_stored(tmp_path)
    buffer.deletes_later = True
    written: dict[str, bytes] = {}
    before: set[str] = set()
    for number in range(40):
        add(buffer, make_episode(number, 8, False))
        manifest = buffer.manifest()
        named = {entry["file"]: entry["used"] for entry in manifest["segments"]}
        now = files(tmp_path)
        for name, used in named.items():
            content = now[name][: used * buffer.dtype.itemsize]
            assert content.startswith(written.get(name, b""))
            written[name] = content
        if number % 5 == 4:
            assert named.keys() <= now.keys()
            buffer.delete_dropped()
            # Two at most hold less than the rest.
            assert len(files(tmp_path)) <= 60 / 18 + 2
        else:
            assert before <= now.keys()
        before = set(files(tmp_path))


def test_what_came_after_a_checkpoint_is_taken_back(tmp_path: Path) -> None:
    buffer, plain = make_stored(tmp_path), make_buffer()
    buffer.deletes_later = True
    for number in range(8):
        add(buffer, make_episode(number, 8, False))
        add(plain, make_episode(number, 8, False))
    manifest = as_json(buffer.manifest())
    for number in range(8, 30):
        add(buffer, make_episode(number, 8, False))
    restored = make_stored(tmp_path)
    restored.restore(manifest)
    assert_same_samples(restored, plain)
    assert files(tmp_path).keys() == {entry["file"] for entry in manifest["segments"]}
    size = sum(len(content) for content in files(tmp_path).values())
    assert size == sum(entry["used"] for entry in manifest["segments"]) * buffer.dtype.itemsize


def test_a_full_disk_leaves_what_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer, plain = make_stored(tmp_path), make_buffer()
    for each in (buffer, plain):
        add(each, make_episode(0, 8, True))

    def write(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", write)
        with pytest.raises(OSError, match="No space left"):
            add(buffer, make_episode(1, 8, False))
    assert_same_samples(buffer, plain)
    for each in (buffer, plain):
        add(each, make_episode(2, 8, False))
    assert_same_samples(buffer, plain)


def test_the_files_of_another_buffer_are_refused(tmp_path: Path) -> None:
    add(make_stored(tmp_path), make_episode(0, 8, False))
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match="another replay buffer"):
        add(make_stored(tmp_path), make_episode(1, 8, False))
    assert files(tmp_path) == before


@pytest.mark.parametrize("stored", [False, True])
def test_what_gave_way_is_freed(tmp_path: Path, stored: bool) -> None:
    """However much was added, what is held is never more than the buffer and two segments."""
    alive: weakref.WeakSet[Segment] = weakref.WeakSet()
    buffer = make_stored(tmp_path) if stored else make_buffer()
    rng = np.random.default_rng(0)
    for number in range(600):
        add(buffer, make_episode(number % 200, int(rng.integers(1, 20)), False))
        alive.add(buffer.episodes[-1].segment)
        assert sum(segment.used for segment in alive) <= 60 + 2 * 20
        assert len(alive) <= 8
    if stored:
        assert len(files(tmp_path)) <= 8


def test_a_hundred_thousand_steps_take_three_gigabytes() -> None:
    """Of 100 × 100 pixels: frames, and what belongs to them, once."""
    buffer = SequenceReplayBuffer(100_000, (100, 100, 3), 6)
    assert (100_000 + 2 * 512 + 2_000) * buffer.dtype.itemsize <= 3.1e9
