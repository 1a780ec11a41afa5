from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from core_repr.wrappers.latent_tracker import torch_threads


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def seen_by_a_new_thread() -> int:
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return seen[0]


def test_threads_are_as_many_as_before_afterwards() -> None:
    for threads in (1, 3, 2):
        with torch_threads(threads):
            assert torch.get_num_threads() == threads
            with torch_threads(1):
                assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == seen_by_a_new_thread() == 3


def test_a_thread_that_began_within_anothers_block_leaves_what_was_before_it() -> None:
    inside, over = threading.Event(), threading.Event()

    def work() -> None:
        with torch_threads(2):
            inside.set()
            over.wait()

    with torch_threads(1):
        thread = threading.Thread(target=work)
        thread.start()
        inside.wait()
    over.set()
    thread.join()
    assert torch.get_num_threads() == seen_by_a_new_thread() == 3
