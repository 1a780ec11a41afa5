"""The Distracting Control Suite as a Gymnasium environment of pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from core_repr.envs.arguments import DISTRACTION_ARGUMENTS, describe_distractions
from core_repr.envs.checks import require_choice, require_integer
from core_repr.envs.clips.clip import Clip
from core_repr.envs.distracting_control.arguments import RENDER_MODES, Arguments
from core_repr.envs.distracting_control.quantities import PhysicalQuantities
from core_repr.envs.distracting_control.simulator import action_space, load_task
from core_repr.envs.distracting_control.tasks import EPISODE_STEPS, TASKS
from core_repr.envs.mujoco.background import Background
from core_repr.envs.mujoco.camera import Camera
from core_repr.envs.mujoco.color import Color
from core_repr.envs.mujoco.distraction import Distraction
from core_repr.envs.mujoco.lighting import Lighting
from core_repr.envs.mujoco.mounts import SuiteMount
from core_repr.envs.mujoco.view import View
from core_repr.envs.view_environment import ViewEnv

_CAMERA_ID, _ASPECT = 0, 4 / 3
"""The camera that the suite looks through. Its view is 320×240, and squeezed into a square."""

_GROUND, _WALL = "grid", "background"
"""Materials of the suite's ground, and of the wall before the sky in manipulator and stacker."""


