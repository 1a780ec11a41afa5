"""A task of robosuite, made as the paper's code makes it, silent, and seeded from outside."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from xml.etree import ElementTree

import gymnasium
import numpy as np
from numpy.typing import NDArray

from core_repr.envs.distracting_robosuite.tasks import (
    CONTROL_FREQUENCY,
    EPISODE_STEPS,
    PROPRIOCEPTION,
)

_RELEASE = "1.5"

LOOKS = ("1.5", "1.2")
"""Releases of robosuite, by what their arena looks like."""

_OLD_TEXTURES = {
    "light-gray-floor-tile.png": "wood-tiles.png",
    "light-gray-plaster.png": "cream-plaster.png",
}
"""What floor and walls are covered with → what they were covered with in robosuite 1.2."""

_OLD_LIGHTS = ("1 1 4", "-3 -3 4")
"""Where the two lights of robosuite 1.2 are, in metres."""


class _ErrorsAlone(logging.Filter):
    """Drops what robosuite tells and warns of, whatever level it sets itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps robosuite from warning of what is not needed here."""
    log, errors_alone = logging.getLogger("robosuite_logs"), _ErrorsAlone()
    log.addFilter(errors_alone)
    try:
        yield
    finally:
        log.removeFilter(errors_alone)


def _import_robosuite() -> Any:
    install = "pip install 'core-repr[robosuite]'"
    try:
        import robosuite
    except ImportError as error:
        raise gymnasium.error.DependencyNotInstalled(
            f"robosuite cannot be imported ({error}): {install}."
        ) from error
    if not str(robosuite.__version__).startswith(f"{_RELEASE}."):
        raise gymnasium.error.DependencyNotInstalled(
            f"robosuite is {robosuite.__version__}, and these environments need {_RELEASE}: "
            f"{install}."
        )
    import robosuite.controllers

    return robosuite


@_quiet()
def make_simulator(
    task: str, robot: str, *, look: str, objects: bool, picture: int | None = None
) -> Any:
    """Makes a task of robosuite.

    The arm is moved by its end effector (OSC_POSE), at 20 Hz. Only what is asked for is observed.

    Args:
        task: Name of the task.
        robot: Name of the robot.
        look: One of `LOOKS`.
        objects: Whether the objects are observed besides the robot.
        picture: Height and width in pixels of robosuite's own picture, `frontview_image`; None for
            no renderer of its own.

    Raises:
        gymnasium.error.DependencyNotInstalled: robosuite is missing or of another release.
    """
    robosuite = _import_robosuite()
    controller = robosuite.controllers.load_composite_controller_config(controller="BASIC")
    # Of the other parts, which these robots do not have, robosuite would warn at each reset.
    controller["body_parts"] = {"right": controller["body_parts"]["right"]}
    kind = robosuite.environments.base.REGISTERED_ENVS[task]
    if look == "1.2":
        kind = _with_the_old_look(kind)
    simulator = kind(
        robots=robot,
        controller_configs=controller,
        use_camera_obs=picture is not None,
        camera_names="frontview",
        camera_heights=picture or 1,
        camera_widths=picture or 1,
        use_object_obs=objects,
        has_renderer=False,
        has_offscreen_renderer=picture is not None,
        renderer="mujoco",
        control_freq=CONTROL_FREQUENCY,
        horizon=EPISODE_STEPS,
        ignore_done=True,
        hard_reset=False,
        reward_shaping=True,
    )
    # Without the joints' positions, robosuite would give zeros for their cosines and sines.
    wanted = {f"robot0_{name}" for name in (*PROPRIOCEPTION, "joint_pos")} | {"frontview_image"}
    for name in simulator.observation_names:
        if name not in wanted and not (objects and _is_of_an_object(simulator, name)):
            simulator.modify_observable(name, "enabled", False)
            simulator.modify_observable(name, "active", False)
    simulator.rng = _SameInEachProcess(simulator.rng.bit_generator)
    return simulator


class _SameInEachProcess(np.random.Generator):
    """Chooses from names in the order of the alphabet.

    Tasks that draw their object make a list of a set, whose order differs from process to process.
    """

    def choice(self, a: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(a, list) and all(isinstance(name, str) for name in a):
            a = sorted(a)
        return super().choice(a, *args, **kwargs)


def seed(simulator: Any, number: int) -> None:
    """Fixes the starts of the episodes that follow.

    Its generator is changed in place: samplers of places hold it since they were made.
    """
    simulator.rng.bit_generator.state = np.random.default_rng(number).bit_generator.state


class Observable(NamedTuple):
    """Something that is observed of the objects.

    Attributes:
        name: Its name.
        size: Number of values.
        sources: Names that robosuite has for it: one for each object of a task that has another
            object in each episode, of which one is there at a time.
    """

    name: str
    size: int
    sources: tuple[str, ...]

    def value(self, observed: Mapping[str, Any]) -> NDArray[np.float64]:
        """Returns its values."""
        value = next(observed[name] for name in self.sources if name in observed)
        return np.ravel(value).astype(np.float64)


def object_observables(simulator: Any) -> list[Observable]:
    """Returns what is observed of the objects."""
    taking_turns = _observables_taking_turns(simulator)
    # The names that robosuite gives are a set, in another order in each process.
    names = simulator.observation_names
    found = {}
    for own, value in simulator.observation_spec().items():
        if own in names and _is_of_an_object(simulator, own):
            name, sources = taking_turns.get(own, (own, (own,)))
            found[name] = Observable(name, np.size(value), sources)
    return list(found.values())


def _observables_taking_turns(simulator: Any) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name → the common name, and the names for all objects, where a task draws its object."""
    if getattr(simulator, "single_object_mode", 0) != 1:
        return {}
    if hasattr(simulator, "nuts"):
        objects, sensors = simulator.nuts, simulator.nut_id_to_sensors
    else:
        objects, sensors = simulator.objects, simulator.object_id_to_sensors
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for sources in zip(*(sensors[index] for index in range(len(objects))), strict=True):
        name = sources[0].replace(objects[0].name, "object")
        found |= dict.fromkeys(sources, (name, sources))
    return found


