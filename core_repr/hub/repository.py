"""Model folders from the Hugging Face Hub, through its own client, cache and tokens.

A revision is resolved to its commit first; every file then comes from that commit, and is compared
with the checksum under which the Hub lists it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import (
    HfApi,
    is_offline_mode,
    try_to_load_from_cache,
)
from huggingface_hub.hf_api import RepoFile

from core_repr.files.names import (
    AGENT_FILE,
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    MAX_RECORD_BYTES,
    MAX_WEIGHT_BYTES,
    MODEL_FILE,
)
from core_repr.files.places import user_path
from core_repr.files.reading import read_bounded, stays_inside
from core_repr.files.strict_json import parse_json
from core_repr.files.writing import write_atomically
from core_repr.hub.errors import ask_again, check_token, plain_errors
from core_repr.hub.names import find_repository
from core_repr.hub.packaged import find_folder

_log = logging.getLogger(__name__)

COMMIT = re.compile(r"[0-9a-f]{40}")
LIMITS = {
    CONFIG_FILE: MAX_CONFIG_BYTES,
    MODEL_FILE: MAX_WEIGHT_BYTES,
    AGENT_FILE: MAX_WEIGHT_BYTES,
}
CHECKSUMS_FOLDER = "core-repr"
"""Beside a repository's snapshots in the cache, for files that are not links to their checksums."""

CLIENT = "core-repr"
"""How requests name this library to the Hub."""