class DistractingControlEnv(ViewEnv[NDArray[np.uint8]]):
    """A task of the DeepMind Control Suite, seen through distractions.

    ```python
    env = gym.make("distracting_control/cartpole-swingup-v0", difficulty="medium", dynamic=True)
    frame, info = env.reset(seed=0)
    ```

    The observation is a square frame of what the suite's camera sees. An episode ends, truncated
    and not terminated, after 1,000 simulator steps. The information has, after each reset and
    step, `env_steps`: the simulator steps of the episode so far, and on request `clean_frame` and
    `physics_state`.

    Everything random follows from the seed: the same seed gives the same frames. The distractions
    are drawn independently of one another and move on at every simulator step, so switching one
    off, or another action repeat, leaves the others as they are.

    Args:
        task: One of `core_repr.envs.task_names()`.
        difficulty: "easy", "medium" or "hard"; None for no distraction.
        scale: σ, how far camera, colours and lights vary, from 0 to 1; None for what the level
            says. Clips play at every scale.
        dynamic: Whether distractions move within an episode or stay as they are drawn.
        split: "train" or "val": which clips the background shows.
        backgrounds: "procedural" for generated clips, "davis" for what `core-repr download davis`
            fetched, or a folder of videos, a string or a path, see `clip_folder.find`; None for no
            clip.
        num_videos: How many clips to use; None for what the level asks for.
        background: Whether the background is distracting.
        camera: Whether the camera is.
        color: Whether colours are.
        lighting: Whether lights are; not so in the published suite.
        suite_camera: Whether reacher's camera stays on one side of the arm, as it does in the
            published suite, see `Camera`; in the other tasks it changes nothing.
        frame_size: Height and width of an observation in pixels, at most 4,096.
        rendering: "fast" draws what a small frame can show; "full" draws 320×240 pixels as the
            suite does, with shadows and reflections, and resizes them, as the paper does.
        action_repeat: Simulator steps an action is held for; None for the paper's.
        clean_frames: Whether `info["clean_frame"]` holds the same moment without distractions,
            of the observation's shape. It costs as much as a frame.
        physics_state: Whether `info["physics_state"]` holds the simulator's state, a float64
            vector of positions, velocities and activations, and `info["physics_quantities"]` what
            `quantities` names.
        render_mode: "rgb_array", or None if `render` is not used.

    Attributes:
        action_repeat: Simulator steps an action is held for.
        frame_size: Height and width of an observation in pixels.
        distractions: What disturbs the view: some of "background", "camera", "color" and
            "lighting".
        quantities: Names the physical quantities in `info["physics_quantities"]`.

    NumPy's integers and booleans count as Python's. The spec holds plain values, which JSON knows.
    `copy.deepcopy` and pickle take the episode along as it is.

    Raises:
        TypeError: A size or number is not an integer, or `backgrounds` is not a path.
        ValueError: An argument has a value that is not among those above, a folder has too few
            clips, or there is a level of difficulty and every distraction is switched off.
        FileNotFoundError: The folder is missing.
        RenderingError: There is no OpenGL to render with.
        gymnasium.error.DependencyNotInstalled: dm_control is missing or does not fit MuJoCo.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": RENDER_MODES,
        "distraction_arguments": [*DISTRACTION_ARGUMENTS, "suite_camera"],
        "split_arguments": ["num_videos"],
        "information_arguments": ["clean_frames", "physics_state"],
    }

    def __init__(
        self,
        task: str,
        *,
        difficulty: str | None = None,
        scale: float | None = None,
        dynamic: bool = False,
        split: str = "train",
        backgrounds: str | os.PathLike[str] | None = "procedural",
        num_videos: int | None = None,
        background: bool = True,
        camera: bool = True,
        color: bool = True,
        lighting: bool = False,
        suite_camera: bool = False,
        frame_size: int = 72,
        rendering: str = "fast",
        action_repeat: int | None = None,
        clean_frames: bool = False,
        physics_state: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self._arguments = arguments = Arguments(
            task=task,
            difficulty=difficulty,
            scale=scale,
            dynamic=dynamic,
            split=split,
            backgrounds=backgrounds,
            num_videos=num_videos,
            background=background,
            camera=camera,
            color=color,
            lighting=lighting,
            suite_camera=suite_camera,
            frame_size=frame_size,
            rendering=rendering,
            action_repeat=action_repeat,
            clean_frames=clean_frames,
            physics_state=physics_state,
            render_mode=render_mode,
        )
        spec = TASKS[arguments.task]
        self.frame_size = arguments.frame_size
        self.action_repeat = arguments.action_repeat or spec.action_repeat
        self.render_mode = arguments.render_mode

        self._suite = load_task(spec.domain, spec.task)
        clips = arguments.clips()
        self._task, self._physics = self._suite.task, self._suite.physics
        model, data = self._physics.model.ptr, self._physics.data.ptr
        simulator_step = self._suite.control_timestep()
        self.quantities = PhysicalQuantities(self._physics)
        self._substeps = round(simulator_step / self._physics.timestep())

        self.distractions = _distractions(arguments, clips, model, data)
        self._view = View(
            model,
            data,
            self.distractions,
            camera=_CAMERA_ID,
            aspect=_ASPECT,
            frame_size=self.frame_size,
            rendering=arguments.rendering,
            ground_gain=spec.ground_gain,
            clip_gain=spec.ground_gain if spec.ground_alpha == 1.0 else 1.0,
        )

        self.metadata = {
            **type(self).metadata,
            "render_fps": 1 / (simulator_step * self.action_repeat),
        }
        self.observation_space = Box(0, 255, (self.frame_size, self.frame_size, 3), np.uint8)
        self._actions = self.action_space = action_space(self._suite)
        self._env_steps = 0

    @staticmethod
    def describe_distractions(arguments: Mapping[str, Any]) -> str:
        """Puts the distractions of an environment with some arguments into words.

        Args:
            arguments: Those of `gymnasium.make`.

        Returns:
            Such as `"easy, dynamic"`, or `"hard, dynamic, background only, 2 videos"`.
        """
        words = describe_distractions(arguments, off=("lighting",))
        if arguments.get("difficulty") and arguments.get("suite_camera"):
            words += ", the suite's camera"
        return words

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # The simulator brings a model of its own, which the other parts must draw and change.
        self._view.attach(self._physics.model.ptr, self._physics.data.ptr)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Fixes the start, the distractions and all that follows; None continues with the
                random numbers that there are.
            options: With `{"distraction_seed": n}`, the same episode is seen through other
                distractions: only they follow from n.

        Returns:
            The first frame, shape (frame_size, frame_size, 3), and the information.

        Raises:
            TypeError: The seed of the distractions is not an integer.
            ValueError: It is negative, an option is unknown, or a clip cannot be decoded.
        """
        super().reset(seed=seed)
        self._episode_runs = False
        task_seed, *seeds = self.np_random.integers(2**32, size=4).tolist()
        for name, value in (options or {}).items():
            require_choice("options", name, ["distraction_seed"])
            other = require_integer(name, value, lowest=0)
            seeds = np.random.SeedSequence(other).generate_state(3).tolist()
        self._task.random.seed(task_seed)
        self._suite.reset()
        self._env_steps = 0
        self._has_state = True
        for name, distraction_seed in zip(("background", "camera", "color"), seeds, strict=True):
            if name in self.distractions:
                self.distractions[name].reset(np.random.default_rng(distraction_seed))
        if "lighting" in self.distractions:
            self.distractions["lighting"].reset(np.random.default_rng([*seeds, 0]))
        self._episode_runs = True
        return self._observe()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Holds an action for `action_repeat` simulator steps.

        Args:
            action: Shape of the action space.

        Returns:
            The next frame, the sum of the rewards, whether the task terminated, whether the
            episode's 1,000 simulator steps are over, and the information.

        Raises:
            ValueError: The action has another shape, is not finite or out of bounds.
            gymnasium.error.ResetNeeded: The episode is over, or none was started since the
                environment was made or closed.
        """
        control = self._control(action)
        reward = 0.0
        terminated = False
        for _ in range(min(self.action_repeat, EPISODE_STEPS - self._env_steps)):
            self._task.before_step(control, self._physics)
            self._physics.step(self._substeps)
            self._task.after_step(self._physics)
            reward += float(self._task.get_reward(self._physics))
            self._env_steps += 1
            for distraction in self.distractions.values():
                distraction.step()
            terminated = self._task.get_termination(self._physics) is not None
            if terminated:
                break
        truncated = self._env_steps >= EPISODE_STEPS and not terminated
        self._episode_runs = not (terminated or truncated)
        frame, info = self._observe()
        return frame, reward, terminated, truncated, info

    def _observe(self) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        info: dict[str, Any] = {"env_steps": self._env_steps}
        if self._arguments.clean_frames:
            info["clean_frame"] = self._view.clean_frame()
        if self._arguments.physics_state:
            info["physics_state"] = self._physics.get_state()
            info["physics_quantities"] = self.quantities()
        return self._view.frame(), info


def _distractions(
    arguments: Arguments, clips: Sequence[Clip], model: Any, data: Any
) -> dict[str, Distraction]:
    """Builds what disturbs the view; nothing without a level of difficulty."""
    found: dict[str, Distraction] = {}
    if arguments.difficulty is None:
        return found
    spec, dynamic, scale = TASKS[arguments.task], arguments.dynamic, arguments.sigma
    if clips:
        surfaces = {_GROUND: spec.ground_alpha}
        if _WALL in (model.material(i).name for i in range(model.nmat)):
            surfaces[_WALL] = 0.0
        found["background"] = Background(model, clips, surfaces=surfaces, dynamic=dynamic)
    if arguments.camera:
        found["camera"] = Camera(
            SuiteMount(model, data, camera_id=_CAMERA_ID, upright=spec.upper_quadrant),
            scale=scale,
            dynamic=dynamic,
            above=spec.upper_quadrant,
            in_front=spec.upper_quadrant,
            one_sided=arguments.suite_camera,
        )
    if arguments.color:
        # Materials alone, as in the published suite.
        found["color"] = Color(model, scale=scale, dynamic=dynamic, geometries=False)
    if arguments.lighting:
        found["lighting"] = Lighting(model, data, scale=scale, dynamic=dynamic)
    return found
