from collections.abc import Callable

import pytest

from core_repr.benchmarks import update
from core_repr.config import PRESETS, CoReConfig


@pytest.fixture
def figures(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Callable[..., CoReConfig]
) -> dict[str, float]:
    preset = tiny_config().replace(environment=None)
    monkeypatch.setitem(PRESETS, "compact", lambda: preset)
    monkeypatch.setattr(update, "MATRIX_SIDE", 32)
    return {f.name: f.value for f in update.benchmark_update("compact", rounds=2, device="cpu")}


def test_every_part_and_both_forms_of_the_update_are_timed(figures: dict[str, float]) -> None:
    for part in (
        "joint update",
        "sequential update",
        "sampling",
        "encoder",
        "recurrence and prior",
        "heads and losses",
        "critic",
        "actor, with its optimiser",
        "optimisers of model, critic and actor",
    ):
        assert figures[f"compact: {part}"] > 0


def test_shares_follow_from_operations_seconds_and_rate(figures: dict[str, float]) -> None:
    for form in ("joint update", "sequential update"):
        for kind in ("float32", "bfloat16"):
            rate = figures[f"compact: {kind} product, 32 wide"]
            operations = figures[f"compact: {form}, operations"]
            share = figures[f"compact: {form}, share of the {kind} product's rate"]
            expected = 100 * operations / figures[f"compact: {form}"] / rate
            assert share == pytest.approx(expected)


def test_the_sequential_update_goes_through_the_model_twice(figures: dict[str, float]) -> None:
    joint = figures["compact: joint update, operations"]
    assert joint < figures["compact: sequential update, operations"] < 2.1 * joint
