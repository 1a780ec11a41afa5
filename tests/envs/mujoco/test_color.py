from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from core_repr.envs.mujoco.color import Color


@pytest.fixture
def model() -> SimpleNamespace:
    rgba = np.array([[0.5, 0.5, 0.5, 1.0], [0.05, 0.95, 0.4, 0.3]], np.float32)
    geometries = np.array([[0.5, 0.5, 0.5, 1.0], [0.2, 0.4, 0.6, 1.0]], np.float32)
    return SimpleNamespace(mat_rgba=rgba, geom_rgba=geometries, geom_matid=np.array([0, 1]))


def test_colours_are_drawn_within_the_scale(model) -> None:
    own = model.mat_rgba.copy()
    color = Color(model, scale=0.2, dynamic=False, geometries=False)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(300):
        color.reset(rng)
        drawn.append(color.rgb)
    low = np.clip(own[:, :3].astype(float) - 0.2, 0, 1)
    high = np.clip(own[:, :3].astype(float) + 0.2, 0, 1)
    assert (np.min(drawn, axis=0) >= low).all() and (np.max(drawn, axis=0) <= high).all()
    # A mean of 300 uniform draws is off by more than 0.06 of the range once in 10,000.
    np.testing.assert_allclose(np.mean(drawn, axis=0), (low + high) / 2, atol=0.06 * 0.4)
    color.apply()
    np.testing.assert_allclose(model.mat_rgba[:, :3], color.rgb, atol=1e-7)
    np.testing.assert_array_equal(model.mat_rgba[:, 3], own[:, 3])


def test_dynamic_colours_walk_inside_the_bounds(model) -> None:
    color = Color(model, scale=0.1, dynamic=True, geometries=False)
    color.reset(np.random.default_rng(0))
    walk = []
    for _ in range(4000):
        color.step()
        walk.append(color.rgb)
    path = np.array(walk)
    assert (path >= color.low).all() and (path <= color.high).all()
    steps = np.diff(path[:, 0, 0])
    # Clipping at the bounds takes a little from the standard deviation.
    assert np.std(steps) == pytest.approx(0.03 * 0.1, rel=0.1)


def test_static_colours_stay(model) -> None:
    color = Color(model, scale=0.1, dynamic=False, geometries=False)
    color.reset(np.random.default_rng(0))
    before = color.rgb.copy()
    color.step()
    np.testing.assert_array_equal(color.rgb, before)


def test_geometries_are_coloured_where_their_own_colour_counts(model) -> None:
    alone = Color(model, scale=0.2, dynamic=False, geometries=False)
    color = Color(model, scale=0.2, dynamic=False, geometries=True)
    for one in (alone, color):
        one.reset(np.random.default_rng(0))
    # Materials are drawn first, so they have the same colours.
    np.testing.assert_array_equal(color.rgb[:2], alone.rgb)
    before = model.geom_rgba.copy()
    alone.apply()
    np.testing.assert_array_equal(model.geom_rgba, before)
    color.apply()
    np.testing.assert_array_equal(model.geom_rgba[0], before[0])
    np.testing.assert_allclose(model.geom_rgba[1, :3], color.rgb[2], atol=1e-7)
