"""A moving average of weights: one update more or less can change a policy's return by a third."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class MovingAverage:
    """The average of parameters over their latest values, with exponentially falling weight.

    Args:
        parameters: Name → parameter that an optimiser moves in place.
        rate: Weight of the newest value, from 0 to 1.
    """

    def __init__(self, parameters: Mapping[str, Tensor], rate: float) -> None:
        self.names = list(parameters)
        self.parameters = [parameter.detach() for parameter in parameters.values()]
        self.rate = rate
        self.values = [parameter.clone() for parameter in self.parameters]

    def update(self, count: int) -> None:
        """Takes in the parameters after update number ``count``, of the first ones alike."""
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
        """Goes on from what :meth:`tensors` gave.

        Raises:
            ValueError: If a tensor is missing or has another shape.
        """
        for name, value in zip(self.names, self.values, strict=True):
            if name not in tensors or tensors[name].shape != value.shape:
                raise ValueError(
                    f"The checkpoint's average of {name!r} is missing or does not fit the config; "
                    "go on from the weights alone, such as a run's model folder."
                )
            value.copy_(tensors[name])
