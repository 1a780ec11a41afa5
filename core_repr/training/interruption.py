"""SIGTERM and SIGINT: a training stops where nothing is lost."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

_log = logging.getLogger(__name__)


class Interrupted(Exception):
    """A training was asked to stop, and saved a checkpoint.

    Args:
        message: For the user.
        signal_number: The signal that asked.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """Remembers a signal until the training can stop; a second one stops it at once.

    A context manager: inside, SIGTERM and SIGINT only set :attr:`signal_number`.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        # Only a main thread may set handlers; elsewhere, signals do what they did before.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _remember(self, number: int, _: FrameType | None) -> None:
        if self.signal_number is not None:
            raise KeyboardInterrupt
        self.signal_number = number
        _log.warning(
            "%s: the training stops after this episode or update and saves a checkpoint; "
            "once more to stop at once.",
            signal.Signals(number).name,
        )
