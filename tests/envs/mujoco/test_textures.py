from __future__ import annotations

import mujoco
import numpy as np
import pytest

from core_repr.envs.mujoco.textures import PATTERNS, Textures, checkered, graded, noisy, plain
from core_repr.envs.mujoco.view import View
from core_repr.envs.rendering.coarse import texels_of

SCENE = """
<mujoco>
  <asset>
    <texture name="unused" type="2d" builtin="flat" width="8" height="8" rgb1="1 1 1"/>
    <texture name="grey" type="2d" builtin="flat" width="32" height="16" rgb1=".5 .5 .5"/>
    <material name="grey" texture="grey"/>
  </asset>
  <worldbody>
    <light pos="0 0 2" directional="true"/>
    <camera pos="0 0 1"/>
    <geom type="plane" size="2 2 .1" material="grey"/>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(SCENE)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_pictures_of_two_colours_at_most(pattern) -> None:
    texels = pattern(np.random.default_rng(0), (6, 8))
    assert texels.shape == (6, 8, 3) and texels.min() >= 0 and texels.max() <= 255
    colors = {tuple(color) for color in texels.reshape(-1, 3)}
    assert len(colors) == {plain: 1, checkered: 2, noisy: 2, graded: len(colors)}[pattern]


def test_chequer_noise_and_gradient_are_what_they_are_called() -> None:
    texels = checkered(np.random.default_rng(0), (6, 8))
    np.testing.assert_array_equal(texels[1:, 1:], texels[:-1, :-1])
    assert (texels[0, 0] != texels[0, 1]).any()
    shares = []
    for seed in range(20):
        texels = noisy(np.random.default_rng(seed), (40, 40))
        shares.append((texels == texels[0, 0]).all(axis=2).mean())
    assert 0.05 < min(shares) < 0.4 < 0.6 < max(shares) < 0.95
    along = set()
    for seed in range(10):
        texels = graded(np.random.default_rng(seed), (6, 8))
        axis = int((texels[:, 0] == texels[0, 0]).all())
        along.add(axis)
        steps = np.diff(texels, axis=axis)
        np.testing.assert_allclose(steps, np.broadcast_to(steps[:1, :1], steps.shape), atol=1e-9)
    assert along == {0, 1}


def test_the_pattern_is_a_share_of_the_texture(model: mujoco.MjModel) -> None:
    textures = Textures(model, share=0.2)
    assert textures.numbers == [1]
    textures.reset(np.random.default_rng(0))
    own = texels_of(model, 1).astype(int)
    changed = textures._texels[1].astype(int)
    assert changed.min() >= 0.8 * own.min() - 1 and changed.max() <= 0.8 * own.max() + 52
    again = Textures(model, share=0.2)
    again.reset(np.random.default_rng(0))
    np.testing.assert_array_equal(again._texels[1], textures._texels[1])


def test_frames_show_them_anew_in_each_episode_and_clean_frames_never(
    model: mujoco.MjModel,
) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    textures = Textures(model, share=1.0)
    view = View(
        model, data, {"textures": textures}, camera=0, aspect=1.0, frame_size=16, rendering="fast"
    )
    own = model.tex_data.copy()
    clean, frames = view.clean_frame(), []
    for seed in range(4):
        textures.reset(np.random.default_rng(seed))
        frames.append(view.frame())
        np.testing.assert_array_equal(view.frame(), frames[-1])
        np.testing.assert_array_equal(view.clean_frame(), clean)
        np.testing.assert_array_equal(model.tex_data, own)
    assert len({frame.tobytes() for frame in frames}) == 4
    assert clean.std() < min(np.abs(frame.astype(int) - clean).mean() for frame in frames)
    picture = view.picture()
    assert np.abs(picture.mean(axis=(0, 1)) - frames[-1].mean(axis=(0, 1))).max() < 12
    view.close()
