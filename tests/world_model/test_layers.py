import numpy as np
import pytest
import torch
from torch import nn

from core_repr.world_model.layers import LayerNormGRUCell, delta_orthogonal_, mlp


def test_mlp_has_its_layers_orthogonal_and_without_bias_at_first() -> None:
    network = mlp(5, (7, 6), 3, nn.ReLU)
    kinds = [type(module) for module in network]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    for linear, shape in zip(network[::2], [(7, 5), (6, 7), (3, 6)], strict=True):
        assert isinstance(linear, nn.Linear) and linear.weight.shape == shape
        small = linear.weight if shape[0] <= shape[1] else linear.weight.T
        torch.testing.assert_close(small @ small.T, torch.eye(min(shape)), atol=1e-5, rtol=0)
        assert not linear.bias.any()


def test_mlp_without_output_size_ends_in_its_activation() -> None:
    network = mlp(5, (7, 6))
    assert isinstance(network[-1], nn.ELU)
    assert network(torch.randn(2, 3, 5)).shape == (2, 3, 6)


@pytest.mark.parametrize(("channels", "filters"), [(3, 8), (8, 8)])
def test_delta_orthogonal_kernel_scales_each_pixel_alone(channels: int, filters: int) -> None:
    convolution = nn.Conv2d(channels, filters, 3, bias=False)
    delta_orthogonal_(convolution.weight, 1.5)
    pixels = torch.randn(2, channels, 6, 6)
    inner = pixels[..., 1:-1, 1:-1]
    torch.testing.assert_close(convolution(pixels).norm(dim=1), 1.5 * inner.norm(dim=1))
    outer = convolution.weight.detach().clone()
    outer[..., 1, 1] = 0
    assert not outer.any()


def test_gru_cell_agrees_with_numpy() -> None:
    cell = LayerNormGRUCell(4, 3)
    with torch.no_grad():
        cell.norm.weight.uniform_(0.5, 2)
        cell.norm.bias.uniform_(-1, 1)
    inputs, h = torch.randn(5, 4), torch.rand(5, 3) - 0.5

    gates = np.concatenate([inputs, h], 1) @ cell.gates.weight.detach().numpy().T
    gates = (gates - gates.mean(1, keepdims=True)) / np.sqrt(gates.var(1, keepdims=True) + 1e-5)
    gates = gates * cell.norm.weight.detach().numpy() + cell.norm.bias.detach().numpy()
    reset, candidate, update = gates[:, :3], gates[:, 3:6], gates[:, 6:]
    reset = 1 / (1 + np.exp(-reset))
    update = 1 / (1 + np.exp(1 - update))
    expected = update * np.tanh(reset * candidate) + (1 - update) * h.numpy()

    assert cell.gates.bias is None
    np.testing.assert_allclose(cell(inputs, h).detach().numpy(), expected, atol=1e-5)
