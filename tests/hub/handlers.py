"""How the local Hub answers requests: whole, in ranges, with an error, or as badly as told."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from local_hub import LocalHub


class Refusal(Exception):
    """An answer that is an error, as the Hub words it."""

    def __init__(self, status: int, message: str, code: str = "", **body: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.body = status, code, body


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: LocalHub, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.hub = hub
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of our business."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    disable_nagle_algorithm = True

    @property
    def hub(self) -> LocalHub:
        return self.server.hub

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def answer(
        self, body: bytes | Any = b"", status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.broken == "corrupt" and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        if self.broken == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.end_connection()
            return
        self.wfile.write(content)

    def end_connection(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def answer_range(self, content: bytes, headers: dict[str, str]) -> None:
        """Answers with a file, or with what a Range header asks of it."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self.answer(content, headers=headers)
            return
        start, end = int(asked[1]), int(asked[2] or len(content) - 1)
        if start >= len(content):
            self.answer(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
            return
        self.answer(
            content[start : end + 1],
            206,
            {**headers, "Content-Range": f"bytes {start}-{end}/{len(content)}"},
        )

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle_request(self) -> None:
        parts = urlsplit(self.path)
        request = f"{self.command} {unquote(parts.path)}"
        self.hub.requests.append(request)
        self.query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        self.broken = self.hub.fault(request)
        if self.broken == "hang":
            self.hub.released.wait()
            self.close_connection = True
            return
        if self.broken == "cut-request":
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
            self.end_connection()
            return
        self.body = self.read_body()
        if self.broken == "drop":
            self.end_connection()
            return
        try:
            if isinstance(self.broken, int):
                raise Refusal(self.broken, "told to fail")
            self.route(unquote(parts.path))
        except Refusal as refusal:
            headers = {"X-Error-Message": str(refusal)}
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            self.answer({"error": str(refusal), **refusal.body}, refusal.status, headers)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def route(self, path: str) -> None:
        raise NotImplementedError


class Cdn(Handler):
    """Large objects by their SHA-256, without any token: the address is the secret."""

    def route(self, path: str) -> None:
        assert "Authorization" not in self.headers, "the token left the Hub"
        _, verb, oid, *rest = path.split("/")
        if verb == "object":
            self.answer_range(self.hub.objects[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})
        elif verb == "part":
            self.hub.parts[oid, int(rest[0])] = self.body
            self.answer(headers={"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})
        elif verb == "upload":
            self.store(oid, self.body)
            self.answer()
        elif verb == "complete":
            numbers = [part["partNumber"] for part in json.loads(self.body)["parts"]]
            self.store(oid, b"".join(self.hub.parts.pop((oid, number)) for number in numbers))
            self.answer({})

    def store(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refusal(422, "The checksum does not fit")
        self.hub.objects[oid] = content
