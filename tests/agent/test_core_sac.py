from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.sac.policies import SACPolicy

from core_repr.agent import CoReSAC
from core_repr.agent.policy import CoRePolicy
from core_repr.config import CoReConfig, EnvironmentConfig
from core_repr.world_model import CoReWorldModel, Noise

MakeEnv = Callable[..., gym.Env[Any, Any]]
MakeAgent = Callable[..., CoReSAC]


def vector(make_pixels: MakeEnv, *arguments: dict[str, Any]) -> DummyVecEnv:
    return DummyVecEnv([lambda a=a: make_pixels(**a) for a in arguments])


def weights(agent: CoReSAC) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in agent.policy.state_dict().items()}


def assert_equal_weights(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


class StopAt(BaseCallback):
    """Stops the learning at an agent step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        return self.num_timesteps < self.step


# Learning


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("num_envs", [1, 2])
def test_everything_learns(
    make_pixels: MakeEnv, make_agent: MakeAgent, num_envs: int, joint: bool
) -> None:
    env = vector(make_pixels, *[{"length": 8 - i} for i in range(num_envs)])
    agent = make_agent(env, agent={"joint_update": joint})
    before = weights(agent)
    assert agent.learn(60) is agent
    assert agent.num_timesteps >= 60
    for name, tensor in weights(agent).items():
        assert tensor.isfinite().all(), name
        assert not torch.equal(tensor, before[name]), f"{name} did not learn"


def test_half_an_update_for_each_step_after_the_first_data(make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.learn(16)
    assert (agent.num_timesteps, agent.updates) == (16, 0)
    agent.learn(24, reset_num_timesteps=False)
    assert (agent.num_timesteps, agent.updates) == (40, 12)
    assert len(agent.replay_buffer) == 40


@pytest.mark.parametrize("replay_size", [31, 33])
def test_a_replay_buffer_too_small_to_start_learning_is_refused(
    make_agent: MakeAgent, replay_size: int
) -> None:
    agent = make_agent(agent={"replay_size": replay_size, "learning_starts": 30})
    with pytest.raises(ValueError, match=r"full with 24 steps.*replay_size.*learning_starts"):
        agent.learn(100)


@pytest.mark.parametrize("loaded", [False, True])
def test_an_agent_that_has_learned_does_not_act_at_random_again(
    make_agent: MakeAgent, tmp_path: Path, loaded: bool
) -> None:
    agent = make_agent().learn(40)
    if loaded:
        agent.save(tmp_path / "agent")
        agent = CoReSAC.load(tmp_path / "agent", agent.env, device="cpu")
    seen, act = [], agent._act
    agent._act = lambda *arguments: seen.append(arguments[-1]) or act(*arguments)  # type: ignore[method-assign]
    agent.learn(24)
    assert seen == [False] * 24
    # The buffer of the one is full enough from the start, that of the other after 24 steps.
    assert agent.updates == 12 + (4 if loaded else 12)


def test_fractions_of_an_update_are_carried_on(make_agent: MakeAgent) -> None:
    agent = make_agent(agent={"updates_per_step": 0.3})
    agent.learn(40)
    # After three episodes of 8 steps: int(7.2), not three times int(2.4).
    assert agent.updates == 7


def test_the_first_updates_are_of_the_world_model_alone(make_agent: MakeAgent) -> None:
    agent = make_agent(agent={"initial_updates": 5})
    before = weights(agent)
    seen: dict[int, dict[str, torch.Tensor]] = {}
    agent.safe_point = lambda: seen.update({agent.updates: weights(agent)})
    agent.learn(24)
    # Half an update for each of the 8 steps after the random ones comes on top.
    assert agent.updates == 5 + 4
    moved = {name for name in before if not torch.equal(before[name], seen[5][name])}
    assert moved and all(name.startswith("world_model.") for name in moved)
    assert "world_model.dynamics.cell.gates.weight" in moved
    later = {name for name in before if not torch.equal(seen[5][name], seen[6][name])}
    assert any(name.startswith("actor_critic.actor.") for name in later)
    assert any(name.startswith("actor_critic.critic.") for name in later)
    agent.learn(8, reset_num_timesteps=False)
    assert agent.updates == 5 + 8


def test_whole_episodes_are_collected(make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.learn(17)
    assert agent.num_timesteps == 24 and agent._episode_num == 3


def stored_episodes(agent: CoReSAC) -> list[dict[str, np.ndarray]]:
    names = {"frames": "frame", "actions": "action", "rewards": "reward"}
    return [
        {"terminated": episode.records["terminated"]}
        | {plural: episode.records[name] for plural, name in names.items()}
        for episode in agent.replay_buffer.episodes
    ]


def assert_recorded(agent: CoReSAC, env: DummyVecEnv) -> None:
    """Every finished episode of the environments is in the buffer, true to the pixel."""
    finished = [
        (episode, single.unwrapped.terminates)
        for single in env.envs
        for episode in single.unwrapped.episodes
        if len(episode.actions) == single.unwrapped.length
    ]
    stored = stored_episodes(agent)
    assert len(stored) == len(finished) > 0
    for saved in stored:
        (match,) = [
            both for both in finished if np.array_equal(both[0].frames[0], saved["frames"][0])
        ]
        episode, terminates = match
        assert np.array_equal(saved["frames"], episode.frames)
        scaled = (np.array(episode.actions) + 2) / 5 * 2 - 1
        # The environment's own units go through float32 and back.
        np.testing.assert_allclose(saved["actions"][:-1], scaled, atol=1e-6)
        np.testing.assert_allclose(saved["rewards"][:-1], episode.rewards, rtol=1e-6)
        assert not saved["terminated"][:-2].any() and not saved["terminated"][-1]
        assert saved["terminated"][-2] == terminates


def test_episodes_are_stored_as_they_happened(make_pixels: MakeEnv, make_agent: MakeAgent) -> None:
    env = vector(
        make_pixels, {"length": 8}, {"length": 5, "terminates": True}, {"length": 3}, {"length": 8}
    )
    agent = make_agent(env)
    agent.learn(120)
    assert_recorded(agent, env)
    actions = np.concatenate([saved["actions"] for saved in stored_episodes(agent)])
    assert (np.abs(actions) <= 1).all() and actions.min() < -0.5 and actions.max() > 0.5


@pytest.mark.parametrize("step", [19, 24])
def test_learning_that_was_stopped_goes_on_in_the_same_episode(
    make_pixels: MakeEnv, make_agent: MakeAgent, step: int
) -> None:
    env = vector(make_pixels, {"length": 8})
    agent = make_agent(env)
    agent.learn(100, callback=StopAt(step))
    assert agent.num_timesteps == step
    agent.learn(30, reset_num_timesteps=False)
    assert_recorded(agent, env)


def test_learning_anew_starts_new_episodes(make_pixels: MakeEnv, make_agent: MakeAgent) -> None:
    env = vector(make_pixels, {"length": 8}, {"length": 5})
    agent = make_agent(env)
    agent.learn(30)
    updates = agent.updates
    agent.learn(30)
    assert agent.num_timesteps >= 30 and agent.updates > updates
    assert_recorded(agent, env)


def test_learning_goes_on_in_another_environment(
    make_pixels: MakeEnv, make_agent: MakeAgent
) -> None:
    first = vector(make_pixels, {"length": 8})
    agent = make_agent(first)
    agent.learn(20)
    second = vector(make_pixels, {"length": 6})
    agent.set_env(second)
    agent.learn(20, reset_num_timesteps=False)
    lengths = [len(saved["rewards"]) - 1 for saved in stored_episodes(agent)]
    assert lengths == [8, 8, 8, 6, 6, 6, 6]
    assert len(second.envs[0].unwrapped.episodes) == 5


def test_latents_while_acting_are_those_that_the_learner_sees(
    make_pixels: MakeEnv, make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random actions at first, then the policy's, in two environments out of step."""
    env = vector(make_pixels, {"length": 8}, {"length": 5})
    agent = make_agent(env, agent={"learning_starts": 13, "updates_per_step": 1e-9})
    size = agent.world_model.dynamics.stochastic_size
    monkeypatch.setattr(
        agent.world_model, "noise", lambda _, *batch: Noise(*torch.zeros(3, *batch, size))
    )
    acted: list[torch.Tensor] = []

    class Record(BaseCallback):
        def _on_step(self) -> bool:
            acted.append(agent._recurrent_state.latent.features)
            return True

    agent.learn(40, callback=Record())
    for row, single in enumerate(env.envs):
        t = 0
        for episode in single.unwrapped.episodes:
            steps = len(episode.actions)
            if not steps:
                continue
            actions = (np.array(episode.actions, np.float32) + 2) / 5 * 2 - 1
            with torch.no_grad():
                _, posterior = agent.world_model.observe(
                    torch.from_numpy(np.stack(episode.frames[:steps]))[:, None],
                    torch.from_numpy(actions)[:, None],
                    torch.zeros(steps, 1, dtype=torch.bool),
                )
            seen = torch.stack([features[row] for features in acted[t : t + steps]])
            torch.testing.assert_close(seen, posterior.features[:, 0], atol=1e-4, rtol=0)
            t += steps
        assert t == len(acted) == 20


def test_random_actions_at_first_then_the_policy(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(agent={"learning_starts": 12, "updates_per_step": 1e-9})
    monkeypatch.setattr(
        agent.actor_critic.actor,
        "sample",
        lambda features, generator=None: (
            torch.full((*features.shape[:-1], 2), 0.5),
            features[..., 0],
        ),
    )
    agent.learn(16)
    actions = np.concatenate([saved["actions"][:-1] for saved in stored_episodes(agent)])
    assert not (np.abs(actions[:12] - 0.5) < 1e-6).any()
    np.testing.assert_allclose(actions[12:], 0.5, atol=1e-6)


@pytest.mark.parametrize("joint", [True, False])
def test_the_same_seed_learns_the_same_weights(make_agent: MakeAgent, joint: bool) -> None:
    learned = []
    for seed in (3, 3, 4):
        agent = make_agent(seed=seed, agent={"joint_update": joint})
        agent.learn(40)
        learned.append(weights(agent))
    assert_equal_weights(learned[0], learned[1])
    assert not torch.equal(
        learned[0]["world_model.dynamics.cell.gates.weight"],
        learned[2]["world_model.dynamics.cell.gates.weight"],
    )


def test_rewards_that_are_no_numbers_stop_the_training(
    make_pixels: MakeEnv, make_agent: MakeAgent
) -> None:
    agent = make_agent(make_pixels(nan_reward=True))
    with pytest.raises(ValueError, match=r"At agent step 1: Step 1 of episode 1.*reward nan"):
        agent.learn(40)


def test_the_log_counts_simulator_steps_too(make_agent: MakeAgent, tmp_path: Path) -> None:
    from stable_baselines3.common.logger import configure

    agent = make_agent()
    agent.set_logger(configure(str(tmp_path), ["json"]))
    agent.learn(32, log_interval=4)
    assert agent.env_steps == 32 * 4
    lines = (tmp_path / "progress.json").read_text().splitlines()
    assert len(lines) == 1
    for name in (
        '"time/env_steps": 128',
        '"time/total_timesteps": 32',
        '"rollout/ep_len_mean": 8.0',
        "train/contrastive_loss",
        "train/contrastive_chance",
        "train/critic_loss",
        "train/n_updates",
    ):
        assert name in lines[0]


# Episodes of any length


@pytest.mark.parametrize("joint", [True, False])
def test_episodes_shorter_than_the_sequences_are_learned_from(
    make_pixels: MakeEnv, make_agent: MakeAgent, joint: bool
) -> None:
    """One step is the shortest episode there is; sequences have 5 frames."""
    env = vector(
        make_pixels,
        {"length": 1, "terminates": True},
        {"length": 3},
        {"length": 4, "terminates": True},
    )
    agent = make_agent(env, agent={"joint_update": joint})
    before = weights(agent)
    agent.learn(90)
    assert_recorded(agent, env)
    assert {episode.length for episode in agent.replay_buffer.episodes} == {2, 4, 5}
    lengths = agent.replay_buffer.sample(64, 5).mask.sum(0)
    # After one of a single step, another one follows.
    assert set(lengths.tolist()) == {4, 5}
    for name, tensor in weights(agent).items():
        assert tensor.isfinite().all() and not torch.equal(tensor, before[name]), name


def test_a_wrapper_s_time_limit_is_a_truncation(
    make_pixels: MakeEnv, make_agent: MakeAgent
) -> None:
    env = gym.wrappers.TimeLimit(make_pixels(length=8, terminates=True), 5)
    agent = make_agent(env)
    agent.learn(20)
    assert [len(saved["rewards"]) - 1 for saved in stored_episodes(agent)] == [5] * 4
    assert not any(saved["terminated"].any() for saved in stored_episodes(agent))
    # Where both happen at once, the episode terminated.
    agent.set_env(gym.wrappers.TimeLimit(make_pixels(length=5, terminates=True), 5))
    agent.learn(5, reset_num_timesteps=False)
    assert stored_episodes(agent)[-1]["terminated"].tolist() == [False] * 4 + [True, False]


def test_an_episode_that_a_replay_buffer_cannot_hold_is_refused(
    make_pixels: MakeEnv, make_agent: MakeAgent
) -> None:
    agent = make_agent(make_pixels(length=30), agent={"replay_size": 20})
    # Also if it has no end.
    with pytest.raises(ValueError, match=r"20 steps or more does not fit.*20.*max_episode_steps"):
        agent.learn(40)


# What SB3 does with an agent


def test_evaluate_policy(make_pixels: MakeEnv, make_agent: MakeAgent) -> None:
    agent = make_agent()
    env = vector(make_pixels, {"length": 4}, {"length": 6})
    returns, lengths = evaluate_policy(agent, env, 5, return_episode_rewards=True, warn=False)
    assert sorted(set(lengths)) == [4, 6] and len(returns) == 5
    single, _ = evaluate_policy(agent, make_pixels(), 2, warn=False)
    assert np.isfinite(single)


def test_eval_callback_saves_the_best_model(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent()
    callback = EvalCallback(
        make_pixels(),
        eval_freq=15,
        n_eval_episodes=1,
        best_model_save_path=str(tmp_path),
        log_path=str(tmp_path),
        verbose=0,
        warn=False,
    )
    agent.learn(30, callback=callback)
    assert sorted(path.name for path in (tmp_path / "best_model").iterdir()) == [
        "README.md",
        "agent.safetensors",
        "config.json",
        "model.safetensors",
        "training.json",
        "training.safetensors",
    ]
    best = CoReSAC.load(tmp_path / "best_model", device="cpu")
    assert best.predict(np.zeros((16, 16, 3), np.uint8))[0].shape == (2,)


# Saving


@pytest.mark.parametrize("verb", ["save", "save_pretrained"])
def test_a_loaded_agent_acts_the_same(make_agent: MakeAgent, tmp_path: Path, verb: str) -> None:
    agent = make_agent()
    agent.learn(30)
    getattr(agent, verb)(tmp_path / "agent")
    loaded = CoReSAC.load(tmp_path / "agent", device="cpu")
    if verb == "save_pretrained":
        agent.actor_critic.reset_targets(agent.world_model)
    assert_equal_weights(weights(agent), weights(loaded))
    assert loaded.config == agent.config
    assert loaded.observation_space == agent.observation_space
    assert loaded.action_space == agent.action_space
    frames = np.random.randint(256, size=(3, 2, 16, 16, 3), dtype=np.uint8)
    one = two = None
    for t in range(3):
        action, one = agent.predict(frames[t], one, deterministic=True)
        same, two = loaded.predict(frames[t], two, deterministic=True)
        assert np.array_equal(action, same)


def test_a_model_s_files_do_without_target_critics(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent()
    agent.learn(30)
    agent.save_pretrained(tmp_path / "model")
    names = load_file(tmp_path / "model" / "agent.safetensors")
    assert {name.split(".")[0] for name in names} == {"actor", "critic", "log_entropy_weight"}
    loaded = CoReSAC.from_pretrained(tmp_path / "model", device="cpu").actor_critic
    assert_equal_weights(loaded.critic_target.state_dict(), agent.actor_critic.critic.state_dict())
    assert not any(target.requires_grad for target in loaded.critic_target.parameters())


def test_files_of_earlier_releases_hold_target_critics(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent()
    agent.learn(30)
    agent.save_pretrained(tmp_path / "model")
    whole = {name: tensor.contiguous() for name, tensor in agent.actor_critic.state_dict().items()}
    save_file(whole, tmp_path / "model" / "agent.safetensors")
    loaded = CoReSAC.from_pretrained(tmp_path / "model", device="cpu")
    assert_equal_weights(weights(agent), weights(loaded))


def test_target_critics_of_another_config_are_refused(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    make_agent().save(tmp_path / "agent")
    path = tmp_path / "agent" / "training.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.startswith("critic_target."))
    save_file({**tensors, name: torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="target critics are not those of the config"):
        CoReSAC.load(tmp_path / "agent", device="cpu")


def test_a_loaded_agent_learns_on(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    make_agent().save(tmp_path / "agent")
    loaded = CoReSAC.load(tmp_path / "agent", env=make_pixels(), device="cpu", seed=0)
    loaded.learn(30)
    later = CoReSAC.load(tmp_path / "agent", device="cpu", seed=0)
    later.set_env(make_pixels())
    later.learn(30)
    assert loaded.updates == later.updates == 8


def test_the_world_model_of_an_agent_loads_alone(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent()
    agent.save(tmp_path / "agent")
    model = CoReWorldModel.from_pretrained(tmp_path / "agent")
    assert_equal_weights(model.state_dict(), agent.world_model.state_dict())


def test_an_agent_with_a_broken_file_is_refused(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent()
    agent.save(tmp_path / "agent")
    path = tmp_path / "agent" / "agent.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"agent\.safetensors"):
        CoReSAC.load(tmp_path / "agent", device="cpu")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"agent\.safetensors"):
        CoReSAC.load(tmp_path / "agent", device="cpu")


def test_the_config_records_the_environment(make_pixels: MakeEnv, make_agent: MakeAgent) -> None:
    agent = make_agent(make_pixels(length=5))
    assert agent.config.environment == EnvironmentConfig(
        "core-repr-tests/Pixels-v0", {"length": 5}, (-2.0, -2.0), (3.0, 3.0), 4
    )
    assert agent.environment_config == agent.world_model.config.environment
    assert "render_mode" not in agent.environment_config.arguments


# Refusals


def test_an_unknown_preset_is_refused_with_the_known_ones(make_pixels: MakeEnv) -> None:
    with pytest.raises(ValueError, match=r"'tiny'.*compact, paper"):
        CoReSAC("CoRePolicy", make_pixels(), "tiny")


def test_a_policy_that_is_not_core_s_is_refused(
    make_pixels: MakeEnv, tiny_config: Callable[..., CoReConfig]
) -> None:
    with pytest.raises(ValueError, match=r"CoRePolicy.*SACPolicy"):
        CoReSAC(SACPolicy, make_pixels(), tiny_config())  # type: ignore[arg-type]

    class Own(CoRePolicy):
        pass

    assert isinstance(CoReSAC(Own, make_pixels(), tiny_config()).policy, Own)


def test_without_env_the_config_must_name_one(tiny_config: Callable[..., CoReConfig]) -> None:
    with pytest.raises(ValueError, match="environment"):
        CoReSAC("CoRePolicy", None, tiny_config().replace(environment=None))


def test_an_environment_without_id_has_the_same_name_each_time(
    make_pixels: MakeEnv, make_agent: MakeAgent
) -> None:
    names = []
    for _ in range(2):
        env = make_pixels().unwrapped
        env.spec = None
        names.append(make_agent(env).environment_config.id)
    assert names[0] == names[1] and "Pixels" in names[0]


def test_arguments_that_json_does_not_know_are_refused(
    make_pixels: MakeEnv, make_agent: MakeAgent
) -> None:
    with pytest.raises(ValueError, match="arguments"):
        make_agent(make_pixels(length=np.int64(8)))
