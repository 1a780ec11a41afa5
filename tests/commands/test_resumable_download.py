from __future__ import annotations

import contextlib
import multiprocessing
import resource
import signal
import socket
import threading
import time
import traceback
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from core_repr.commands import resumable_download
from core_repr.commands.resumable_download import download

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(resumable_download, "_PAUSE", 0.0)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "file.zip"


def leave_a_part(site, path: Path, size: int) -> None:
    """Ends as if the process had been killed when `size` bytes had arrived."""
    site.content = CONTENT
    site.cuts = [size]
    site.answers = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resumable_download, "_ATTEMPTS", 1)
        with pytest.raises(ConnectionError, match=r"ended early.*MB of it are kept in .*\.part"):
            download(site.url, path)
    site.asked.clear()
    assert not path.exists()
    assert path.with_name("file.zip.part").stat().st_size == size


def assert_done(path: Path, content: bytes = CONTENT) -> None:
    assert path.read_bytes() == content
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_download(site, path) -> None:
    site.content = CONTENT
    download(site.url, path)
    assert_done(path)
    assert site.asked == [None]


def test_broken_connections_are_taken_up_again(site, path) -> None:
    site.content = CONTENT
    site.cuts = [1_000_000, 0, 500_000, 0]
    download(site.url, path)
    assert_done(path)
    assert site.asked == [None, *["bytes=1000000-"] * 2, *["bytes=1500000-"] * 2]


@pytest.mark.parametrize("etag", ['"one"', 'W/"one"', None])
def test_the_next_call_goes_on(site, path, etag: str | None) -> None:
    site.etag = etag
    leave_a_part(site, path, 1_234_567)
    download(site.url, path)
    assert_done(path)
    assert site.asked == ["bytes=1234567-"]


def test_a_file_that_has_all_arrived_is_not_asked_for(site, path) -> None:
    leave_a_part(site, path, 1_000_000)
    path.with_name("file.zip.part").write_bytes(CONTENT)
    download(site.url, path)
    assert_done(path)
    assert site.asked == []


def test_a_server_that_cannot_send_parts_starts_over(site, path) -> None:
    leave_a_part(site, path, 1_000_000)
    site.ranges = False
    download(site.url, path)
    assert_done(path)


@pytest.mark.parametrize("minds_if_range", [True, False])
def test_a_file_that_changed_starts_over(site, path, minds_if_range: bool) -> None:
    leave_a_part(site, path, 1_000_000)
    site.content, site.etag, site.minds_if_range = CONTENT[::-1], '"two"', minds_if_range
    download(site.url, path)
    assert_done(path, CONTENT[::-1])


@pytest.mark.parametrize("length", [500_000, 1_000_000, 2_000_000])
def test_another_length_starts_over(site, path, length: int) -> None:
    site.etag = None
    leave_a_part(site, path, 1_000_000)
    site.content = CONTENT[::-1][:length]
    download(site.url, path)
    assert_done(path, CONTENT[::-1][:length])


def test_a_mirror_starts_over(site, path) -> None:
    leave_a_part(site, path, 1_000_000)
    download(site.url + "?mirror", path)
    assert_done(path)
    assert site.asked == [None]


@pytest.mark.parametrize("notes", [None, "", "[]", '{"url": 1}', "\0"])
def test_a_part_of_unknown_origin_is_dropped(site, path, notes: str | None) -> None:
    site.content = CONTENT
    path.with_name("file.zip.part").write_bytes(b"something else")
    if notes is not None:
        path.with_name("file.zip.part.json").write_text(notes)
    download(site.url, path)
    assert_done(path)
    assert site.asked == [None]


def test_a_server_that_says_no_length(site, path) -> None:
    site.content, site.says_length = CONTENT, False
    download(site.url, path)
    assert_done(path)


def test_a_server_that_is_busy_is_asked_again(site, path) -> None:
    site.content, site.answers = CONTENT, [503, 429, 500]
    download(site.url, path)
    assert_done(path)


def test_a_server_that_stays_busy(site, path) -> None:
    site.answers = [503] * 9
    with pytest.raises(ConnectionError, match=r"the server answers 503 Service Unavailable\)"):
        download(site.url, path)
    assert len(site.asked) == 5
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("answer", [403, 404])
def test_an_address_without_the_file(site, path, answer: int) -> None:
    site.answers = [answer] * 9
    with pytest.raises(ConnectionError, match=rf"answers {answer} .*Check the address"):
        download(site.url, path)
    assert len(site.asked) == 1


def test_no_server(path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/file.zip"
        with pytest.raises(ConnectionError, match=rf"{address} cannot .*refused.*Check the net"):
            download(address, path)


def test_a_server_that_falls_silent(path, monkeypatch) -> None:
    monkeypatch.setattr(resumable_download, "_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/file.zip"
        with pytest.raises(ConnectionError, match="timed out"):
            download(address, path)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "x.zip", ""])
def test_other_addresses_are_refused(path, address: str) -> None:
    with pytest.raises(ValueError, match="begins with https://"):
        download(address, path)


def test_a_disk_without_room(site, path, monkeypatch) -> None:
    site.content = CONTENT
    usage = namedtuple("usage", "free")(5_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=r"0\.0 GB free, but 0\.0 GB are needed: make room"):
        download(site.url, path, room=2)
    download(site.url, path, room=1)
    assert_done(path)


def test_a_disk_that_fills_up(site, path) -> None:
    site.content = CONTENT
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"part cannot be written \(File too large\): make room"):
            download(site.url, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    download(site.url, path)
    assert_done(path)
    assert site.asked == [None, "bytes=1500000-"]


def test_a_process_that_is_killed(site, path) -> None:
    """Each of several processes is killed a little later; the last one only has the rest to get."""
    site.content = CONTENT * 10
    # tqdm's own lock is of all processes, and would stay with one that is killed.
    tqdm.set_lock(threading.RLock())
    fork = multiprocessing.get_context("fork")
    for delay in (0.02, 0.04, 0.06):
        process = fork.Process(target=download, args=(site.url, path))
        process.start()
        time.sleep(delay)
        process.kill()
        process.join()
    download(site.url, path)
    assert_done(path, CONTENT * 10)


# Secrets


@pytest.mark.parametrize("address", ["http://me:SECRET@127.0.0.1:9/x", "http://SECRET@127.0.0.1/x"])
def test_an_address_with_a_password_is_refused_and_not_printed(path, address) -> None:
    with pytest.raises(ValueError, match="holds a user name or password") as refusal:
        download(address, path)
    assert "SECRET" not in str(refusal.value)
    assert not list(path.parent.iterdir())


def test_a_signature_of_an_address_is_neither_printed_nor_written(
    site, path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(resumable_download, "_ATTEMPTS", 1)
    site.content = CONTENT
    signed = f"{site.url}?X-Amz-Signature=SECRET"
    for url in (signed, signed.replace(site.url.rpartition(":")[2].partition("/")[0], "9")):
        with contextlib.suppress(ConnectionError):
            download(url, path)
    with pytest.raises(ConnectionError) as refusal:
        download("http://127.0.0.1:9/x?X-Amz-Signature=SECRET", path)
    assert "SECRET" not in str(refusal.value)
    assert "SECRET" not in "".join(traceback.format_exception(refusal.value)[-1:])
    shown = capsys.readouterr()
    assert "SECRET" not in shown.out + shown.err
    for kept in path.parent.iterdir():
        assert b"SECRET" not in kept.read_bytes()
