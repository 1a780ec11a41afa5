from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from core_repr.agent import CoReSAC
from core_repr.world_model import Noise

LOW, HIGH = -2.0, 3.0


def random_frames(*batch: int) -> np.ndarray:
    return np.random.randint(256, size=(*batch, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def agent(make_agent: Callable[..., CoReSAC]) -> CoReSAC:
    return make_agent()


def test_actions_are_in_the_units_of_the_environment(agent: CoReSAC) -> None:
    last = agent.actor_critic.actor.network[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([50.0, -50.0, 0.0, 0.0]))
    action, state = agent.predict(random_frames(), deterministic=True)
    # tanh(±5) leaves 1e-4 of the way to the bounds −2 and 3.
    np.testing.assert_allclose(action, [HIGH, LOW], atol=5e-4)
    assert action.dtype == np.float32
    # The state carries the action as the model knows it.
    np.testing.assert_allclose(state.action, np.tanh([[5.0, -5.0]]), atol=1e-6)


@pytest.mark.parametrize("deterministic", [False, True])
def test_shapes_follow_the_observation(agent: CoReSAC, deterministic: bool) -> None:
    single, state = agent.predict(random_frames(), deterministic=deterministic)
    assert single.shape == (2,) and state.latent.h.shape == (1, 9)
    batch, state = agent.predict(random_frames(3), deterministic=deterministic)
    assert batch.shape == (3, 2) and state.latent.h.shape == (3, 9)
    assert (batch >= LOW).all() and (batch <= HIGH).all()
    one, _ = agent.predict(random_frames(1), deterministic=deterministic)
    assert one.shape == (1, 2)


def test_a_batch_equals_its_environments_one_by_one(agent: CoReSAC) -> None:
    steps, envs = 6, 3
    frames = random_frames(steps, envs)
    starts = np.random.rand(steps, envs) < 0.3
    starts[0] = True
    together, state = [], None
    for t in range(steps):
        action, state = agent.predict(frames[t], state, starts[t], deterministic=True)
        together.append(action)
    for env in range(envs):
        state = None
        for t in range(steps):
            alone, state = agent.predict(
                frames[t, env], state, starts[t, env : env + 1], deterministic=True
            )
            # float32, and another order of sums in a batch of one
            np.testing.assert_allclose(alone, together[t][env], atol=1e-5)


def test_the_state_matters_and_episode_start_forgets_it(agent: CoReSAC) -> None:
    first, second = random_frames(2)
    _, state = agent.predict(first, deterministic=True)
    later, _ = agent.predict(second, state, np.array([False]), deterministic=True)
    afresh, _ = agent.predict(second, state, np.array([True]), deterministic=True)
    without, _ = agent.predict(second, None, deterministic=True)
    not_even_now, _ = agent.predict(second, None, np.array([False]), deterministic=True)
    assert np.abs(later - afresh).max() > 1e-4
    assert np.array_equal(afresh, without) and np.array_equal(afresh, not_even_now)


def test_without_a_state_every_environment_starts_an_episode(
    agent: CoReSAC, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first stochastic state is drawn anew there, which a state of zeros alone would not do.
    plain, starts = agent.world_model.step, []

    def step(*arguments: Any) -> Any:
        starts.append(arguments[3].tolist())
        return plain(*arguments)

    monkeypatch.setattr(agent.world_model, "step", step)
    _, state = agent.predict(random_frames(2))
    _, state = agent.predict(random_frames(2), state)
    agent.predict(random_frames(2), state, np.array([True, False]))
    assert starts == [[True, True], [False, False], [True, False]]


@pytest.mark.parametrize("mean_recurrence", [True, False])
def test_latents_of_predict_are_those_that_the_learner_sees(
    make_agent: Callable[..., CoReSAC], mean_recurrence: bool
) -> None:
    agent = make_agent(agent={"mean_recurrence": mean_recurrence})
    frames = random_frames(5, 2)
    states, actions, state = [], [], None
    for t in range(5):
        action, state = agent.predict(frames[t], state, np.array([t == 0] * 2), deterministic=True)
        states.append(state.latent.features)
        actions.append((action - LOW) / (HIGH - LOW) * 2 - 1)
    is_first = torch.zeros(5, 2, dtype=torch.bool)
    noise = None
    if not mean_recurrence:
        # Frame t of any episode has the draws of seed t.
        draws = [
            agent.world_model.noise(torch.Generator().manual_seed(t), 1)
            for t in range(5)
            for _ in range(2)
        ]
        noise = Noise(
            *(torch.cat(parts).unflatten(0, (5, 2)) for parts in zip(*draws, strict=True))
        )
    with torch.no_grad():
        _, posterior = agent.world_model.observe(
            torch.from_numpy(frames), torch.tensor(np.stack(actions)), is_first, noise
        )
    torch.testing.assert_close(torch.stack(states), posterior.features, atol=1e-4, rtol=0)


def test_sampled_actions_differ_and_deterministic_ones_do_not(agent: CoReSAC) -> None:
    frame = random_frames()
    sampled = [agent.predict(frame)[0] for _ in range(2)]
    fixed = [agent.predict(frame, deterministic=True)[0] for _ in range(2)]
    assert not np.array_equal(*sampled)
    assert np.array_equal(*fixed)


def test_frames_of_the_caller_are_left_as_they_are(agent: CoReSAC) -> None:
    frames = random_frames(2)
    before = frames.copy()
    agent.predict(frames)
    assert np.array_equal(frames, before)


LAYOUTS = {
    "upside down": lambda frames: frames[..., ::-1, :, :].copy()[..., ::-1, :, :],
    "mirrored": lambda frames: frames[..., ::-1, :].copy()[..., ::-1, :],
    "Fortran order": np.asfortranarray,
    "read-only": lambda frames: np.frombuffer(frames.tobytes(), np.uint8).reshape(frames.shape),
    "lists": lambda frames: frames.tolist(),
    "a list of frames": list,
    "a tensor": torch.from_numpy,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [(), (2,)], ids=["one", "batch"])
def test_frames_of_any_layout_in_memory_do(
    agent: CoReSAC, layout: str, batch: tuple[int, ...]
) -> None:
    frames = random_frames(*batch)
    expected, _ = agent.predict(frames, deterministic=True)
    assert np.array_equal(agent.predict(LAYOUTS[layout](frames), deterministic=True)[0], expected)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (lambda f: f.astype(np.float32) / 255, "are float32, but .* says uint8 from 0 to 255"),
        (lambda f: f.astype(np.float64), "are float64, but"),
        (lambda f: f.astype(np.int8), "are int8, but"),
        (lambda f: f.astype(bool), "are bool, but"),
        (lambda f: f.astype(np.int64), "are int64, but"),
        (lambda f: (f.astype(int) + 1000).tolist(), "are int64, but"),
        (lambda f: f[:0], "not an empty batch"),
    ],
    ids=["floats in [0, 1]", "floats", "int8", "bool", "int64", "large numbers", "none"],
)
def test_frames_of_another_type_are_refused(
    agent: CoReSAC, form: Callable[[np.ndarray], Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        agent.predict(form(random_frames(2)))
    assert "\n" not in str(refusal.value)


def test_a_state_of_other_environments_is_refused(
    agent: CoReSAC, make_agent: Callable[..., CoReSAC]
) -> None:
    frames = random_frames(4)
    states = {count: agent.predict(frames[:count])[1] for count in (1, 2, 4)}
    for observation, count, batch in ((frames, 1, 4), (frames, 2, 4), (frames[0], 4, 1)):
        with pytest.raises(ValueError, match=rf"batch of {count}, but .* batch of {batch};"):
            agent.predict(observation, states[count])
    with pytest.raises(TypeError, match=r"what the last call of predict returned.*not a tuple"):
        agent.predict(frames, (None, None))
    other = make_agent(dynamics={"deterministic_size": 11})
    with pytest.raises(ValueError, match="of another model"):
        other.predict(frames, states[4])


@pytest.mark.parametrize("starts", [[True], True, [[True] * 4], np.ones((4, 1), bool), []])
def test_episode_starts_of_other_environments_are_refused(agent: CoReSAC, starts: Any) -> None:
    frames = random_frames(4)
    _, state = agent.predict(frames)
    with pytest.raises(ValueError, match=r"batch of 4: expected shape \(4,\)"):
        agent.predict(frames, state, starts)


@pytest.mark.parametrize("start", [True, [True], np.array([1.0])])
def test_a_single_environment_says_in_any_form_that_it_starts(agent: CoReSAC, start: Any) -> None:
    first, second = random_frames(2)
    _, state = agent.predict(first, deterministic=True)
    afresh, _ = agent.predict(second, deterministic=True)
    assert np.array_equal(agent.predict(second, state, start, deterministic=True)[0], afresh)


def test_what_is_not_finite_ends_with_its_episode(agent: CoReSAC) -> None:
    frames = random_frames(2)
    expected, state = agent.predict(frames, deterministic=True)
    broken = state._replace(
        latent=state.latent.map(lambda field: field * torch.nan),
        action=state.action * torch.nan,
    )
    again, _ = agent.predict(frames, broken, np.array([True, True]), deterministic=True)
    assert np.array_equal(again, expected)


@pytest.mark.parametrize("shape", [(16, 16), (17, 17, 3), (3, 16, 16), (2, 2, 16, 16, 3), ()])
def test_frames_of_another_shape_are_refused(agent: CoReSAC, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(16, 16, 3\)"):
        agent.predict(np.zeros(shape, np.uint8))


def test_action_spaces_of_any_shape(
    make_pixels: Callable[..., gym.Env[Any, Any]], make_agent: Callable[..., CoReSAC]
) -> None:
    class Square(gym.ActionWrapper[Any, Any, Any]):
        def __init__(self, env: gym.Env[Any, Any]) -> None:
            super().__init__(env)
            self.action_space = gym.spaces.Box(-2, 3, (2, 2), np.float32)

        def action(self, action: np.ndarray) -> np.ndarray:
            assert action.shape == (2, 2)
            return action.reshape(4)

    agent = make_agent(Square(make_pixels(action_size=4)), action_size=4)
    assert agent.predict(random_frames())[0].shape == (2, 2)
    assert agent.predict(random_frames(3))[0].shape == (3, 2, 2)
    agent.learn(25)