def proprioception(observed: Mapping[str, Any]) -> NDArray[np.float32]:
    """Joins what is observed of the robot itself."""
    # A robot without a gripper, as in Wipe, lacks the last two.
    names = [f"robot0_{name}" for name in PROPRIOCEPTION if f"robot0_{name}" in observed]
    return np.concatenate([np.ravel(observed[name]) for name in names]).astype(np.float32)


def _is_of_an_object(simulator: Any, name: str) -> bool:
    return bool(simulator._observables[name].modality == "object")


def _with_the_old_look(kind: Any) -> Any:
    """Returns a task's class with the arena's look of robosuite 1.2."""

    def edit_model_xml(self: Any, text: str) -> str:
        root = ElementTree.fromstring(kind.edit_model_xml(self, text))
        for texture in root.iter("texture"):
            file = texture.get("file", "")
            for new, before in _OLD_TEXTURES.items():
                if file.endswith(f"/{new}"):
                    texture.set("file", file.removesuffix(new) + before)
        world = root.find("worldbody")
        assert world is not None
        for light in world.findall("light"):
            world.remove(light)
        for place in _OLD_LIGHTS:
            ElementTree.SubElement(
                world,
                "light",
                pos=place,
                dir=" ".join(str(-float(value)) for value in place.split()),
                diffuse="0.8 0.8 0.8",
                specular="0.3 0.3 0.3",
                directional="false",
                castshadow="false",
            )
        return ElementTree.tostring(root, encoding="unicode")

    return type(f"{kind.__name__}Of12", (kind,), {"edit_model_xml": edit_model_xml})
