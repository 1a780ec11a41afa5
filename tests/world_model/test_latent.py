import torch

from core_repr.world_model import LatentState
from core_repr.world_model.latent import StackedState


def test_latent_state_joins_indexes_and_detaches() -> None:
    h, mean, log_std, sample = (
        torch.randn(4, 2, size, requires_grad=True) for size in (3, 5, 5, 5)
    )
    state = LatentState(h, mean, log_std, sample)
    assert torch.equal(state.features, torch.cat([h, mean], -1))
    assert torch.equal(state.sample_features, torch.cat([h, sample], -1))
    past = torch.randint(256, (4, 2, 3, 3, 6), dtype=torch.uint8)
    for whole in (state, StackedState(state, past)):
        assert len(whole.tensors) == 4 + isinstance(whole, StackedState) and len(whole) == 4
        for index in (2, slice(1, 3), torch.tensor([3, 0])):
            for field, picked in zip(whole.tensors, whole.at(index).tensors, strict=True):
                assert torch.equal(picked, field[index])
        for field, cut in zip(whole.tensors, whole.detach().tensors, strict=True):
            assert torch.equal(cut, field) and not cut.requires_grad
        rows = torch.tensor([2, 0])
        changed = whole.put(rows, whole.at(rows).map(torch.zeros_like))
        stacked = LatentState.stack([whole, changed])
        for field, new, both in zip(whole.tensors, changed.tensors, stacked.tensors, strict=True):
            assert not new[rows].any() and torch.equal(new[[1, 3]], field[[1, 3]])
            assert torch.equal(both, torch.stack([field, new]))
