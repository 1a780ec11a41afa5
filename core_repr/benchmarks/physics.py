"""Tasks with the observation that their simulators give: the state, without a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from core_repr.config import EnvironmentConfig
from core_repr.environments import make_environment
from core_repr.envs import task_names
from core_repr.envs.distracting_control.simulator import action_space, load_task
from core_repr.envs.distracting_control.tasks import TASKS
from core_repr.envs.distracting_robosuite import simulator as robosuite
from core_repr.envs.distracting_robosuite.tasks import EPISODE_STEPS as CONTROL_STEPS

EPISODE_STEPS = 1_000


def state_environment(environment: EnvironmentConfig) -> gym.Env[Any, Any]:
    """Makes the environment of a model as its simulator sees it.

    Of the suite and of robosuite, that is a task's physical state; of another environment whose
    pixels and distractions come from wrappers, what it observes without them.

    Args:
        environment: What the model's config records.

    Raises:
        ValueError: If nothing but pixels is known of the environment.
    """
    # The id of a task names it to whoever registered it.
    arguments = {**gym.spec(environment.id).kwargs, **environment.arguments}
    task = arguments.get("task")
    state: gym.Env[Any, Any] | None = None
    if task in task_names():
        state = PhysicsEnv(task, environment.action_repeat)
    elif environment.id.startswith("distracting_robosuite/") and environment.action_repeat == 1:
        names = ("task", "robot", "look")
        state = RobosuiteStateEnv(**{name: arguments[name] for name in names if name in arguments})
    elif environment.wrappers:
        return _without_wrappers(environment)
    if state is not None:
        limit = arguments.get("max_episode_steps")
        return state if limit is None else gym.wrappers.TimeLimit(state, limit)
    raise ValueError(
        f"No state is known of {environment.id}, only pixels; leave the agents that see it out of "
        "--agents."
    )


def _without_wrappers(environment: EnvironmentConfig) -> gym.Env[Any, Any]:
    bare = make_environment(replace(environment, wrappers=()))
    seen, actions = bare.observation_space, bare.action_space
    if (
        isinstance(seen, gym.spaces.Box)
        and len(seen.shape) == 1
        and isinstance(actions, gym.spaces.Box)
        # Wrappers that repeat or scale actions make another task of it.
        and environment.action_repeat == 1
        and np.array_equal(actions.low.ravel(), np.asarray(environment.action_low, np.float32))
        and np.array_equal(actions.high.ravel(), np.asarray(environment.action_high, np.float32))
    ):
        return bare
    bare.close()
    raise ValueError(
        f"What {environment.id} observes without its wrappers is not the state of the same task; "
        "leave the agents that see it out of --agents."
    )


class PhysicsEnv(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Positions and velocities of a task, as dm_control itself presents them, in one flat vector.

    Nothing can distract from them: what an agent learns here is what a perfect encoder would
    allow. Rewards, episodes and actions are those of ``distracting_control/<task>-v0``.

    Args:
        task: One of ``core_repr.envs.task_names()``.
        action_repeat: Simulator steps an action is held for.
    """

    def __init__(self, task: str, action_repeat: int) -> None:
        self._suite = load_task(TASKS[task].domain, TASKS[task].task)
        self._repeat = action_repeat
        self._steps = 0
        self.action_space = action_space(self._suite)
        size = sum(int(np.prod(spec.shape)) for spec in self._suite.observation_spec().values())
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode; the seed fixes its first state and all later ones."""
        super().reset(seed=seed)
        if seed is not None:
            self._suite.task.random.seed(seed)
        self._steps = 0
        return _flat(self._suite.reset().observation), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Holds an action for ``action_repeat`` simulator steps."""
        total = 0.0
        for _ in range(self._repeat):
            time_step = self._suite.step(action)
            total += time_step.reward
            self._steps += 1
            if self._steps == EPISODE_STEPS:
                break
        truncated = self._steps == EPISODE_STEPS
        return _flat(time_step.observation), total, False, truncated, {}


class RobosuiteStateEnv(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """The robot's own state and that of the objects, as robosuite observes them, in one vector.

    Starts, rewards, episodes and actions are those of ``distracting_robosuite/<task>-v0`` with the
    same seeds.

    Args:
        task: Such as "Door".
        robot: Such as "Panda".
        look: Of the arena, which is not seen.
    """

    def __init__(self, task: str, robot: str = "Panda", look: str = "1.5") -> None:
        self._simulator = robosuite.make_simulator(task, robot, look=look, objects=True)
        self._steps = 0
        self._objects = robosuite.object_observables(self._simulator)
        low, high = self._simulator.action_spec
        self.action_space = gym.spaces.Box(low.astype(np.float32), high.astype(np.float32))
        size = self._observe(self._simulator.reset()).shape
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, size)

    def _observe(self, observed: Mapping[str, Any]) -> NDArray[np.float32]:
        objects = [observable.value(observed) for observable in self._objects]
        return np.concatenate([robosuite.proprioception(observed), *objects]).astype(np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode; the seed fixes its first state."""
        super().reset(seed=seed)
        # As in the environment with pixels, which draws the distractions' seed with it.
        robosuite.seed(self._simulator, int(self.np_random.integers(2**32, size=2)[0]))
        self._steps = 0
        return self._observe(self._simulator.reset()), self._info()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Takes a control step, of 1/20 s."""
        observed, reward, _, _ = self._simulator.step(np.asarray(action, np.float64))
        self._steps += 1
        truncated = self._steps == CONTROL_STEPS
        return self._observe(observed), float(reward), False, truncated, self._info()

    def _info(self) -> dict[str, Any]:
        return {"success": bool(self._simulator._check_success())}


def _flat(observation: Mapping[str, Any]) -> NDArray[np.float32]:
    values = [np.ravel(value).astype(np.float32) for value in observation.values()]
    return np.concatenate(values)
