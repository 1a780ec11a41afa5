"""A file from a web server, taken up again where it was cut off."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from core_repr.files.secrets import redact

_CHUNK = 1 << 20
_TIMEOUT = 30.0
"""Seconds without a byte until a connection counts as broken."""

_ATTEMPTS = 5
"""Attempts in a row that bring nothing; any progress starts the count anew."""

_PAUSE = 1.0
"""Seconds before the second attempt; each further pause is twice as long."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What a server answers when it may do better a little later."""


def download(url: str, path: Path, *, room: float = 1.0) -> None:
    """Downloads a file, with a progress bar.

    What has arrived stays in `<path>.part` when the connection breaks or the process ends. The next
    call resumes there, if the server can and the file on it is still the same.

    Args:
        url: Where it is, `http://` or `https://`.
        path: Where it goes; its folder exists.
        room: How much disk the whole needs, in sizes of the file: 2 if it is unpacked next to it.

    Raises:
        ValueError: The address is of another kind.
        ConnectionError: The server cannot be reached, does not have the file, or stops sending.
        OSError: The disk has no room, or cannot be written.
    """
    shown = redact(url)
    if not re.match(r"https?://[^/]", url):
        raise ValueError(
            f"{shown!r} is not an address to download from: it begins with https:// or http://."
        )
    if "@" in urllib.parse.urlsplit(url).netloc:
        raise ValueError(
            f"{shown!r} holds a user name or password, which could reach other servers; take an "
            "address without one, or download the file by other means."
        )
    part, notes = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
    failures = 0
    with (
        part.open("ab", buffering=0) as file,
        _bar(shown.partition("?")[0].rpartition("/")[2]) as bar,
    ):
        while True:
            before = _size(file)
            try:
                if _attempt(url, file, notes, room, bar):
                    break
            except _CutOffError as error:
                failures = failures + 1 if _size(file) <= before else 1
                if failures == _ATTEMPTS:
                    raise ConnectionError(
                        f"{shown} cannot be downloaded ({error}). {_advice(file, part)}"
                    ) from None
                bar.set_postfix_str(f"{error}, trying again")
                time.sleep(_PAUSE * 2 ** (failures - 1))
        os.fsync(file.fileno())
    os.replace(part, path)
    notes.unlink(missing_ok=True)


def _advice(file: IO[bytes], part: Path) -> str:
    if not _size(file):
        part.unlink()
        return "Check the network and the address, or take another one."
    return f"{_size(file) / 1e6:.1f} MB of it are kept in {part}: try again, and it resumes there."


class _CutOffError(Exception):
    """The connection failed in a way that may pass."""


@dataclass(frozen=True)
class _Version:
    """What tells whether a file on a server is still the one of which a part has arrived."""

    url: str
    etag: str | None
    last_modified: str | None
    length: int | None

    @property
    def validator(self) -> str | None:
        """What `If-Range` takes: a strong ETag, or else a date."""
        strong = self.etag is not None and not self.etag.startswith("W/")
        return self.etag if strong else self.last_modified


def _attempt(url: str, file: IO[bytes], notes: Path, room: float, bar: tqdm[Any]) -> bool:
    """Asks for what is still missing; returns whether the file is whole then."""
    known = _read_notes(notes)
    if known is None or known.url != _digest(url):
        known = None
        file.truncate(0)
    have = _size(file)
    if known is not None and have and known.length == have:
        return True
    headers = {"User-Agent": "core-repr", "Accept-Encoding": "identity"}
    if known is not None and have:
        headers["Range"] = f"bytes={have}-"
        if known.validator:
            headers["If-Range"] = known.validator
    with _open(url, headers) as response:
        version = _version(url, response.status, response.headers)
        if response.status != 200 and "Range" not in headers:
            raise ConnectionError(
                f"{redact(url)} cannot be downloaded: {response.status} is not an answer."
            )
        if response.status != 200 and not (version == known and _begins_at(have, response)):
            # Another file than the one that was begun: the next attempt asks for all of it.
            file.truncate(0)
            notes.unlink(missing_ok=True)
            return False
        if response.status == 200:
            file.truncate(0)
            _write_notes(notes, version)
        have = _size(file)
        _require_room(notes.parent, version.length, have, room)
        bar.total, bar.n = version.length, have
        bar.set_postfix_str("")
        for chunk in _chunks(response):
            _write(file, chunk)
            bar.update(len(chunk))
    if version.length is not None and _size(file) < version.length:
        raise _CutOffError("the connection ended early")
    return True


def _open(url: str, headers: Mapping[str, str]) -> Any:
    """Sends a request; an answer of 416 to a range is an answer."""
    try:
        return urllib.request.urlopen(
            urllib.request.Request(url, headers=dict(headers)), timeout=_TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if error.code == 416 and "Range" in headers:
            return error
        answer = f"the server answers {error.code} {error.reason}"
        error.close()
        if error.code in _PASSING:
            raise _CutOffError(answer) from error
        raise ConnectionError(
            f"{redact(url)} cannot be downloaded: {answer}. Check the address, or take another one."
        ) from error
    except urllib.error.URLError as error:
        raise _CutOffError(redact(str(error.reason))) from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutOffError(redact(str(error)) or type(error).__name__) from error


def _chunks(response: Any) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(_CHUNK)
        except http.client.IncompleteRead as error:
            chunk = error.partial
        except (OSError, http.client.HTTPException) as error:
            raise _CutOffError(redact(str(error)) or type(error).__name__) from error
        if not chunk:
            return
        yield chunk


def _version(url: str, status: int, headers: Mapping[str, str]) -> _Version:
    length = headers.get("Content-Length")
    if status == 206:
        length = headers.get("Content-Range", "").rpartition("/")[2]
    return _Version(
        _digest(url),
        headers.get("ETag"),
        headers.get("Last-Modified"),
        int(length) if length and length.isdecimal() else None,
    )


def _digest(url: str) -> str:
    """Tells addresses apart; one that is written down must not tell its signature."""
    return hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()


def _begins_at(start: int, response: Any) -> bool:
    """Tells whether an answer is the part of the file that was asked for."""
    content_range = response.headers.get("Content-Range", "")
    return bool(response.status == 206 and content_range.startswith(f"bytes {start}-"))


def _write(file: IO[bytes], chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise OSError(
            f"{file.name} cannot be written ({error.strerror}): make room, or choose another "
            "folder. What has arrived is kept."
        ) from error


def _read_notes(notes: Path) -> _Version | None:
    """Returns what is known of a file that was begun; None where that is not readable."""
    try:
        version = _Version(**json.loads(notes.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return version


def _write_notes(notes: Path, version: _Version) -> None:
    unfinished = notes.with_name(f"{notes.name}.new")
    unfinished.write_text(json.dumps(asdict(version)))
    os.replace(unfinished, notes)


def _require_room(folder: Path, length: int | None, have: int, room: float) -> None:
    needed = (length or 0) * room - have
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{folder} has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are needed: make "
            "room, or choose another folder."
        )


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


@contextlib.contextmanager
def _bar(name: str) -> Iterator[tqdm[Any]]:
    with tqdm(desc=name, unit="B", unit_scale=True, disable=None, dynamic_ncols=True) as bar:
        yield bar
