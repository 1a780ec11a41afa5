"""A web server on 127.0.0.1 that fails in the ways in which servers fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Site:
    """One file on the server, and how the server behaves.

    Attributes:
        content: The file.
        etag: Its ETag, or None to send none.
        ranges: Whether the server can send a part.
        minds_if_range: Whether it compares `If-Range`.
        says_length: Whether it says how long its answer is.
        cuts: After how many bytes it closes each of the next connections.
        answers: What it answers next instead of the file: status codes.
        asked: The `Range` of every request, None for all of the file.
    """

    content: bytes = b""
    etag: str | None = '"one"'
    ranges: bool = True
    minds_if_range: bool = True
    says_length: bool = True
    cuts: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    served = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Range"]
            served.asked.append(asked)
            if served.answers:
                self.send_error(served.answers.pop(0))
                return
            content, start, status = served.content, 0, 200
            same = self.headers["If-Range"] in (None, served.etag) or not served.minds_if_range
            if asked and served.ranges and same:
                start, status = int(re.findall(r"\d+", asked)[0]), 206
                if start >= len(content):
                    self.send_error(416)
                    return
            body = content[start:]
            self.send_response(status)
            if served.etag:
                self.send_header("ETag", served.etag)
            if served.says_length:
                self.send_header("Content-Length", str(len(body)))
            if status == 206:
                last, whole = len(content) - 1, len(content)
                self.send_header("Content-Range", f"bytes {start}-{last}/{whole}")
            self.end_headers()
            self.wfile.write(body[: served.cuts.pop(0)] if served.cuts else body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/davis.zip"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()
