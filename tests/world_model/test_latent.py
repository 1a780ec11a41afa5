import torch

from core_repr.world_model import LatentState


def test_latent_state_joins_indexes_and_detaches() -> None:
    h, mean, log_std, sample = (
        torch.randn(4, 2, size, requires_grad=True) for size in (3, 5, 5, 5)
    )
    state = LatentState(h, mean, log_std, sample)
    assert torch.equal(state.features, torch.cat([h, mean], -1))
    assert torch.equal(state.sample_features, torch.cat([h, sample], -1))
    for index in (2, slice(1, 3), torch.tensor([3, 0])):
        for field, picked in zip(state, state.at(index), strict=True):
            assert torch.equal(picked, field[index])
    for field, cut in zip(state, state.detach(), strict=True):
        assert torch.equal(cut, field) and not cut.requires_grad
