"""Background distraction: the sky plays a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core_repr.envs.clips.clip import Clip
from core_repr.envs.clips.player import ClipPlayer
from core_repr.envs.mujoco.surfaces import Opacity


class Background(ClipPlayer):
    """Chooses a clip for each episode and plays it on the sky, behind transparent surfaces.

    Args:
        model: The `mujoco.MjModel`.
        clips: What to choose from, all of one size.
        surfaces: What would hide the sky: name of a material or a geometry → its opacity in [0, 1];
            None makes every ground half transparent.
        dynamic: Whether the clip plays.

    Raises:
        ValueError: The model has no surface of a name, or an opacity is not in [0, 1].
    """

    model_arrays: tuple[str, ...] = ("mat_rgba", "geom_rgba")
    data_arrays: tuple[str, ...] = ()

    def __init__(
        self,
        model: Any,
        clips: Sequence[Clip],
        *,
        surfaces: Mapping[str, float] | None,
        dynamic: bool,
    ) -> None:
        super().__init__(clips, dynamic=dynamic)
        self._model = model
        self._opacity = Opacity(model, surfaces)

    def apply(self) -> None:
        """Shows the frame that is due, and makes what is before it transparent."""
        self._opacity.apply(self._model)
        self.show()

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._model = model
