"""What commands print, on terminals that know fewer characters, and when nobody reads any more."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from core_repr.envs.rendering import happened_in_opengl

CLOSED_PIPE = 128 + signal.SIGPIPE
"""The exit status of what ends because its reader did, as a shell gives it."""

_PLAIN = {
    "±": "+-",
    "×": "x",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "✓": "+",
    "✗": "x",
    "•": "*",
}
_HANDLER = "core_repr.plain"
_DEFAULTS = ("strict", "surrogateescape", "backslashreplace")


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """Prints what the terminal can: for other characters what comes near, or a question mark.

    Where standard output or error is closed, what is printed there is dropped. So is what other
    packages' renderers complain of when they are cleared away without having started.
    """
    with contextlib.ExitStack() as at_end:
        at_end.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = _without_opengl(sys.unraisablehook)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                nowhere = at_end.enter_context(open(os.devnull, "w"))
                at_end.callback(setattr, sys, name, stream)
                setattr(sys, name, nowhere)
            # Whoever has chosen another way, by PYTHONIOENCODING, keeps it.
            elif isinstance(stream, io.TextIOWrapper) and stream.errors in _DEFAULTS:
                at_end.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors=_HANDLER)
        yield


def _without_opengl(usual: Callable[[Any], object]) -> Callable[[Any], object]:
    """Passes on what Python cannot raise, such as errors of destructors, but those of OpenGL."""

    def complain(unraisable: Any) -> None:
        if not happened_in_opengl(unraisable.exc_traceback):
            usual(unraisable)

    return complain


def flush() -> None:
    """Writes what was printed, so that a failure shows here and not when Python ends."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def nobody_reads() -> bool:
    """Tells whether the reader of what is printed has ended; the rest of it is dropped then."""
    gone = [stream for stream in (sys.stdout, sys.stderr) if _is_broken(stream)]
    for stream in gone:
        drop(stream)
    return bool(gone)


def drop(stream: TextIO) -> None:
    """Lets nothing that is still to be written, or printed later, fail."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _is_broken(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """The characters that cannot be encoded, in such as can."""
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        # A byte of a file's name that is not text, as it was.
        return bytes([ord(character) - 0xDC00]), error.start + 1
    plain = _PLAIN.get(character) or unicodedata.normalize("NFKD", character)
    kept = plain.encode("ascii", "ignore").decode()
    return kept or "?", error.start + 1


codecs.register_error(_HANDLER, _plain)
