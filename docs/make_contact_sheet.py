"""Sheets of what the tasks look like.

    python docs/make_contact_sheet.py docs/images [FILE ...]

writes into a folder, all or those that are named: a sheet of the paper's tasks at all levels in
both renderings (renderings.png), one of all tasks of the suite without distractions and at level
medium (suite.jpg), the same of Gymnasium's MuJoCo tasks (gymnasium.jpg), one of CarRacing, which
needs gymnasium[box2d] (car_racing.jpg), and one of robosuite's Door, which needs
core-repr[robosuite] (robosuite.jpg). With renderings.png, it prints how far the fast rendering is
from the full one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from core_repr import DistractionWrapper, ImageDistractionWrapper
from core_repr.envs.distracting_control.environment import DistractingControlEnv
from core_repr.envs.distracting_control.tasks import PAPER_TASKS, TASKS
from core_repr.envs.levels import LEVELS
from core_repr.envs.mujoco.view import RENDERINGS

GYMNASIUM_TASKS = [
    "Ant-v5",
    "HalfCheetah-v5",
    "Hopper-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "Pusher-v5",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
]

GRASS = [[102, 204, 102], [102, 230, 102]]
"""The colours of what is beside CarRacing's road."""

_STEPS = 10
_GAP = 4
_MARGIN_LEFT, _MARGIN_TOP = 120, 44
_INK = (30, 30, 30)


def frames_of(
    task: str, difficulty: str | None, rendering: str, *, frame_size: int, seeds: Sequence[int]
) -> NDArray[np.uint8]:
    """Plays the start of some episodes with random actions.

    Args:
        task: One of `core_repr.envs.task_names()`.
        difficulty: A level, or None.
        rendering: "fast" or "full"; the episodes are the same.
        frame_size: Height and width of a frame in pixels.
        seeds: One for each episode.

    Returns:
        The frame after some steps of each, shape (seeds, frame_size, frame_size, 3).
    """
    env = DistractingControlEnv(
        task, difficulty=difficulty, dynamic=True, frame_size=frame_size, rendering=rendering
    )
    env.action_space.seed(0)
    frames = []
    for seed in seeds:
        env.reset(seed=seed)
        for _ in range(_STEPS):
            frame, *_ = env.step(env.action_space.sample())
        frames.append(frame)
    env.close()
    return np.stack(frames)


def contact_sheet(
    renderings: Sequence[str] = ("full", "fast"), *, frame_size: int = 100, seed: int = 3
) -> NDArray[np.uint8]:
    """Draws a row for each task of the paper, and a column for each level and rendering.

    Args:
        renderings: Which to show, from left to right.
        frame_size: Height and width of a frame in pixels.
        seed: Chooses the episodes, of each task another.

    Returns:
        A picture with titles, shape (height, width, 3).
    """
    from PIL import Image, ImageDraw

    levels: list[str | None] = [None, *LEVELS]
    columns = [(rendering, level) for rendering in renderings for level in levels]
    cell = frame_size + _GAP
    size = (_MARGIN_LEFT + len(columns) * cell + _GAP, _MARGIN_TOP + len(PAPER_TASKS) * cell + _GAP)
    sheet = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for i, (rendering, level) in enumerate(columns):
        left = _MARGIN_LEFT + i * cell
        draw.text((left, _MARGIN_TOP - 18), level or "none", _INK, font_size=14)
        if level is None and len(renderings) > 1:
            draw.text((left, 4), f'rendering="{rendering}"', _INK, font_size=16)
        for j, task in enumerate(PAPER_TASKS):
            (frame,) = frames_of(task, level, rendering, frame_size=frame_size, seeds=[seed + j])
            sheet.paste(Image.fromarray(frame), (left, _MARGIN_TOP + j * cell))
    for j, task in enumerate(PAPER_TASKS):
        draw.text((4, _MARGIN_TOP + (j + 0.4) * cell), task, _INK, font_size=13)
    return np.asarray(sheet)


def differences(task: str, *, frame_size: int = 84, episodes: int = 8) -> dict[str, float]:
    """Compares the two renderings of a task.

    Args:
        task: One of `core_repr.envs.task_names()`.
        frame_size: Height and width of a frame in pixels.
        episodes: How many frames to compare, each from another episode.

    Returns:
        For "none" and each level, the mean absolute difference of a pixel's value, of 255.
    """
    outcome = {}
    for level in (None, *LEVELS):
        fast, full = (
            frames_of(task, level, rendering, frame_size=frame_size, seeds=range(episodes))
            for rendering in RENDERINGS
        )
        outcome[level or "none"] = float(np.abs(fast.astype(int) - full.astype(int)).mean())
    return outcome


