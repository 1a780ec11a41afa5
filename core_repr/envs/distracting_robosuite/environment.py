"""A task of robosuite as a Gymnasium environment of pixels and proprioception."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from core_repr.envs.arguments import MAX_FRAME_SIZE
from core_repr.envs.checks import (
    require_choice,
    require_integer,
    require_switch,
)
from core_repr.envs.distracting_robosuite.randomization import (
    COLOR_SHARE,
    CameraPose,
    Colors,
    Lights,
)
from core_repr.envs.distracting_robosuite.simulator import (
    LOOKS,
    Observable,
    make_simulator,
    object_observables,
    proprioception,
)
from core_repr.envs.distracting_robosuite.simulator import (
    seed as seed_simulator,
)
from core_repr.envs.distracting_robosuite.tasks import (
    CONTROL_FREQUENCY,
    EPISODE_STEPS,
    ROBOTS,
    TASKS,
)
from core_repr.envs.mujoco.distraction import Distraction
from core_repr.envs.mujoco.textures import Textures
from core_repr.envs.mujoco.view import RENDERINGS, View
from core_repr.envs.rendering import select_backend
from core_repr.envs.rendering.coarse import coarse_meshes, shrink_textures
from core_repr.envs.view_environment import ViewEnv

DISTRACTIONS = (None, "color", "color-camera")

Observation = NDArray[np.uint8] | dict[str, NDArray[Any]]

_COLLISION = 0
"""Group of the shapes that collide and are not to be seen."""

_TEXTURE_SIZE = 128
"""Texels a side that the fast rendering draws."""

_VIEW_WIDTH, _COARSEST = 0.72, 0.008
"""How much of Door a frame shows at the distance of the handle, and how coarse a mesh looks smooth,
in metres."""


@dataclass(frozen=True, kw_only=True)
class _Arguments:
    task: str
    robot: str
    distractions: str | None
    proprioception: bool
    rendering: str
    frame_size: int
    look: str
    clean_frames: bool
    physics_state: bool
    render_mode: str | None

    _choices: ClassVar[Mapping[str, Any]] = {
        "task": TASKS,
        "robot": ROBOTS,
        "distractions": DISTRACTIONS,
        "rendering": RENDERINGS,
        "look": LOOKS,
        "render_mode": (None, "rgb_array"),
    }

    def __post_init__(self) -> None:
        for name, choices in self._choices.items():
            self._keep(name, require_choice(name, getattr(self, name), choices))
        for name in ("proprioception", "clean_frames", "physics_state"):
            self._keep(name, require_switch(name, getattr(self, name)))
        size = require_integer("frame_size", self.frame_size, highest=MAX_FRAME_SIZE)
        self._keep("frame_size", size)

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


class Quantities:
    """What is observed of the objects, as quantities that probes look for.

    Attributes:
        names: One for each number.
    """

    def __init__(self, observables: Sequence[Observable]) -> None:
        self._observables = observables
        self.names = [
            name if size == 1 else f"{name} {index}"
            for name, size, _ in observables
            for index in range(size)
        ]

    def __call__(self, observed: Mapping[str, Any]) -> NDArray[np.float64]:
        """Returns their values."""
        return np.concatenate([observable.value(observed) for observable in self._observables])


class DistractingRobosuiteEnv(ViewEnv[Observation]):
    """A manipulation task of robosuite for one arm, seen through distractions.

    ```python
    env = gym.make("distracting_robosuite/Door-v0", robot="Jaco", distractions="color")
    observation, info = env.reset(seed=0)
    ```

    The arm is moved by its end effector: three numbers of translation, three of rotation and one of
    the gripper, each between −1 and 1, 20 times a second. The reward is robosuite's shaped one, at
    most 1 a step. An episode ends, truncated, after 500 steps. `info["success"]` tells whether
    the task is solved.

    Observations are a dictionary of `"pixels"`, a square frame, and `"proprioception"`: cosines,
    sines and velocities of the joints, position and orientation (a quaternion) of the end
    effector, positions and velocities of the gripper's joints.

    Everything random follows from the seed of `reset`. With
    `reset(options={"distraction_seed": n})`, the same episode is seen through other distractions.

    Args:
        task: One of `core_repr.envs.distracting_robosuite.tasks.TASKS`.
        robot: "Panda", "Jaco", "IIWA", "Kinova3", "Sawyer" or "UR5e".
        distractions: What differs between episodes: "color" is colours, textures and lights,
            "color-camera" the camera too; None is nothing. It is what the paper's code does,
            robosuite's domain randomisation.
        proprioception: Whether the robot's own state is observed; otherwise observations are
            frames alone.
        rendering: "fast" draws what a small frame can show, with coarser meshes and textures;
            "full" with shadows, reflections and smooth edges, as robosuite does.
        frame_size: Height and width of a frame in pixels, at most 4,096.
        look: "1.5" is the installed robosuite's arena; "1.2" has floor, walls and lights of the
            release that the paper had.
        clean_frames: Whether `info["clean_frame"]` holds the same moment without distractions.
        physics_state: Whether `info["physics_state"]` holds the simulator's state, and
            `info["physics_quantities"]` what `quantities` names.
        render_mode: "rgb_array", or None if `render` is not used.

    Attributes:
        model: The `mujoco.MjModel`.
        data: Its `mujoco.MjData`.
        distractions: What disturbs the view: some of "textures", "color", "lighting", "camera".
        quantities: Names the physical quantities in `info["physics_quantities"]`.

    Raises:
        TypeError: A size is not an integer.
        ValueError: An argument has a value that is not among those above.
        RenderingError: There is no OpenGL to render with.
        gymnasium.error.DependencyNotInstalled: robosuite is missing or of another release.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": CONTROL_FREQUENCY,
        "distraction_arguments": ["distractions", "look"],
        "distraction_choices": {"distractions": DISTRACTIONS},
        "information_arguments": ["clean_frames", "physics_state"],
    }

    def __init__(
        self,
        task: str,
        robot: str = "Panda",
        distractions: str | None = None,
        *,
        proprioception: bool = True,
        rendering: str = "fast",
        frame_size: int = 72,
        look: str = "1.5",
        clean_frames: bool = False,
        physics_state: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self._arguments = arguments = _Arguments(
            task=task,
            robot=robot,
            distractions=distractions,
            proprioception=proprioception,
            rendering=rendering,
            frame_size=frame_size,
            look=look,
            clean_frames=clean_frames,
            physics_state=physics_state,
            render_mode=render_mode,
        )
        self.render_mode = arguments.render_mode
        select_backend()
        self._simulator = make_simulator(
            arguments.task,
            arguments.robot,
            look=arguments.look,
            objects=arguments.physics_state,
        )
        self.model = self._simulator.sim.model._model
        self.data = self._simulator.sim.data._data
        self.quantities = Quantities(
            object_observables(self._simulator) if arguments.physics_state else []
        )
        coarse = None
        if arguments.rendering == "fast":
            shrink_textures(self.model, _TEXTURE_SIZE)
            # What lies within a pixel cannot be told apart.
            grid = min(_VIEW_WIDTH / arguments.frame_size, _COARSEST)
            coarse = coarse_meshes(self.model, grid)
        camera_id = self.model.camera(TASKS[arguments.task].camera).id
        self.distractions = _distractions(arguments, self.model, self.data, camera_id)
        self._view = View(
            self.model,
            self.data,
            self.distractions,
            camera=camera_id,
            aspect=1.0,
            frame_size=arguments.frame_size,
            rendering=arguments.rendering,
            hidden_groups=[_COLLISION],
            window=TASKS[arguments.task].window,
            coarse=coarse,
        )
        low, high = self._simulator.action_spec
        self._actions = self.action_space = spaces.Box(
            low.astype(np.float32), high.astype(np.float32), dtype=np.float32
        )
        self.observation_space = self._space()
        self._steps = 0

    @staticmethod
    def describe_distractions(arguments: Mapping[str, Any]) -> str:
        """Puts the distractions of an environment with some arguments into words.

        Args:
            arguments: Those of `gymnasium.make`.

        Returns:
            Such as `"Panda, colours and lights"`.
        """
        words = {
            "None": "no distractions",
            "color": "colours and lights",
            "color-camera": "colours, lights and camera",
        }
        told = words.get(str(arguments.get("distractions")), "other distractions")
        without = "" if arguments.get("proprioception", True) else ", frames alone"
        return f"{arguments.get('robot', 'Panda')}, {told}{without}"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Fixes the start, the distractions and all that follows; None continues with the
                random numbers that there are.
            options: With `{"distraction_seed": n}`, the distractions follow from n alone.

        Raises:
            TypeError: The seed of the distractions is not an integer.
            ValueError: It is negative, or an option is unknown.
        """
        super().reset(seed=seed)
        self._episode_runs = False
        own_seed, distraction_seed = self.np_random.integers(2**32, size=2).tolist()
        for name, value in (options or {}).items():
            require_choice("options", name, ["distraction_seed"])
            distraction_seed = require_integer(name, value, lowest=0)
        seed_simulator(self._simulator, own_seed)
        observed = self._simulator.reset()
        generators = np.random.default_rng(distraction_seed).spawn(len(_PARTS))
        for name, rng in zip(_PARTS, generators, strict=True):
            if name in self.distractions:
                self.distractions[name].reset(rng)
        self._steps = 0
        self._episode_runs = self._has_state = True
        return self._observe(observed)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Takes a control step, of 1/20 s.

        Args:
            action: Shape of the action space.

        Raises:
            ValueError: The action has another shape, is not finite or out of bounds.
            gymnasium.error.ResetNeeded: The episode is over, or none was started.
        """
        control = self._control(action)
        observed, reward, _, _ = self._simulator.step(control)
        self._steps += 1
        truncated = self._steps >= EPISODE_STEPS
        self._episode_runs = not truncated
        observation, info = self._observe(observed)
        return observation, float(reward), False, truncated, info

    def _space(self) -> spaces.Space[Any]:
        side = self._arguments.frame_size
        pixels = spaces.Box(0, 255, (side, side, 3), np.uint8)
        if not self._arguments.proprioception:
            return pixels
        size = proprioception(self._simulator.reset()).shape
        own = spaces.Box(-np.inf, np.inf, size, np.float32)
        return spaces.Dict({"pixels": pixels, "proprioception": own})

    def _observe(self, observed: Mapping[str, Any]) -> tuple[Observation, dict[str, Any]]:
        info: dict[str, Any] = {"success": bool(self._simulator._check_success())}
        if self._arguments.clean_frames:
            info["clean_frame"] = self._view.clean_frame()
        if self._arguments.physics_state:
            info["physics_state"] = self._simulator.sim.get_state().flatten()
            info["physics_quantities"] = self.quantities(observed)
        frame = self._view.frame()
        if not self._arguments.proprioception:
            return frame, info
        return {"pixels": frame, "proprioception": proprioception(observed)}, info


_PARTS = ("textures", "color", "lighting", "camera")


def _distractions(
    arguments: _Arguments, model: Any, data: Any, camera_id: int
) -> dict[str, Distraction]:
    found: dict[str, Distraction] = {}
    if arguments.distractions is None:
        return found
    found["textures"] = Textures(model, share=COLOR_SHARE)
    found["color"] = Colors(model)
    found["lighting"] = Lights(model, data)
    if arguments.distractions == "color-camera":
        found["camera"] = CameraPose(model, data, camera_id=camera_id)
    return found
