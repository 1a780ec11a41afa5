from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from core_repr.envs import PAPER_TASKS
from core_repr.envs.rendering.frame_renderer import FrameRenderer, FullRenderer, halve


def test_halve_averages_blocks() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    blocks = pixels.reshape(4, 2, 6, 2, 3).astype(float).mean(axis=(1, 3))
    np.testing.assert_array_equal(halve(pixels), np.floor(blocks + 0.5).astype(np.uint8))


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_full_rendering_is_the_suites_own_picture(make, task: str) -> None:
    env = make(task, frame_size=84, rendering="full").unwrapped
    frame, _ = env.reset(seed=0)
    suites = Image.fromarray(env._physics.render(240, 320, camera_id=0))
    expected = np.asarray(suites.resize((84, 84), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_fast_rendering_is_close_to_the_full_one(make, task: str) -> None:
    for difficulty in (None, "medium"):
        fast, full = (
            make(
                task,
                difficulty=difficulty,
                frame_size=84,
                rendering=rendering,
                # A clip of the size for full rendering takes seconds to generate.
                background=task == "cartpole-swingup",
                num_videos=1,
            )
            for rendering in ("fast", "full")
        )
        for seed in range(2):
            ours, theirs = (env.reset(seed=seed)[0].astype(int) for env in (fast, full))
            difference = np.abs(ours - theirs).mean()
            # What is left are shadows, reflections and the light's falling off.
            assert difference < 7
            assert abs(ours.mean() - theirs.mean()) < 3
            assert difference < 0.7 * np.abs(ours[:, ::-1] - theirs).mean()


@pytest.mark.parametrize("renderer", [FrameRenderer, FullRenderer])
def test_a_renderer_leaves_the_model_as_it_was(make, renderer: type[FrameRenderer]) -> None:
    env = make("reacher-easy").unwrapped
    model, data = env._physics.model.ptr, env._physics.data.ptr
    env.reset(seed=0)

    def settings() -> list[object]:
        quality, buffer = model.vis.quality, model.vis.global_
        return [
            *(quality.shadowsize, quality.offsamples, quality.numslices, quality.numstacks),
            *(buffer.offheight, buffer.offwidth),
            *(model.tex_height.tolist(), model.tex_width.tolist(), model.tex_data.tobytes()),
        ]

    before = settings()
    view = renderer(model, height=20, width=30, aspect=1.5, camera=0, ground_gain=1.5, sky_size=16)
    assert view.render(data, np.zeros((16, 16, 3), np.uint8)).shape == (20, 30, 3)
    view.close()
    assert settings() == before


def test_the_ground_takes_its_gain(make) -> None:
    env = make("reacher-easy").unwrapped
    env.reset(seed=0)
    frames = []
    for gain in (1.0, 1.5):
        view = FrameRenderer(
            env._physics.model.ptr,
            height=40,
            width=40,
            aspect=4 / 3,
            camera=0,
            ground_gain=gain,
        )
        frames.append(view.render(env._physics.data.ptr).astype(float))
        view.close()
    # A corner of the ground, which nothing else covers.
    np.testing.assert_allclose(frames[1][3, 8], 1.5 * frames[0][3, 8], atol=2)


def test_full_rendering_of_a_frame_larger_than_the_suites_picture(make) -> None:
    env = make("cartpole-swingup", frame_size=300, rendering="full")
    assert env.reset(seed=0)[0].shape == (300, 300, 3)
