from __future__ import annotations

import mujoco
import pytest

from core_repr.envs.mujoco.surfaces import Opacity, colored_by_themselves

SCENE = """
<mujoco>
  <asset><material name="grid" rgba="0.1 0.2 0.3 1"/><material name="wood"/></asset>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 1" material="grid" rgba="0.8 0.9 0.8 1"/>
    <geom name="table" type="box" size="1 1 1" material="wood"/>
    <geom name="plain" type="box" size="1 1 1"/>
    <body><freejoint/><geom name="tray" type="box" size="1 1 1" material="grid"/></body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def model():
    return mujoco.MjModel.from_xml_string(SCENE)


def alphas(model) -> dict[str, float]:
    found = {name: float(model.material(name).rgba[3]) for name in ("grid", "wood")}
    return found | {name: float(model.geom(name).rgba[3]) for name in ("floor", "plain", "tray")}


def test_the_colour_that_counts(model) -> None:
    counts = colored_by_themselves(model)
    found = {model.geom(i).name: bool(counts[i]) for i in range(model.ngeom) if model.geom(i).name}
    assert found == {"floor": True, "table": False, "plain": True, "tray": False}


@pytest.mark.parametrize(
    ("surfaces", "expected"),
    [
        (None, {"floor": 0.3}),
        ({"grid": 0.2}, {"grid": 0.2, "floor": 0.2}),
        ({"table": 0.0}, {"wood": 0.0}),
        ({"plain": 0.5, "floor": 1.0}, {"plain": 0.5, "floor": 1.0}),
        ({}, {}),
    ],
)
def test_opacity_is_written_where_it_counts(model, surfaces, expected) -> None:
    before = alphas(model)
    Opacity(model, surfaces).apply(model)
    assert alphas(model) == pytest.approx(before | expected)


def test_unknown_surfaces_and_opacities_are_refused(model) -> None:
    with pytest.raises(ValueError, match=r"no geometry 'flor': did you mean floor\?"):
        Opacity(model, {"flor": 0.5})
    with pytest.raises(ValueError, match="opacity of 'floor' is 2"):
        Opacity(model, {"floor": 2})
