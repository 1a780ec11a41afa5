from __future__ import annotations

import gc
import multiprocessing
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core_repr.envs.clips import clip_cache

_fork = multiprocessing.get_context("fork")


def frames_of(key: str, size: int = 4, count: int = 3) -> NDArray[np.uint8]:
    seed = int.from_bytes(key.encode(), "little")
    return np.random.default_rng(seed).integers(256, size=(count, size, size, 3), dtype=np.uint8)


class Maker:
    """Makes the frames of a key, and counts how often it is asked to."""

    def __init__(self, key: str = "key", size: int = 4, count: int = 3) -> None:
        self.made = 0
        self.frames = frames_of(key, size, count)

    def __call__(self) -> NDArray[np.uint8]:
        self.made += 1
        return self.frames.copy()


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(clip_cache, "_mapped", {})
    monkeypatch.setattr(clip_cache, "_held", {})
    monkeypatch.setattr(clip_cache, "_unwritable", set())


@pytest.fixture
def forget(monkeypatch) -> Callable[[], None]:
    """Makes this process one that has read nothing yet."""
    return lambda: monkeypatch.setattr(clip_cache, "_mapped", {})


def test_made_once_for_all_processes(forget) -> None:
    make = Maker()
    first = clip_cache.fetch("key", 4, make)
    assert clip_cache.fetch("key", 4, make) is first
    forget()
    np.testing.assert_array_equal(clip_cache.fetch("key", 4, make), make.frames)
    assert make.made == 1
    assert len(list(clip_cache.folder().iterdir())) == 1


def test_frames_are_mapped_and_read_only() -> None:
    frames = clip_cache.fetch("key", 64, Maker(size=64))
    [path] = clip_cache.folder().iterdir()
    assert str(path) in Path("/proc/self/maps").read_text()
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 0


def test_every_damage_heals(forget) -> None:
    make = Maker()
    clip_cache.fetch("key", 4, make)
    [path] = clip_cache.folder().iterdir()
    whole = path.read_bytes()
    damaged = [b"", b"rubbish", whole[:-1], whole[:64], whole[:30], whole + b"\0"]
    damaged += [whole[:64] + bytes(len(whole) - 64)]
    padding = range(20, 24)
    for i in range(len(whole)):
        if i not in padding:
            damaged.append(whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :])
    for n, content in enumerate(damaged, 1):
        path.write_bytes(content)
        forget()
        np.testing.assert_array_equal(clip_cache.fetch("key", 4, make), make.frames)
        assert make.made == n + 1
        assert path.read_bytes() == whole


def test_another_version_is_made_anew(forget, monkeypatch) -> None:
    make = Maker()
    clip_cache.fetch("key", 4, make)
    forget()
    monkeypatch.setattr(clip_cache, "_VERSION", clip_cache._VERSION + 1)
    clip_cache.fetch("key", 4, make)
    forget()
    clip_cache.fetch("key", 4, make)
    assert make.made == 2


def test_another_size_or_key_under_the_same_name(forget, monkeypatch) -> None:
    path = clip_cache.folder() / "the-same.clip"
    monkeypatch.setattr(clip_cache, "_path", lambda key: path)
    clip_cache.fetch("one", 4, Maker("one"))
    for key, size in (("two", 4), ("one", 5)):
        forget()
        make = Maker(key, size)
        np.testing.assert_array_equal(clip_cache.fetch(key, size, make), make.frames)
        assert make.made == 1


def _build(keys: list[str], size: int, count: int) -> None:
    for key in keys:
        clip_cache.fetch(key, size, Maker(key, size, count))


def test_what_is_killed_half_way_is_never_taken_for_whole(forget) -> None:
    rng = random.Random(0)
    keys = [f"clip-{i}" for i in range(40)]
    cut_off = 0
    for _ in range(25):
        process = _fork.Process(target=_build, args=(keys, 128, 20))
        process.start()
        time.sleep(rng.uniform(0.002, 0.06))
        process.kill()
        process.join()
        cut_off += process.exitcode == -signal.SIGKILL
        forget()
        for key in keys:
            found = clip_cache._from_disk(key, 128)
            if found is None:
                break
            np.testing.assert_array_equal(found, frames_of(key, 128, 20))
        for path in clip_cache.folder().glob("*.clip"):
            if rng.random() < 0.5:
                path.unlink()
    assert cut_off
    make = Maker("clip-0", 128, 20)
    np.testing.assert_array_equal(clip_cache.fetch("clip-0", 128, make), make.frames)