def locate(
    model: str | os.PathLike[str],
    files: Sequence[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """Returns the folder of a model, fetched from the Hub where it is not one on this disk.

    Args:
        model: A zoo name, a folder, a Hub repository ``"user/repo"``, or the address of its page.
        files: What the model consists of.
        revision: Branch, tag, pull request (``"refs/pr/1"``) or commit; the newest commit of
            ``main`` by default. A folder has none.
        token: Of the Hub; the one of ``hf auth login`` or of ``HF_TOKEN`` by default.
        cache_dir: Instead of the Hub client's usual cache.
        local_files_only: Take what the cache has and ask nobody.
        force_download: Fetch again what the cache has.

    Returns:
        The folder; in the Hub's cache, its name is the commit.

    Raises:
        FileNotFoundError: If there is no such folder, repository, revision or file.
        PermissionError: If the Hub wants another token.
        TimeoutError: If the Hub does not answer.
        ConnectionError: If it cannot be reached, and the cache does not have the files.
        OSError: If it fails otherwise, or a file is not what the Hub lists.
        ValueError: If a file is too large, or a folder is given together with a revision.
    """
    folder = find_folder(model, revision)
    if folder is not None:
        return folder
    found = find_repository(model, revision)
    assert found is not None
    repository, revision = found
    cache_dir = None if cache_dir is None else user_path(cache_dir)
    api = HfApi(token=token, library_name=CLIENT)
    with plain_errors(repository, revision, local_files_only, token=token):
        if not local_files_only:
            check_token(token)
        commit = ask_again(
            lambda: api.resolve_revision(
                repository,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
            )
        ).resolved
        if COMMIT.fullmatch(commit) is None:
            raise OSError(f"The Hub names {commit[:60]!r} as a commit of {repository!r}: no hash.")
        snapshot = _Snapshot(api, repository, commit, cache_dir, local_files_only)
        if force_download or any(snapshot.path(name) is None for name in files):
            if local_files_only:
                raise FileNotFoundError(
                    f"The cache does not have all of {', '.join(files)} of {repository!r} at "
                    f"commit {commit[:12]}; fetch them once without local_files_only."
                )
            snapshot.fetch(files, force_download)
        return snapshot.folder(files)


def available(repository: str, names: Sequence[str], *, revision: str | None = None) -> list[str]:
    """Returns those files that a Hub repository has; that the cache has, in offline mode.

    Raises:
        OSError: As :func:`locate`.
        ValueError: If it is not the name or address of a repository.
    """
    found = find_repository(repository, revision)
    if found is None:
        raise ValueError(f"A Hub repository has the form 'user/repo', not {repository!r}.")
    repository, revision = found
    api = HfApi(library_name=CLIENT)
    with plain_errors(repository, revision):
        check_token()
        commit = ask_again(lambda: api.resolve_revision(repository, revision=revision)).resolved
        snapshot = _Snapshot(api, repository, commit, None, local_files_only=False)
        cached = [name for name in names if snapshot.path(name) is not None]
        if len(cached) == len(names) or is_offline_mode():
            return cached
        listed = snapshot.listed(names)
        return [name for name in names if name in listed]


@dataclass(frozen=True)
class _Snapshot:
    """One commit of a repository, and where it lies in the cache."""

    api: HfApi
    repository: str
    commit: str
    cache_dir: Path | None
    local_files_only: bool

    def path(self, name: str) -> Path | None:
        """Where a file lies in the cache; ``None`` if it does not."""
        found = try_to_load_from_cache(
            self.repository, name, cache_dir=self.cache_dir, revision=self.commit
        )
        return Path(found) if isinstance(found, str) else None

    def listed(self, names: Sequence[str]) -> dict[str, RepoFile]:
        """Size and checksum of those files that the Hub has."""
        paths = list(names)
        found = ask_again(
            lambda: self.api.get_paths_info(self.repository, paths, revision=self.commit)
        )
        return {file.path: file for file in found if isinstance(file, RepoFile)}

    def fetch(self, names: Sequence[str], force: bool) -> None:
        """Asks for names and sizes, and if they fit, for the files."""
        listed = self.listed(names)
        for name in names:
            if name not in listed:
                raise FileNotFoundError(
                    f"The Hub repository {self.repository!r} has no {name!r} at commit "
                    f"{self.commit[:12]}; it needs the files that save_pretrained writes."
                )
            size = listed[name].size
            limit = LIMITS.get(name, MAX_RECORD_BYTES)
            if size > limit:
                raise ValueError(
                    f"{name!r} of {self.repository!r} has {size:,} bytes, more than the "
                    f"{limit:,} that it may have; it was not fetched."
                )
        for name in names:
            checksum = _checksum(listed[name])
            self._download(name, force)
            if not self._is_sound(name, checksum):
                self._download(name, force=True)
            if not self._is_sound(name, checksum):
                self._forget(name)
                raise OSError(
                    f"{name!r} of {self.repository!r} arrived twice with another checksum than "
                    f"{checksum[:12]}…, which the Hub lists; nothing of it was kept: try later."
                )

    def folder(self, names: Sequence[str]) -> Path:
        """The folder in the cache, once its files have been compared with their checksums."""
        paths = [path for name in names if (path := self.path(name)) is not None]
        # The cache links to files that are named after their checksums, where links are possible.
        checksums = {path.name: Path(os.readlink(path)).name for path in paths if path.is_symlink()}
        folder = paths[0].parent
        unlinked = [path.name for path in paths if path.name not in checksums]
        if unlinked:
            checksums |= self._kept_checksums(folder, unlinked)
        for path in paths:
            if path.name in checksums and not has_checksum(path, checksums[path.name]):
                self._forget(path.name)
                raise OSError(
                    f"{path} was damaged: it differed from its checksum and has been removed from "
                    "the cache; fetch it again."
                )
        return folder

    def _kept_checksums(self, folder: Path, names: Sequence[str]) -> dict[str, str]:
        """Checksums that were kept beside the snapshots, or else are asked for and kept."""
        record = folder.parent.parent / CHECKSUMS_FOLDER / f"{self.commit}.json"
        kept: dict[str, str] = {}
        if record.exists():
            with suppress(ValueError):
                kept = dict(parse_json(read_bounded(record, MAX_RECORD_BYTES)))
        missing = [name for name in names if not isinstance(kept.get(name), str)]
        if missing and (self.local_files_only or is_offline_mode()):
            _log.warning(
                "%s in %s cannot be compared with a checksum, because the Hub may not be asked.",
                " and ".join(missing),
                folder,
            )
            return {name: kept[name] for name in names if name not in missing}
        if missing:
            kept |= {name: _checksum(file) for name, file in self.listed(missing).items()}
            # A cache that cannot be written to is asked about again.
            with suppress(OSError):
                record.parent.mkdir(exist_ok=True)
                write_atomically(record, json.dumps(kept).encode())
        return {name: kept[name] for name in names if name in kept}

    def _download(self, name: str, force: bool) -> None:
        ask_again(
            lambda: self.api.hf_hub_download(
                self.repository,
                name,
                revision=self.commit,
                cache_dir=self.cache_dir,
                force_download=force,
            )
        )

    def _is_sound(self, name: str, checksum: str) -> bool:
        path = self.path(name)
        return path is not None and has_checksum(path, checksum)

    def _forget(self, name: str) -> None:
        path = self.path(name)
        if path is not None:
            if stays_inside(path):
                path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _checksum(file: RepoFile) -> str:
    return str(file.blob_id if file.lfs is None else file.lfs.sha256)


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether a file has the checksum that the Hub lists.

    Args:
        path: The file.
        checksum: SHA-256, as for large files, or the SHA-1 that Git names a file by.
    """
    if len(checksum) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == checksum
