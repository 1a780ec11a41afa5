"""A Hub on 127.0.0.1 that speaks the protocol of huggingface.co to its real client.

Two servers, as there: one for the API and small files, one ("CDN") for large objects. Tests add
faults to it and read what was asked of it.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from api import Api
from handlers import Cdn, Server
from repositories import File, Repository, is_large


@dataclass
class Fault:
    """What goes wrong with the next requests that match.

    ``kind`` is a status to answer with, or "hang" (no answer), "drop" (the connection ends at
    once), "cut" (it ends in the middle of the body) or "corrupt" (the body has a wrong byte).
    """

    kind: int | str
    pattern: str
    times: int = 1


@dataclass
class LocalHub:
    """The Hub's state and its servers; ``with LocalHub() as hub:`` runs them."""

    tokens: dict[str, str] = field(default_factory=lambda: {"hf_writer": "user"})
    readers: set[str] = field(default_factory=lambda: {"hf_reader"})
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    multipart_from: int = 3_000_000
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> LocalHub:
        self.api = Server(self, Api)
        self.cdn = Server(self, Cdn)
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        for server in (self.api, self.cdn):
            server.shutdown()
            server.server_close()

    def forget(self) -> None:
        """Starts afresh: no repositories, no faults, no requests, every hanging one released."""
        self.released.set()
        self.released = threading.Event()
        for kept in (self.repositories, self.objects, self.parts, self.faults, self.requests):
            kept.clear()

    @property
    def endpoint(self) -> str:
        return self.api.address

    def fail(self, kind: int | str, pattern: str = ".*", times: int = 1) -> None:
        self.faults.append(Fault(kind, pattern, times))

    def fault(self, request: str) -> int | str | None:
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.pattern, request):
                fault.times -= 1
                return fault.kind
        return None

    def add(self, name: str, files: dict[str, bytes], **options: bool) -> str:
        """Puts files into a repository past the protocol; returns the commit."""
        repository = self.repositories.setdefault(name, Repository(**options))
        changes: dict[str, File | None] = {
            path: File(content, is_large(path)) for path, content in files.items()
        }
        for file in changes.values():
            if file is not None and file.large:
                self.objects[file.sha256] = file.content
        return repository.commit("refs/heads/main", changes, "added")