def test_two_processes_build_at_once() -> None:
    keys = [f"clip-{i}" for i in range(10)]
    processes = [_fork.Process(target=_build, args=(keys, 64, 10)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(list(clip_cache.folder().iterdir())) == len(keys)
    for key in keys:
        make = Maker(key, 64, 10)
        np.testing.assert_array_equal(clip_cache.fetch(key, 64, make), make.frames)
        assert not make.made


def test_without_a_writable_folder(tmp_path, monkeypatch, caplog) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for key in ("one", "two"):
        make = Maker(key)
        frames = clip_cache.fetch(key, 4, make)
        np.testing.assert_array_equal(frames, make.frames)
        assert not frames.flags.writeable and make.made == 1
    assert caplog.text.count("cannot be cached") == 1
    assert str(tmp_path / "file") in caplog.text and "XDG_CACHE_HOME" in caplog.text


def test_memory_holds_only_so_much(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    makers = [Maker(str(i)) for i in range(4)]
    monkeypatch.setattr(clip_cache, "_HELD_BYTES", 2 * makers[0].frames.nbytes)
    shown = [clip_cache.fetch(str(i), 4, makers[i]) for i in (0, 1, 0, 2, 2, 1, 0, 3)]
    assert [make.made for make in makers] == [2, 1, 1, 1]
    for i, frames in zip((0, 1, 0, 2, 2, 1, 0, 3), shown, strict=True):
        np.testing.assert_array_equal(frames, makers[i].frames)
    monkeypatch.setattr(clip_cache, "_HELD_BYTES", 0)
    np.testing.assert_array_equal(clip_cache.fetch("4", 4, Maker("4")), frames_of("4"))


def test_without_a_home(monkeypatch, caplog) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    make = Maker()
    np.testing.assert_array_equal(clip_cache.fetch("key", 4, make), make.frames)
    assert "set XDG_CACHE_HOME" in caplog.text


def _build_with_little_room(made: multiprocessing.Queue) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    make = Maker(size=64)
    same = bool((clip_cache.fetch("key", 64, make) == make.frames).all())
    made.put((same, make.made, os.listdir(clip_cache.folder())))


def test_a_disk_that_fills_up() -> None:
    made = _fork.Queue()
    process = _fork.Process(target=_build_with_little_room, args=(made,))
    process.start()
    assert made.get(timeout=60) == (True, 1, [])
    process.join()


def test_what_nothing_uses_goes(forget) -> None:
    clip_cache.fetch("used", 4, Maker("used"))
    clip_cache.fetch("unused", 4, Maker("unused"))
    folder = clip_cache.folder()
    unfinished, running = folder / "a.part", folder / "b.part"
    for path in (unfinished, running):
        path.write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    os.utime(folder / "notes.txt", (0, 0))
    now = time.time()
    os.utime(unfinished, (now - 7200, now - 7200))
    for path in folder.glob("*.clip"):
        os.utime(path, (now - 40 * 86400, now - 40 * 86400))
    forget()
    clip_cache.fetch("used", 4, Maker("used"))
    clip_cache.fetch("new", 4, Maker("new"))
    left = {path.name for path in folder.iterdir()}
    assert left == {clip_cache._path(key).name for key in ("used", "new")} | {"b.part", "notes.txt"}


def test_deleting_files_in_use_is_safe() -> None:
    make = Maker(size=64)
    frames = clip_cache.fetch("key", 64, make)
    for path in clip_cache.folder().iterdir():
        path.unlink()
    np.testing.assert_array_equal(frames, make.frames)


def test_no_descriptor_stays_open(forget) -> None:
    before = len(os.listdir("/proc/self/fd"))
    frames = {key: clip_cache.fetch(key, 4, Maker(key)) for key in map(str, range(40))}
    assert len(os.listdir("/proc/self/fd")) == before
    for key, found in frames.items():
        np.testing.assert_array_equal(found, frames_of(key))


def test_frames_outlive_their_file_and_leave_memory_with_their_last_view() -> None:
    clip_cache._store("key", 4, frames_of("key"))
    frames = clip_cache._from_disk("key", 4)
    assert frames is not None
    frame = frames[1]
    del frames
    [path] = clip_cache.folder().iterdir()
    path.unlink()
    np.testing.assert_array_equal(frame, frames_of("key")[1])
    assert str(path) in Path("/proc/self/maps").read_text()
    del frame
    gc.collect()
    assert str(path) not in Path("/proc/self/maps").read_text()
