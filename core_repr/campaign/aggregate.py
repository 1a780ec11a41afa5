"""Interquartile means over tasks and seeds, with bootstrap intervals.

After Agarwal et al., 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 5_000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An interquartile mean.

    Attributes:
        iqm: The mean of the middle half of all returns.
        low: Lower end of its interval.
        high: Upper end.
    """

    iqm: float
    low: float
    high: float


def interquartile_mean(returns: Sequence[Sequence[float]]) -> Interval | None:
    """Returns the interquartile mean, with the 95 % interval of a stratified bootstrap.

    The seeds of each task are resampled on their own; the interval is that of the percentiles.

    Args:
        returns: Of each task, one for each seed.

    Returns:
        ``None`` where a task has fewer than two seeds, or another number of them: the middle half
        would be that of the tasks with more.

    Raises:
        ModuleNotFoundError: If SciPy is missing.
    """
    if len({*map(len, returns)}) != 1 or len(returns[0]) < 2:
        return None
    try:
        from scipy import stats
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'Intervals need SciPy: pip install "core-repr[campaign]".', name="scipy"
        ) from None

    def iqm(*tasks: Any, axis: int = -1) -> Any:
        return stats.trim_mean(np.concatenate(tasks, axis), 0.25, axis=axis)

    tasks = [np.array(each, float) for each in returns]
    interval = stats.bootstrap(
        tasks,
        iqm,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(iqm(*tasks)), float(interval.low), float(interval.high))
