"""What is drawn, over many resets and steps of every task, against the paper's distributions.

Nothing is rendered here. Tests of hypotheses have fixed seeds and fail a right distribution less
than once in 10,000 choices of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

from core_repr.envs import PAPER_TASKS
from core_repr.envs.mujoco.directions import roll_by, to_cartesian, to_spherical
from core_repr.envs.mujoco.view import View

SCALES = {"easy": 0.1, "medium": 0.2, "hard": 0.3}
RARE = 1e-4
levels = pytest.mark.parametrize(
    "difficulty",
    [pytest.param(name, marks=[] if name == "hard" else pytest.mark.slow) for name in SCALES],
)
tasks = pytest.mark.parametrize("task", PAPER_TASKS)


@pytest.fixture(autouse=True)
def _no_rendering(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Frames are black, after the distractions wrote their state into the simulator."""

    def frame(view: View) -> np.ndarray:
        for distraction in view._distractions.values():
            distraction.apply()
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(View, "frame", frame)
    yield


def own_camera(env: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns the model's own camera: what it turns about, its position from there, its distance
    to the body."""
    model, data = env._physics.model, env._physics.data
    tracks = env._physics.model.ptr.cam_mode[0] == 2
    center = data.subtree_com[1].copy() if tracks else np.zeros(3)
    start = np.array(model.cam_poscom0[0] if tracks else model.cam_pos0[0])
    return center, start, float(np.linalg.norm(center + start - data.subtree_com[1]))


def limits(env: Any, task: str, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of radius, horizontal and vertical angle and roll, from the paper."""
    _, start, _ = own_camera(env)
    radius, horizontal, vertical = to_spherical(*start)
    swing = scale * math.pi / 2
    low = np.array([radius * (1 - 0.5 * scale), horizontal - swing, vertical - swing, -swing])
    high = np.array([radius * (1 + 1.5 * scale), horizontal + swing, vertical + swing, swing])
    if task != "reacher-easy":
        low[1:3] = np.maximum(low[1:3], [-math.pi, 0])
        high[1:3] = np.minimum(high[1:3], [0, math.pi / 2])
    return low, high


def pose(env: Any) -> np.ndarray:
    camera = env.distractions["camera"]
    return np.array([*camera.spherical, camera.roll])


def looks(env: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the position and orientation, shapes (3,) and (3, 3), that a frame is seen with."""
    data = env._physics.data
    return data.cam_xpos[0].copy(), data.cam_xmat[0].reshape(3, 3).copy()


@tasks
@levels
def test_camera_poses_at_resets(make, task: str, difficulty: str) -> None:
    env = make(task, difficulty=difficulty, background=False, frame_size=8).unwrapped
    poses = []
    for seed in range(100):
        env.reset(seed=seed)
        poses.append(pose(env))
    low, high = limits(env, task, SCALES[difficulty])
    shares = (np.array(poses) - low) / (high - low)
    assert (shares >= 0).all() and (shares <= 1).all()
    for share in shares.T:
        assert stats.kstest(share, "uniform").pvalue > RARE
    # The four are drawn independently: no correlation beyond what 100 draws have by chance.
    assert np.abs(np.corrcoef(shares.T) - np.eye(4)).max() < 0.42


@tasks
def test_a_moving_camera_keeps_its_ranges_and_speeds(make, task: str) -> None:
    scale = SCALES["hard"]
    env = make(
        task, difficulty="hard", dynamic=True, background=False, frame_size=8, action_repeat=1
    ).unwrapped
    slid = steps = 0
    for seed in range(5):
        env.reset(seed=seed)
        low, high = limits(env, task, scale)
        _, start, _ = own_camera(env)
        max_speed = 0.4 * scale * np.linalg.norm(start) / 4
        before = pose(env)
        for _ in range(100):
            env.step(env.action_space.sample())
            now = pose(env)
            assert (now >= low - 1e-9).all() and (now <= high + 1e-9).all()
            moved = np.linalg.norm(np.subtract(to_cartesian(*now[:3]), to_cartesian(*before[:3])))
            assert abs(now[3] - before[3]) <= scale * math.pi / 50 + 1e-9
            inside = ((now[:3] > low[:3]) & (now[:3] < high[:3])).all()
            # Along a bound of an angle, a camera may slide further than it would have gone.
            assert moved <= max_speed * (1 if inside else 1.5) + 1e-9
            slid += not inside
            steps += 1
            before = now
    assert slid < steps


@tasks
def test_a_step_of_the_camera(make, task: str) -> None:
    scale = SCALES["hard"]
    env = make(task, difficulty="hard", dynamic=True, background=False, frame_size=8).unwrapped
    env.reset(seed=0)
    camera = env.distractions["camera"]
    _, start, _ = own_camera(env)
    size = float(np.linalg.norm(start)) / 4
    middle = (camera.low + camera.high) / 2
    if task == "reacher-easy":
        # Off the pole, where every step would meet a bound of the horizontal angle.
        middle[2] = 0.8 * camera.high[2]
    at = np.array(to_cartesian(*middle[:3]))
    steps = []
    for _ in range(1500):
        camera.spherical, camera.roll = tuple(middle[:3].tolist()), 0.0
        camera._velocity, camera._roll_velocity = (0.0, 0.0, 0.0), 0.0
        camera.step()
        steps.append([*(np.array(to_cartesian(*camera.spherical)) - at), camera.roll])
    stds = [0.1 * scale * size] * 3 + [scale * math.pi / 300]
    for values, std in zip(np.transpose(steps), stds, strict=True):
        assert stats.kstest(values / std, "norm").pvalue > RARE
    # From rest, speed builds up to the limit and no further.
    camera._velocity = (1e3 * size, 0.0, 0.0)
    camera._roll_velocity = 1.0
    camera.spherical, camera.roll = tuple(middle[:3].tolist()), 0.0
    camera.step()
    moved = np.linalg.norm(np.array(to_cartesian(*camera.spherical)) - at)
    assert moved == pytest.approx(0.4 * scale * size, rel=1e-6)
    assert camera.roll == pytest.approx(scale * math.pi / 50)


@tasks
def test_velocities_at_resets(make, task: str) -> None:
    scale = SCALES["medium"]
    env = make(task, difficulty="medium", dynamic=True, background=False, frame_size=8).unwrapped
    speeds, rolls, headings = [], [], []
    for seed in range(80):
        env.reset(seed=seed)
        camera = env.distractions["camera"]
        speeds.append(np.linalg.norm(camera._velocity))
        headings.append(np.array(camera._velocity) / speeds[-1])
        rolls.append(camera._roll_velocity)
    _, start, _ = own_camera(env)
    max_speed, max_roll = 0.4 * scale * np.linalg.norm(start) / 4, scale * math.pi / 50
    assert stats.kstest(np.array(speeds) / max_speed, "uniform").pvalue > RARE
    assert stats.kstest((np.array(rolls) / max_roll + 1) / 2, "uniform").pvalue > RARE
    # A coordinate of a direction in space is uniform in [-1, 1].
    for coordinate in np.transpose(headings):
        assert stats.kstest((coordinate + 1) / 2, "uniform").pvalue > RARE


@tasks
def test_the_camera_looks_at_the_original_point(make, task: str) -> None:
    """Straight ahead of the model's own camera, as far away as the body at the start; with a
    tracking camera, it goes along with the body."""
    env = make(task, difficulty="hard", dynamic=True, background=False, frame_size=8).unwrapped
    clean = make(task, frame_size=8).unwrapped
    for seed in range(3):
        env.reset(seed=seed)
        clean.reset(seed=seed)
        center, start, distance = own_camera(clean)
        position, rotation = looks(clean)
        np.testing.assert_allclose(position, center + start, atol=1e-6)
        target = position - distance * rotation[:, 2]
        for _ in range(20):
            env.step(env.action_space.sample())
            moved_center, _, _ = own_camera(env)
            position, rotation = looks(env)
            seen = rotation.T @ (target + moved_center - center - position)
            # The suite writes its cameras' orientations with three digits.
            assert np.hypot(*seen[:2]) < 2e-3 * -seen[2]


@tasks
def test_the_upper_quadrant(make, task: str) -> None:
    env = make(task, difficulty="hard", dynamic=True, background=False, frame_size=8).unwrapped
    heights, sides = [], []
    for seed in range(40):
        env.reset(seed=seed)
        for _ in range(3):
            env.step(env.action_space.sample())
            center, _, _ = own_camera(env)
            position, rotation = looks(env)
            heights.append(position[2] - center[2])
            sides.append(position[1] - center[1])
            if task != "reacher-easy":
                # Upright before the roll: then its right is level and its up is not below.
                upright = rotation @ roll_by(-pose(env)[3])
                assert abs(upright[2, 0]) < 1e-9 and upright[2, 1] >= 0
    if task == "reacher-easy":
        # Its camera hangs straight above and strays to all sides.
        assert min(sides) < 0 < max(sides) and min(heights) > 0
    else:
        assert min(heights) >= -1e-9 and max(sides) <= 1e-9


@tasks
@levels
def test_colours_at_resets(make, task: str, difficulty: str) -> None:
    own = make(task).unwrapped._physics.model.mat_rgba.copy()
    env = make(task, difficulty=difficulty, background=False, camera=False, frame_size=8).unwrapped
    drawn = []
    for seed in range(60):
        env.reset(seed=seed)
        drawn.append(env._physics.model.mat_rgba.copy())
    scale = SCALES[difficulty]
    low, high = np.clip(own[:, :3] - scale, 0, 1), np.clip(own[:, :3] + scale, 0, 1)
    shares = (np.array(drawn)[..., :3] - low) / (high - low)
    assert shares.min() > -1e-5 and shares.max() < 1 + 1e-5
    assert stats.kstest(shares.ravel(), "uniform").pvalue > RARE
    for share in shares.reshape(60, -1).T:
        assert stats.kstest(share, "uniform").pvalue > RARE / 10
    np.testing.assert_array_equal(np.array(drawn)[..., 3], np.tile(own[:, 3], (60, 1)))


@tasks
@pytest.mark.parametrize("action_repeat", [pytest.param(1, marks=pytest.mark.slow), None])
def test_steps_of_the_colours(make, task: str, action_repeat: int | None) -> None:
    scale = SCALES["medium"]
    env = make(
        task,
        difficulty="medium",
        dynamic=True,
        background=False,
        camera=False,
        frame_size=8,
        action_repeat=action_repeat,
    ).unwrapped
    color = env.distractions["color"]
    middle = (color.low + color.high) / 2
    wide = color.high - color.low > 1.9 * scale
    changes = []
    for seed in range(12):
        env.reset(seed=seed)
        color._walk.values = middle.copy()
        env.step(env.action_space.sample())
        changes.append((color.rgb - middle)[wide])
    # A Gaussian step at each simulator step, too small to meet the bounds from the middle.
    std = 0.03 * scale * math.sqrt(env.action_repeat)
    assert stats.kstest(np.ravel(changes) / std, "norm").pvalue > RARE


@tasks
def test_clips_play_at_the_simulators_rate(make, task: str) -> None:
    env = make(task, difficulty="hard", dynamic=True, frame_size=8, num_videos=3).unwrapped
    background = env.distractions["background"]
    for seed in range(3):
        env.reset(seed=seed)
        frames = background.clip.frames()
        length, index, direction = (
            len(frames),
            background._playback.index,
            background._playback.direction,
        )
        # Back and forth is a circle through the frames, there and back without the two ends.
        circle = [*range(length), *range(length - 2, 0, -1)]
        place = index if direction > 0 else (len(circle) - index) % len(circle)
        for step in range(1, 250 // env.action_repeat):
            env.step(env.action_space.sample())
            due = circle[(place + step * env.action_repeat) % len(circle)]
            np.testing.assert_array_equal(background.frame, frames[due])


@tasks
def test_clips_frames_and_directions_are_drawn_evenly(make, task: str) -> None:
    env = make(task, difficulty="medium", frame_size=8, num_videos=4).unwrapped
    background = env.distractions["background"]
    names, starts, directions = [], [], []
    for seed in range(120):
        env.reset(seed=seed)
        names.append(background.clip.name)
        playback = background._playback
        starts.append((playback.index + 0.5) / playback.length)
        directions.append(playback.direction)
    counts = [names.count(clip.name) for clip in background._clips]
    assert sum(counts) == 120 and stats.chisquare(counts).pvalue > RARE
    assert stats.kstest(starts, "uniform").pvalue > RARE
    assert stats.binomtest(directions.count(1), 120).pvalue > RARE
    assert set(directions) == {1, -1}
