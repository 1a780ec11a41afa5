from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from core_repr.agent import CoReSAC, checkpoint, episode_store, learning_state
from core_repr.files.names import TENSORS_FILE, VALUES_FILE

MakeEnv = Callable[..., gym.Env[Any, Any]]
MakeAgent = Callable[..., CoReSAC]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Optimisers and generators


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_restored_optimizer_goes_on_as_the_one_that_was_saved(
    memory_format: torch.memory_format,
) -> None:
    def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(3, 4, 3).to(memory_format=memory_format)
        return layer, torch.optim.Adam(layer.named_parameters(), lr=0.1, fused=True)

    def step(layer: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        optimizer.zero_grad()
        layer(torch.randn(2, 3, 5, 5)).square().sum().backward()
        optimizer.step()

    layer, optimizer = make()
    step(layer, optimizer, 1)
    saved = {
        name: tensor.clone().contiguous()
        for name, tensor in checkpoint.optimizer_tensors("adam", optimizer).items()
    }
    other, restored = make()
    other.load_state_dict(layer.state_dict())
    checkpoint.restore_optimizer("adam", restored, saved)
    for seed in (2, 3):
        step(layer, optimizer, seed)
        step(other, restored, seed)
    for one, two in zip(layer.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", ["adam.exp_avg.bias", "adam.exp_avg", "adam.exp_avg.weight"])
def test_moments_of_other_parameters_are_refused(name: str) -> None:
    optimizer = torch.optim.Adam([("weight", torch.zeros(3, requires_grad=True))])
    with pytest.raises(ValueError, match=r"tensor '" + name):
        checkpoint.restore_optimizer("adam", optimizer, {name: torch.zeros(4)})


def test_every_global_generator_goes_on_where_it_was() -> None:
    def draw() -> list[float]:
        return [random.gauss(0, 1), float(np.random.normal()), float(torch.randn(()))]

    draw()
    tensors, values = checkpoint.global_generators()
    drawn = [draw() for _ in range(3)]
    checkpoint.restore_global_generators(tensors, values)
    assert [draw() for _ in range(3)] == drawn


# What CoReSAC saves


@pytest.fixture(scope="module")
def saved(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    agent = make_agent(make_pixels())
    agent.learn(40)
    folder = tmp_path_factory.mktemp("agents") / "agent"
    agent.save(folder)
    return folder


def test_nothing_that_is_saved_is_a_pickle(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent()
    agent.learn(24)
    agent.save(tmp_path / "agent")
    agent.save_replay_buffer(tmp_path / "replay")
    endings = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert endings == {".json", ".md", ".safetensors", ".segment"}
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_bytes())
    (segment,) = tmp_path.rglob("*.segment")
    # Frames, actions, rewards and flags of 27 slots, and nothing besides.
    assert segment.stat().st_size == 27 * (16 * 16 * 3 + 2 * 4 + 4 + 1)


def test_a_saved_agent_with_its_replay_buffer_learns_on_as_if_it_had_not_been_saved(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    """Bit for bit, where the environment's frames depend on the seed alone."""
    agent = make_agent(make_pixels())
    agent.learn(40)
    agent.save(tmp_path / "agent")
    agent.save_replay_buffer(tmp_path / "replay")

    def learn_on(agent: CoReSAC) -> dict[str, torch.Tensor]:
        env = make_pixels()
        env.reset(seed=9)
        agent.set_env(env)
        agent.learn(40, reset_num_timesteps=False)
        return agent.policy.state_dict()

    loaded = CoReSAC.load(tmp_path / "agent", make_pixels(), device="cpu")
    loaded.load_replay_buffer(tmp_path / "replay")
    assert (loaded.num_timesteps, loaded.updates) == (40, 12)
    one, two = learn_on(agent), learn_on(loaded)
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name
    assert agent.updates == loaded.updates == 32
    assert agent.ep_info_buffer is not None and loaded.ep_info_buffer is not None
    assert agent.ep_info_buffer[0]["r"] == loaded.ep_info_buffer[0]["r"]


def test_without_its_replay_buffer_the_policy_fills_a_new_one_first(
    make_pixels: MakeEnv, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = CoReSAC.load(saved, make_pixels(), device="cpu")
    monkeypatch.setattr(loaded.action_space, "sample", lambda: pytest.fail("a random action"))
    loaded.learn(16, reset_num_timesteps=False)
    assert (loaded.num_timesteps, loaded.updates) == (56, 12)
    loaded.learn(8, reset_num_timesteps=False)
    assert (loaded.num_timesteps, loaded.updates) == (64, 16)


def damage(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    values = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(change(values)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {**v, "format_version": 9}, r"training\.json has format 9.*reads 2"),
        (lambda v: {**v, "updates": -1}, r"'updates' does not fit"),
        (lambda v: {**v, "surprise": 1}, r"'surprise' does not fit"),
        (lambda v: {k: v[k] for k in v if k != "episodes"}, r"'episodes' does not fit"),
        (lambda v: {**v, "action_space": {"state": 3}}, r"random generator does not fit"),
        (lambda v: [v], r"must hold a JSON object, not list"),
    ],
)
def test_a_damaged_state_is_refused_in_a_sentence(
    saved: Path, tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    shutil.copytree(saved, tmp_path / "agent")
    damage(tmp_path / "agent", VALUES_FILE, change)
    with pytest.raises(ValueError, match=message) as refusal:
        CoReSAC.load(tmp_path / "agent", device="cpu")
    assert "\n" not in str(refusal.value)


def test_a_truncated_state_is_refused(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "agent")
    path = tmp_path / "agent" / TENSORS_FILE
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"training\.safetensors is not a whole safetensors file"):
        CoReSAC.load(tmp_path / "agent", device="cpu")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"training\.safetensors"):
        CoReSAC.load(tmp_path / "agent", device="cpu")


def test_the_state_of_another_config_is_refused(
    saved: Path, make_agent: MakeAgent, tmp_path: Path
) -> None:
    make_agent(agent={"critic_layers": (20,)}).save(tmp_path / "agent")
    for name in (TENSORS_FILE, learning_state.VALUES_FILE):
        shutil.copy(saved / name, tmp_path / "agent")
    with pytest.raises(ValueError, match=r"critic\.exp_avg.*does not belong to the config's"):
        CoReSAC.load(tmp_path / "agent", device="cpu")


# Replay buffers


def test_saving_replaces_nothing_but_what_was_saved(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent().learn(20)
    for _ in range(2):
        agent.save(tmp_path / "agent.zip")
        agent.save_replay_buffer(tmp_path / "episodes.pkl")
    # SB3 would write my_agent.zip and my_agent.pkl.
    with pytest.raises(FileExistsError, match=r"holds 'README.md'.*another path"):
        agent.save_replay_buffer(tmp_path / "agent.pkl")
    with pytest.raises(FileExistsError, match=r"'00000000.segment'"):
        agent.save(tmp_path / "episodes")
    (tmp_path / "paper.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds 'agent'.*another path"):
        agent.save(tmp_path)
    with pytest.raises(FileExistsError, match=r"paper.tex is a file"):
        agent.save(tmp_path / "paper.tex")
    assert (tmp_path / "paper.tex").read_text() == "mine"
    CoReSAC.load(tmp_path / "agent", device="cpu").load_replay_buffer(tmp_path / "episodes")


def test_what_a_user_keeps_in_an_earlier_save_stays(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent().learn(20)
    saves = {tmp_path / "agent": agent.save, tmp_path / "replay": agent.save_replay_buffer}
    for place, save in saves.items():
        save(place)
        mine = {"README.md": "# mine", ".DS_Store": "finder", "Thumbs.db": "", "x.segment": "copy"}
        for name, text in mine.items():
            (place / name).write_text(text)
        agent.learn(8, reset_num_timesteps=False)
        save(place)
        assert {name: (place / name).read_text() for name in mine} == mine
    loaded = CoReSAC.load(tmp_path / "agent", device="cpu")
    loaded.load_replay_buffer(tmp_path / "replay")
    assert loaded.num_timesteps < len(loaded.replay_buffer) == agent.num_timesteps


def test_a_smaller_replay_buffer_leaves_no_segments_of_a_larger_one(
    make_agent: MakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode_store, "SEGMENT_SLOTS", 20)
    agent, smaller = make_agent().learn(48), make_agent().learn(16)
    agent.save_replay_buffer(tmp_path / "replay")
    assert len(list((tmp_path / "replay").iterdir())) == 4
    smaller.save_replay_buffer(tmp_path / "replay")
    names = sorted(path.name for path in (tmp_path / "replay").iterdir())
    assert names == ["00000000.segment", "replay.json"]
    agent.load_replay_buffer(tmp_path / "replay")
    assert len(agent.replay_buffer) == 16


def test_places_to_save_to(
    make_agent: MakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent()
    for name in ("disk", "here", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "latest").symlink_to("disk")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    for path in ("../latest", ".", "~/agent.zip", "new.zip.old", "deep/er/", "a.zip/"):
        for _ in range(2):
            if path == ".":
                monkeypatch.chdir(tmp_path / "here")
            agent.save(path)
        assert CoReSAC.load(path, device="cpu").num_timesteps == 0
        shutil.rmtree(tmp_path / "here")
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
    assert (tmp_path / "latest").is_symlink() and (tmp_path / "disk" / "config.json").exists()
    assert (tmp_path / "home" / "agent" / "config.json").exists()
    for path, words in (("..", "holds 'disk'"), (".zip", "no folder"), ("", "empty")):
        with pytest.raises((FileExistsError, ValueError), match=words):
            agent.save(path)
    assert not list(Path().iterdir())


def test_a_full_disk_is_named_and_the_earlier_save_stays(
    make_agent: MakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent().learn(20)
    agent.save(tmp_path / "agent")
    agent.save_replay_buffer(tmp_path / "replay")
    before = contents(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for save in (agent.save, agent.save_replay_buffer):
        for name in ("agent" if save == agent.save else "replay", "new"):
            with pytest.raises(OSError, match=rf"{tmp_path}/{name}.*No space left.*make room"):
                save(tmp_path / name)
    assert contents(tmp_path) == before


def test_weights_alone_do_not_come_between_an_agent_and_its_optimizers(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent()
    agent.save(tmp_path / "agent")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="use save instead of save_pretrained, or"):
        agent.save_pretrained(tmp_path / "agent")
    assert contents(tmp_path) == before


def test_a_save_does_not_go_into_a_checkpoint_of_a_run(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent()
    agent.save(tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "replay.json").write_text("{}")
    with pytest.raises(FileExistsError, match="not an earlier save of this kind"):
        agent.save(tmp_path / "checkpoint")


def test_a_saved_replay_buffer_samples_the_same(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent, other = make_agent(make_pixels()), make_agent(make_pixels(), seed=1)
    agent.learn(40)
    agent.save_replay_buffer(tmp_path / "replay.pkl")
    assert [path.name for path in tmp_path.iterdir()] == ["replay"]
    other.load_replay_buffer(str(tmp_path / "replay.pkl"))
    for field, expected in zip(
        other.replay_buffer.sample(8, 5), agent.replay_buffer.sample(8, 5), strict=True
    ):
        assert torch.equal(field, expected)
    shutil.rmtree(tmp_path / "replay")
    assert other.replay_buffer.sample(8, 5).mask.any()


def test_a_replay_buffer_that_does_not_fit_is_refused(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(make_pixels())
    agent.learn(16)
    agent.save_replay_buffer(tmp_path / "replay")
    other = make_agent(make_pixels(action_size=3), action_size=3)
    with pytest.raises(ValueError, match=r"belong to different runs"):
        other.load_replay_buffer(tmp_path / "replay")
    (segment,) = (tmp_path / "replay").glob("*.segment")
    content = bytearray(segment.read_bytes())
    # The reward of the first step.
    content[16 * 16 * 3 + 8 : 16 * 16 * 3 + 12] = np.float32(np.nan).tobytes()
    segment.write_bytes(content)
    with pytest.raises(ValueError, match=r"episode 0 holds a reward that is not finite"):
        agent.load_replay_buffer(tmp_path / "replay")
    segment.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"shorter"):
        agent.load_replay_buffer(tmp_path / "replay")
    segment.unlink()
    with pytest.raises(FileNotFoundError, match=r"segment"):
        agent.load_replay_buffer(tmp_path / "replay")
    assert len(agent.replay_buffer) == 16
    with pytest.raises(TypeError, match="path"):
        agent.save_replay_buffer(3)  # type: ignore[arg-type]
