"""The moving average of the weights that evaluations and saved models have."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core_repr.agent import CoReSAC
from core_repr.agent.averaging import MovingAverage

MakeAgent = Callable[..., CoReSAC]
GATES = "world_model.dynamics.cell.gates.weight"


def test_the_first_values_count_alike_then_the_newest_counts_its_rate() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    average = MovingAverage({"weight": parameter}, rate=0.25)
    for count, value in enumerate((2.0, 4.0, 6.0, 8.0, 13.0), start=1):
        with torch.no_grad():
            parameter.fill_(value)
        average.update(count)
    # The mean of the first four is 5.
    assert average.tensors()["weight"].tolist() == [7.0, 7.0]


def test_the_newest_weights_come_back_bit_for_bit_after_an_error() -> None:
    parameter = torch.nn.Parameter(torch.randn(5))
    average = MovingAverage({"weight": parameter}, rate=0.5)
    with torch.no_grad():
        parameter += 1
    newest = parameter.detach().clone()
    with pytest.raises(KeyError), average.in_use():
        assert torch.equal(parameter, average.tensors()["weight"])
        assert not torch.equal(parameter, newest)
        raise KeyError
    assert torch.equal(parameter, newest)


def test_the_average_of_another_config_is_refused() -> None:
    average = MovingAverage({"weight": torch.zeros(3)}, rate=0.5)
    for wrong in ({}, {"weight": torch.zeros(4)}):
        with pytest.raises(ValueError, match=r"'weight'.*model folder\.$"):
            average.restore(wrong)


def test_saving_within_the_context_saves_the_average(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent(agent={"averaging_rate": 0.1})
    agent.learn(40)
    newest = agent.policy.state_dict()[GATES].clone()
    with agent.averaged_weights():
        averaged = agent.policy.state_dict()[GATES].clone()
        agent.save_pretrained(tmp_path / "averaged")
    agent.save_pretrained(tmp_path / "newest")
    assert not torch.equal(averaged, newest)
    for name, expected in (("averaged", averaged), ("newest", newest)):
        loaded = CoReSAC.from_pretrained(tmp_path / name, device="cpu")
        assert torch.equal(loaded.policy.state_dict()[GATES], expected)
        # Nothing of another training is left in it.
        with loaded.averaged_weights():
            assert torch.equal(loaded.policy.state_dict()[GATES], expected)


def test_the_average_goes_on_with_the_training(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent(agent={"averaging_rate": 0.1})
    agent.learn(40)
    agent.save(tmp_path / "saved")
    loaded = CoReSAC.load(tmp_path / "saved", device="cpu")
    with agent.averaged_weights(), loaded.averaged_weights():
        assert torch.equal(loaded.policy.state_dict()[GATES], agent.policy.state_dict()[GATES])
    assert torch.equal(loaded.policy.state_dict()[GATES], agent.policy.state_dict()[GATES])


def test_by_default_the_average_is_the_newest_weights(make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.learn(40)
    newest = {name: tensor.clone() for name, tensor in agent.policy.state_dict().items()}
    with agent.averaged_weights():
        for name, tensor in agent.policy.state_dict().items():
            assert torch.equal(tensor, newest[name]), name
