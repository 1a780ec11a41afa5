"""Progress bars of work in several stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int], Callable[[], object]]]:
    """Gives a function that shows a bar, called with the unit of a stage and how many it has.

    What it returns advances the bar by one. A bar ends where the next one begins.
    """
    from tqdm import tqdm

    with ExitStack() as shown:

        def begin(unit: str, count: int) -> Callable[[], object]:
            shown.close()
            bar = shown.enter_context(tqdm(total=count, unit=unit))
            return lambda: bar.update()

        yield begin
