"""Threads of a command."""


def use_one_thread() -> None:
    """One frame at a time is too little work for two threads, which then wait for each other."""
    import torch

    torch.set_num_threads(1)
