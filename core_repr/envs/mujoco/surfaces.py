"""The surfaces of a MuJoCo model, and which of its colours counts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DEFAULT_RGBA = (0.5, 0.5, 0.5, 1.0)
"""A geometry's colour where none is given; its material's counts then."""

_PLANE, _HEIGHT_FIELD = 0, 1
"""The types of `mujoco.mjtGeom` that a ground can have."""


def colored_by_themselves(model: Any) -> NDArray[np.bool_]:
    """Returns which geometries are drawn in their own colour, not in a material's.

    MuJoCo draws a geometry's own colour where it has no material, and where that colour is another
    than the default.

    Returns:
        Shape (geometries,).
    """
    own: NDArray[np.bool_] = (model.geom_rgba != np.array(_DEFAULT_RGBA, np.float32)).any(axis=1)
    own |= model.geom_matid < 0
    return own


class Opacity:
    """The opacity of some surfaces, written where it counts.

    Args:
        model: The `mujoco.MjModel`.
        surfaces: Name of a material or a geometry → its opacity in [0, 1]; None for every ground: a
            plane or a height field that does not move, with the opacity of `GROUND`.

    Raises:
        ValueError: The model has no surface of a name, or an opacity is not in [0, 1].
    """

    GROUND = 0.3

    def __init__(self, model: Any, surfaces: Mapping[str, float] | None) -> None:
        self._materials: dict[int, float] = {}
        self._geometries: dict[int, float] = {}
        if surfaces is None:
            still = model.body_weldid[model.geom_bodyid] == 0
            for geometry in np.flatnonzero(
                still & np.isin(model.geom_type, (_PLANE, _HEIGHT_FIELD))
            ):
                self._add_geometry(model, int(geometry), self.GROUND)
            return
        materials = [model.material(i).name for i in range(model.nmat)]
        geometries = [model.geom(i).name for i in range(model.ngeom)]
        for name, opacity in surfaces.items():
            if not 0 <= opacity <= 1:
                raise ValueError(f"the opacity of {name!r} is {opacity}: expected one from 0 to 1.")
            if name in materials:
                self._add_material(model, materials.index(name), opacity)
            elif name and name in geometries:
                self._add_geometry(model, geometries.index(name), opacity)
            else:
                known = sorted({*filter(None, [*materials, *geometries])})
                near = difflib.get_close_matches(name, known)
                raise ValueError(
                    f"the model has no material and no geometry {name!r}: "
                    + (f"did you mean {' or '.join(near)}?" if near else f"it has {known}.")
                )

    def apply(self, model: Any) -> None:
        """Writes the opacities into `mat_rgba` and `geom_rgba` of the model."""
        for material, opacity in self._materials.items():
            model.mat_rgba[material, 3] = opacity
        for geometry, opacity in self._geometries.items():
            model.geom_rgba[geometry, 3] = opacity

    def _add_material(self, model: Any, material: int, opacity: float) -> None:
        self._materials[material] = opacity
        for geometry in np.flatnonzero(
            (model.geom_matid == material) & colored_by_themselves(model)
        ):
            self._geometries[int(geometry)] = opacity

    def _add_geometry(self, model: Any, geometry: int, opacity: float) -> None:
        if colored_by_themselves(model)[geometry]:
            self._geometries[geometry] = opacity
        else:
            self._materials[int(model.geom_matid[geometry])] = opacity
