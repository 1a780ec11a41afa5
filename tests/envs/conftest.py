"""Environments that close themselves, and a cache of clips that leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import core_repr  # noqa: F401  (registers the environments)

Make = Callable[..., gymnasium.Env[Any, Any]]


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture
def make() -> Iterator[Make]:
    """Returns `gymnasium.make` for the name of a task, with small frames and two clips."""
    made: list[gymnasium.Env[Any, Any]] = []

    def make_task(task: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        kwargs = {"frame_size": 32, "num_videos": 2, **kwargs}
        made.append(gymnasium.make(f"distracting_control/{task}-v0", **kwargs))
        return made[-1]

    yield make_task
    for env in made:
        env.close()
