"""A moving average of weights, whose policy depends less on which update came last.

After Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992), with
exponentially falling weight.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class MovingAverage:
    """The average of parameters over their latest values.

    Args:
        parameters: Name → parameter, of any shape, that an optimiser moves in place.
        rate: Weight of the newest value, above 0 and at most 1.
    """

    def __init__(self, parameters: Mapping[str, Tensor], rate: float) -> None:
        self.names = list(parameters)
        self.parameters = [parameter.detach() for parameter in parameters.values()]
        self.rate = rate
        self.values = [parameter.clone() for parameter in self.parameters]

    def update(self, count: int) -> None:
        """Takes in the parameters as they are now.

        Args:
            count: Number of this update, from 1: the first 1 / rate count alike.
        """
        torch._foreach_lerp_(self.values, self.parameters, max(self.rate, 1 / count))

    def reset(self) -> None:
        """Forgets what was: the average is that of the parameters as they are."""
        torch._foreach_copy_(self.values, self.parameters)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Puts the average in the parameters' place until the block ends."""
        newest = [parameter.clone() for parameter in self.parameters]
        torch._foreach_copy_(self.parameters, self.values)
        try:
            yield
        finally:
            torch._foreach_copy_(self.parameters, newest)

    def tensors(self) -> dict[str, Tensor]:
        """Returns name → average."""
        return dict(zip(self.names, self.values, strict=True))

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Resumes from what :meth:`tensors` gave.

        Raises:
            ValueError: If a tensor is missing or has another shape.
        """
        for name, value in zip(self.names, self.values, strict=True):
            if name not in tensors or tensors[name].shape != value.shape:
                raise ValueError(
                    f"The checkpoint's average of {name!r} is missing or does not fit the config; "
                    "continue from the weights alone, such as a run's model folder."
                )
            value.copy_(tensors[name])