def wrapped_frame(
    env_id: str, level: str | None, *, frame_size: int, seed: int
) -> NDArray[np.uint8]:
    """Plays the start of an episode of a MuJoCo environment with random actions.

    Args:
        env_id: Gymnasium id.
        level: A level, or None.
        frame_size: Height and width of a frame in pixels.
        seed: Of the episode.

    Returns:
        The frame after some steps, shape (frame_size, frame_size, 3).
    """
    env = DistractionWrapper(gym.make(env_id), level, dynamic=True, frame_size=frame_size)
    env.action_space.seed(0)
    env.reset(seed=seed)
    for _ in range(_STEPS):
        frame, *_ = env.step(env.action_space.sample())
    env.close()
    return np.asarray(frame)


def pairs_sheet(
    tasks: Sequence[str],
    draw_frame: Callable[[str, str | None, int], NDArray[np.uint8]],
    *,
    frame_size: int = 84,
    columns: int = 7,
    seed: int = 3,
) -> NDArray[np.uint8]:
    """Draws every task twice: without distractions, and beside it at level medium.

    Args:
        tasks: What to draw.
        draw_frame: Returns the frame of a task, a level and a seed.
        frame_size: Height and width of a frame in pixels.
        columns: Tasks side by side.
        seed: Chooses the episodes, of each task another.

    Returns:
        A picture with titles, shape (height, width, 3).
    """
    from PIL import Image, ImageDraw

    width, height = 2 * frame_size + 2 * _GAP, frame_size + 20
    rows = -(-len(tasks) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for i, task in enumerate(tasks):
        left, top = i % columns * width, i // columns * height
        draw.text((left + 2, top + 2), task, _INK, font_size=12)
        for j, level in enumerate((None, "medium")):
            frame = draw_frame(task, level, seed + i)
            sheet.paste(Image.fromarray(frame), (left + j * (frame_size + 1), top + 18))
    return np.asarray(sheet)


def car_racing_sheet(seeds: Sequence[int] = (0, 1)) -> NDArray[np.uint8]:
    """Draws frames of CarRacing with distractions in the picture, a column for each level.

    Args:
        seeds: Of the episodes, a row each.

    Returns:
        A picture without titles, shape (height, width, 3).
    """
    columns = []
    for level in (None, *LEVELS):
        env = ImageDistractionWrapper(
            gym.make("CarRacing-v3"), level, dynamic=True, background_colors=GRASS
        )
        frames = []
        for seed in seeds:
            env.reset(seed=seed)
            for _ in range(60):
                frame, *_ = env.step(np.array([0.0, 0.3, 0.0]))
            frames.append(np.pad(frame, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255))
        env.close()
        columns.append(np.concatenate(frames))
    sheet: NDArray[np.uint8] = np.concatenate(columns, axis=1).repeat(2, axis=0).repeat(2, axis=1)
    return sheet


def robosuite_sheet(frame_size: int = 144, seeds: Sequence[int] = range(6)) -> NDArray[np.uint8]:
    """Draws starts of Door, rows for both robots and all distractions, a column for each seed.

    Args:
        frame_size: Height and width of a frame in pixels.
        seeds: Of the episodes.

    Returns:
        A picture without titles, shape (height, width, 3).
    """
    rows = []
    for robot in ("Panda", "Jaco"):
        for distractions in (None, "color", "color-camera"):
            env = gym.make(
                "distracting_robosuite/Door-v0",
                robot=robot,
                distractions=distractions,
                proprioception=False,
                frame_size=frame_size,
            )
            frames = [env.reset(seed=seed)[0] for seed in seeds]
            padding = ((0, _GAP), (0, _GAP), (0, 0))
            padded = [np.pad(frame, padding, constant_values=255) for frame in frames]
            rows.append(np.concatenate(padded, axis=1))
            env.close()
    return np.concatenate(rows)


def _of_the_suite(task: str, level: str | None, seed: int) -> NDArray[np.uint8]:
    (frame,) = frames_of(task, level, "fast", frame_size=84, seeds=[seed])
    return np.asarray(frame)


def _of_gymnasium(env_id: str, level: str | None, seed: int) -> NDArray[np.uint8]:
    return wrapped_frame(env_id, level, frame_size=120, seed=seed)


SHEETS: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "renderings.png": contact_sheet,
    "suite.jpg": lambda: pairs_sheet([*TASKS], _of_the_suite),
    "gymnasium.jpg": lambda: pairs_sheet(GYMNASIUM_TASKS, _of_gymnasium, frame_size=120, columns=4),
    "car_racing.jpg": car_racing_sheet,
    "robosuite.jpg": robosuite_sheet,
}
"""File → what draws it."""


def main(folder: str, *names: str) -> None:
    """Writes some sheets; with that of the renderings, prints how they differ."""
    from PIL import Image

    for name in names or SHEETS:
        Image.fromarray(SHEETS[name]()).save(Path(folder) / name, optimize=True, quality=85)
    if not names or "renderings.png" in names:
        for task in PAPER_TASKS:
            cells = (f"{level} {value:.1f}" for level, value in differences(task).items())
            print(f"{task}: {', '.join(cells)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
