"""What a Hub keeps: repositories, their commits, branches, tags and pull requests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

LARGE_SUFFIXES = (".safetensors", ".mp4", ".png", ".bin")


@dataclass(frozen=True)
class File:
    """A file of a commit; a large one lies in the object store, under its SHA-256."""

    content: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
            f"size {len(self.content)}\n"
        ).encode()

    @property
    def oid(self) -> str:
        content = self.pointer if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.oid

    def listing(self, path: str) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "type": "file",
            "path": path,
            "size": len(self.content),
            "oid": self.oid,
        }
        if self.large:
            entry["lfs"] = {
                "oid": self.sha256,
                "size": len(self.content),
                "pointerSize": len(self.pointer),
            }
        return entry


def is_large(path: str) -> bool:
    return path.endswith(LARGE_SUFFIXES)


@dataclass
class Repository:
    """A model repository; ``commits[sha]`` maps paths to files."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit("refs/heads/main", {}, "initial commit")

    def commit(self, ref: str, changes: dict[str, File | None], message: str) -> str:
        """Adds a commit on a ref; a path without a file is deleted."""
        files = dict(self.commits.get(self.refs.get(ref, ""), {}))
        for path, file in changes.items():
            files.pop(path, None)
            if file is not None:
                files[path] = file
        self.messages.append(message)
        sha = hashlib.sha1(f"{ref} {len(self.messages)} {sorted(files)}".encode()).hexdigest()
        self.commits[sha] = files
        self.refs[ref] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """Commit, branch, tag, or a full name such as ``refs/pr/1`` → commit."""
        if revision in self.commits:
            return revision
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in self.refs:
                return self.refs[ref]
        return None

    @property
    def pull_requests(self) -> int:
        return sum(ref.startswith("refs/pr/") for ref in self.refs)
