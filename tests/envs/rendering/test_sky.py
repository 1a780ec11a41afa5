from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core_repr.envs.rendering.sky import faces_in_view

UNIT = st.floats(-1, 1)
# OpenGL's order of faces, in the world's axes: +x, −x, +z, −z, −y, +y.
DIRECTIONS = np.array([[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1], [0, -1, 0], [0, 1, 0]])


@given(
    quaternion=st.tuples(UNIT, UNIT, UNIT, UNIT).filter(lambda q: np.linalg.norm(q) > 0.1),
    half_height=st.floats(0.05, 1.5),
    half_width=st.floats(0.05, 1.5),
)
def test_no_face_in_view_is_missed(quaternion, half_height, half_width) -> None:
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    # Just inside the view: on its border, rounding decides between two faces.
    line = np.linspace(-0.999, 0.999, 41)
    u, v = np.meshgrid(line * half_width, line * half_height)
    rays = np.stack([u, v, -np.ones_like(u)], axis=-1).reshape(-1, 3) @ rotation.T
    seen = set((rays @ DIRECTIONS.T).argmax(axis=1).tolist())
    assert seen <= set(faces_in_view(rotation, half_height, half_width).tolist())


@pytest.mark.parametrize(
    ("back", "face"),
    [((-1, 0, 0), 0), ((1, 0, 0), 1), ((0, 0, -1), 2), ((0, 0, 1), 3), ((0, 1, 0), 4)],
)
def test_a_narrow_view_sees_one_face(back, face) -> None:
    right = np.roll(back, 1)
    rotation = np.stack([right, np.cross(back, right), back], axis=1).astype(float)
    half = math.tan(math.radians(20))
    assert faces_in_view(rotation, half, half).tolist() == [face]


@pytest.mark.parametrize("task", ["cartpole-swingup", "reacher-easy", "walker-walk"])
def test_a_clip_is_seen_the_right_way_round(make, tmp_path, task: str) -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, :320, 0] = 255  # red on the left
    picture[:240, :, 1] = 255  # green above
    (tmp_path / "clip").mkdir()
    Image.fromarray(picture).save(tmp_path / "clip" / "0.png")
    env = make(
        task,
        difficulty="easy",
        backgrounds=str(tmp_path),
        num_videos=1,
        camera=False,
        color=False,
    )
    frame, _ = env.reset(seed=0)
    # The walker's camera looks down at the middle of the clip, and its ground hides the rest.
    top = frame[1].astype(int)
    assert top[1, 0] > 200 and top[-2, 0] < 50
    if task != "walker-walk":
        assert frame[1, 1, 1] > 200 and frame[1, -2, 1] > 200
    if task == "reacher-easy":
        assert frame[-2, 1, 1] < 50 and frame[-2, 1, 0] > 200
