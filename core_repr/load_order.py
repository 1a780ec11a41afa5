"""Shared libraries that only work in one order: triton's and Mesa's.

Both bring an LLVM. Mesa's software renderer makes the symbols of its own visible to the whole
process, and triton's extension, which PyTorch's compiler loads with the first optimiser, binds to
them if it comes later: the process ends with a segmentation fault. CUDA builds of PyTorch for Linux
depend on triton.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def load_triton() -> None:
    """Loads triton, if it is installed, so that it works beside Mesa's software renderer.

    To be called before the first OpenGL context is created. After a context that others created,
    triton is loaded too, bound to its own symbols first. Takes about 0.2 s once in a process, and
    nothing where triton is not installed.
    """
    if sys.platform != "linux" or "triton" in sys.modules:
        return
    if importlib.util.find_spec("triton") is None:
        return
    # A triton that does not load is PyTorch's to judge: it works without.
    order = _own_symbols_first() if _llvm_is_loaded() else contextlib.nullcontext()
    with contextlib.suppress(Exception), order:
        importlib.import_module("triton")


def _llvm_is_loaded() -> bool:
    try:
        return "/libLLVM" in Path("/proc/self/maps").read_text()
    except OSError:
        return False


@contextlib.contextmanager
def _own_symbols_first() -> Iterator[None]:
    """Extensions that are imported here prefer their own symbols over those of the process."""
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_DEEPBIND)
    try:
        yield
    finally:
        sys.setdlopenflags(flags)
