import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from core_repr.config import (
    PRESETS,
    ContinuationConfig,
    ContrastiveConfig,
    CoReConfig,
    EnvironmentConfig,
    ReconstructionConfig,
)
from core_repr.world_model import (
    CoReWorldModel,
    LatentState,
    Noise,
    SequenceBatch,
    WorldModelLosses,
)
from core_repr.world_model.objectives.losses import info_nce

TOLERANCE = 1e-5  # float32; the two ways round sums of about ten terms of size 1 differently


def assert_states_close(actual: LatentState, expected: LatentState) -> None:
    for name, a, b in zip(LatentState._fields, actual.tensors, expected.tensors, strict=False):
        torch.testing.assert_close(a, b, atol=TOLERANCE, rtol=0, msg=lambda text, n=name: n + text)


def noise_for(model: CoReWorldModel, *batch: int) -> Noise:
    return model.noise(torch.Generator().manual_seed(1), *batch)


# Encoding


def test_whole_frames_are_encoded_by_their_centre(model: CoReWorldModel) -> None:
    frames = torch.randint(256, (2, 3, 16, 16, 3), dtype=torch.uint8)
    x = model.encode(frames)
    assert x.shape == (2, 3, 7)
    centre = frames[..., 2:14, 2:14, :]
    torch.testing.assert_close(x, model.encode(centre))
    torch.testing.assert_close(x[1, 2], model.encoder(centre[1, 2][None])[0])
    assert not torch.allclose(model.encode(frames[..., :12, :12, :]), x, atol=1e-3)


def test_what_surrounds_the_centre_does_not_count(model: CoReWorldModel) -> None:
    frames = torch.randint(256, (3, 16, 16, 3), dtype=torch.uint8)
    other = torch.randint(256, (3, 16, 16, 3), dtype=torch.uint8)
    other[:, 2:14, 2:14] = frames[:, 2:14, 2:14]
    assert torch.equal(model.encode(other), model.encode(frames))


# Recurrence


@pytest.mark.parametrize("noisy", [False, True])
def test_steps_one_by_one_equal_a_whole_sequence(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch], noisy: bool
) -> None:
    batch = random_batch(length=9, batch_size=4)
    is_first = torch.rand(9, 4) < 0.3
    noise = noise_for(model, 9, 4) if noisy else None
    _, posterior = model.observe(batch.frames, batch.actions, is_first, noise)

    is_first[0] = True
    # Whatever there was before the first frame: it must not count.
    state = model.initial_state(4).map(torch.randn_like)
    action = torch.randn(4, 2)
    for t in range(9):
        step_noise = None if noise is None else Noise(*(draw[t] for draw in noise))
        state = model.step(state, action, batch.frames[t], is_first[t], step_noise)
        assert_states_close(state, posterior.at(t))
        action = batch.actions[t]
    sampled = (posterior.mean != posterior.sample).any()
    assert sampled == noisy


def test_each_frame_that_is_first_starts_a_sequence_of_its_own(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch(length=7)
    noise = noise_for(model, 7, 3)
    is_first = batch.is_first.clone()
    is_first[4] = True
    prior, posterior = model.observe(batch.frames, batch.actions, is_first, noise)
    for part in (slice(0, 4), slice(4, 7)):
        alone = model.observe(
            batch.frames[part],
            batch.actions[part],
            is_first[part],
            Noise(*(draw[part] for draw in noise)),
        )
        assert_states_close(prior.at(part), alone[0])
        assert_states_close(posterior.at(part), alone[1])


def test_a_fresh_start_never_touches_the_neighbour(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch()
    noise = noise_for(model, 6, 3)
    is_first = batch.is_first.clone()
    is_first[3, 1] = True
    before = model.observe(batch.frames, batch.actions, batch.is_first, noise)[1]
    after = model.observe(batch.frames, batch.actions, is_first, noise)[1]
    for one, other in zip(before.tensors, after.tensors, strict=True):
        assert torch.equal(one[:, [0, 2]], other[:, [0, 2]])
        assert torch.equal(one[:3, 1], other[:3, 1])
    assert not torch.allclose(before.h[3, 1], after.h[3, 1], atol=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_first_forgets_what_is_not_finite(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch], value: float
) -> None:
    frames = random_batch().frames[0]
    broken = model.initial_state(3).map(lambda field: torch.full_like(field, value))
    is_first = torch.tensor([True, False, True])
    noise = noise_for(model, 3)
    after = model.step(broken, torch.full((3, 2), value), frames, is_first, noise)
    afresh = model.step(model.initial_state(3), torch.zeros(3, 2), frames, is_first, noise)
    for field, expected in zip(after.tensors, afresh.tensors, strict=True):
        assert torch.equal(field[is_first], expected[is_first])
        assert field[~is_first].isnan().all()


def test_a_sequence_alone_equals_itself_in_a_batch(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch()
    _, together = model.observe(batch.frames, batch.actions, batch.is_first)
    for b in range(3):
        row = slice(b, b + 1)
        _, alone = model.observe(
            batch.frames[:, row], batch.actions[:, row], batch.is_first[:, row]
        )
        assert_states_close(alone, together.map(lambda field, row=row: field[:, row]))


def test_the_prior_knows_the_past_but_not_its_own_frame(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch()
    noise = noise_for(model, 6, 3)
    frames = batch.frames.clone()
    frames[3] = 255 - frames[3]
    prior, posterior = model.observe(batch.frames, batch.actions, batch.is_first, noise)
    other_prior, other_posterior = model.observe(frames, batch.actions, batch.is_first, noise)
    assert_states_close(prior.at(slice(0, 4)), other_prior.at(slice(0, 4)))
    assert_states_close(posterior.at(slice(0, 3)), other_posterior.at(slice(0, 3)))
    assert not torch.allclose(posterior.mean[3], other_posterior.mean[3], atol=1e-3)
    assert not torch.allclose(prior.h[4], other_prior.h[4], atol=1e-5)


def test_an_action_counts_from_the_next_step_on(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch()
    actions = batch.actions.clone()
    actions[2] *= -1
    _, before = model.observe(batch.frames, batch.actions, batch.is_first)
    _, after = model.observe(batch.frames, actions, batch.is_first)
    assert torch.equal(before.h[:3], after.h[:3])
    assert not torch.allclose(before.h[3], after.h[3], atol=1e-4)


def test_imagining_continues_with_the_prior_alone(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch()
    noise = noise_for(model, 6, 3)
    prior, posterior = model.observe(batch.frames, batch.actions, batch.is_first, noise)
    start = posterior.at(2)
    imagined_noise = Noise(*(draw[3:] for draw in noise))
    imagined = model.imagine(start, batch.actions[2:5], imagined_noise)
    # One step ahead, imagination is the prior that the next frame meets.
    assert_states_close(imagined.at(0), prior.at(3))

    h, sample = start.h, start.sample
    for t in range(3):
        h = model.dynamics.advance(h, sample, batch.actions[2 + t])
        expected = model.dynamics._prior(h, imagined_noise.prior[t])
        assert_states_close(imagined.at(t), expected)
        sample = expected.sample
    means = model.imagine(start, batch.actions[2:5])
    assert torch.equal(means.sample, means.mean)


def test_noise_draws_with_the_standard_deviation(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch()
    noise = noise_for(model, 6, 3)
    prior, posterior = model.observe(batch.frames, batch.actions, batch.is_first, noise)
    for state, draw in ((prior, noise.prior), (posterior, noise.posterior)):
        torch.testing.assert_close(state.sample, state.mean + state.log_std.exp() * draw)


def test_noise_is_standard_normal_and_comes_from_the_generator(model: CoReWorldModel) -> None:
    noise = noise_for(model, 100, 20)
    assert all(draw.shape == (100, 20, 5) for draw in noise)
    for draw in noise:
        # Four standard errors of 10,000 draws.
        assert abs(draw.mean()) < 0.04 and abs(draw.std() - 1) < 0.03
    assert not torch.equal(noise.prior, noise.posterior)
    for draw, again in zip(noise, noise_for(model, 100, 20), strict=True):
        assert torch.equal(draw, again)


def test_the_first_state_is_drawn_where_the_config_says_so(
    tiny_config: Callable[..., CoReConfig], random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch(length=2)
    for std in (0.0, 1.0):
        model = CoReWorldModel(tiny_config(dynamics={"initial_std": std}))
        noise = noise_for(model, 2, 3)
        other = noise._replace(initial=-noise.initial)
        one = model.observe(batch.frames, batch.actions, batch.is_first, noise)[1]
        two = model.observe(batch.frames, batch.actions, batch.is_first, other)[1]
        assert torch.allclose(one.h, two.h, atol=1e-4) == (std == 0)


@pytest.mark.parametrize("bias", [-100.0, 100.0])
def test_standard_deviations_are_bounded(model: CoReWorldModel, bias: float) -> None:
    last = (
        model.dynamics.prior_norm
        if model.config.world_model.dynamics.normalize_statistics
        else None
    )
    last = last or model.dynamics.prior_mlp[-1]
    with torch.no_grad():
        last.bias[5:] = bias
    prior = model.dynamics._prior(torch.zeros(2, 9), None)
    torch.testing.assert_close(prior.log_std, torch.full((2, 5), math.copysign(10, bias)))


def test_log_std_offset_shifts_both_distributions(
    tiny_config: Callable[..., CoReConfig], random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch(length=2)
    states = []
    for offset in (0.0, -2.0):
        torch.manual_seed(0)
        model = CoReWorldModel(tiny_config(dynamics={"log_std_offset": offset}))
        states.append(model.observe(batch.frames, batch.actions, batch.is_first))
    for plain, shifted in zip(*states, strict=True):
        torch.testing.assert_close(shifted.log_std, plain.log_std - 2)
        torch.testing.assert_close(shifted.mean, plain.mean)


# Losses

SLOTS = ("frames", "kl", "reward", "inverse_dynamics")


def losses_of(model: CoReWorldModel, batch: SequenceBatch, noise: Noise) -> WorldModelLosses:
    return model.losses(model.observe_batch(batch, noise))


def loss(losses: WorldModelLosses, name: str) -> torch.Tensor:
    return losses.terms[name].loss


def test_every_term_is_its_formula_over_the_pairs_after_the_first_frame(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch()
    noise = noise_for(model, 6, 3)
    losses = losses_of(model, batch, noise)
    prior, posterior = model.observe(batch.frames, batch.actions, batch.is_first, noise)

    x = model.encode(batch.frames)[1:].reshape(15, -1)
    y = model.decode(prior)[1:].reshape(15, -1)
    scale = torch.nn.functional.softplus(model.objectives.frames.inverse_temperature_logit)
    torch.testing.assert_close(loss(losses, "contrastive_loss"), info_nce(x, y, scale))
    assert losses.terms["contrastive_loss"].chance.item() == pytest.approx(math.log(15))

    p = Normal(posterior.mean[1:], posterior.log_std[1:].exp())
    q = Normal(prior.mean[1:], prior.log_std[1:].exp())
    kl = kl_divergence(p, q).sum(-1)
    torch.testing.assert_close(loss(losses, "kl"), kl.clamp(min=1).mean())

    z = torch.cat([posterior.h, posterior.sample], -1)
    reward_error = model.objectives.reward.head(z[1:])[..., 0] - batch.rewards[:-1]
    small = reward_error.abs() < 1
    smooth = torch.where(small, 0.5 * reward_error.square(), reward_error.abs() - 0.5)
    torch.testing.assert_close(loss(losses, "reward_loss"), smooth.mean())

    action = model.objectives.inverse_dynamics.head(torch.cat([z[:-1], z[1:]], -1))
    distance = 0.5 * (action - batch.actions[:-1]).square().sum(-1)
    torch.testing.assert_close(loss(losses, "inverse_dynamics_loss"), distance.mean())


def test_reward_belongs_to_the_state_that_it_led_to(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch()
    observed = model.observe_batch(batch)
    predicted = model.predict_reward(observed.posterior)
    aligned = batch._replace(rewards=torch.cat([predicted[1:], torch.full((1, 3), 9.0)]))
    reward = model.objectives.reward
    assert reward(observed._replace(batch=aligned)).loss.item() < 1e-12
    late = batch._replace(rewards=predicted)
    assert reward(observed._replace(batch=late)).loss.item() > 1e-6


def test_inverse_dynamics_names_the_action_between_two_states(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch()
    observed = model.observe_batch(batch)
    z = observed.posterior.sample_features
    between = model.objectives.inverse_dynamics.head(torch.cat([z[:-1], z[1:]], -1))
    aligned = batch._replace(actions=torch.cat([between, torch.full((1, 3, 2), 9.0)]))
    aligned_loss = model.objectives.inverse_dynamics(observed._replace(batch=aligned)).loss
    assert aligned_loss.item() == 0


def test_predicted_encodings_are_normalised(model: CoReWorldModel) -> None:
    state = LatentState(*(torch.randn(4, size) for size in (9, 5, 5, 5)))
    y = model.decode(state)
    assert y.shape == (4, 7)
    torch.testing.assert_close(y.mean(-1), torch.zeros(4), atol=1e-5, rtol=0)
    # LayerNorm's 1e-5 beside the variance keeps it below 1.
    torch.testing.assert_close(y.var(-1, correction=0), torch.ones(4), atol=1e-2, rtol=0)
    # The sample counts, the mean does not.
    assert torch.equal(y, model.decode(state._replace(mean=torch.zeros(4, 5))))


def test_padding_has_no_influence(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch(length=6)
    noise = noise_for(model, 6, 3)
    batch.mask[4:, 0] = False
    batch.mask[2:, 2] = False
    other = random_batch(length=6)
    # The last frame of a sequence is seen, but what follows it is not.
    seen, acted = batch.mask, torch.zeros_like(batch.mask)
    acted[:-1] = batch.mask[1:]
    mixed = batch._replace(
        frames=torch.where(seen[..., None, None, None], batch.frames, other.frames),
        actions=torch.where(acted[..., None], batch.actions, other.actions),
        rewards=torch.where(acted, batch.rewards, other.rewards),
    )
    before, after = losses_of(model, batch, noise), losses_of(model, mixed, noise)
    torch.testing.assert_close(before.named(), after.named())
    assert before.named()["contrastive_chance"].item() == pytest.approx(math.log(3 + 5 + 1))


def test_a_padded_sequence_has_the_losses_of_the_same_without_padding(
    model: CoReWorldModel, random_batch: Callable[..., SequenceBatch]
) -> None:
    batch = random_batch(length=6)
    noise = noise_for(model, 6, 3)
    batch.mask[4:] = False
    short = SequenceBatch(*(field[:4] for field in batch))
    padded = losses_of(model, batch, noise)
    plain = losses_of(model, short, Noise(*(draw[:4] for draw in noise)))
    torch.testing.assert_close(padded.named(), plain.named())


@pytest.mark.parametrize(
    "frames",
    [
        ContrastiveConfig(),
        ContrastiveConfig(decoded="posterior"),
        ContrastiveConfig(negatives="same-sequence"),
        ReconstructionConfig(layers=(8,), filters=(8, 8)),
    ],
    ids=["contrast", "posterior", "same-sequence", "reconstruction"],
)
def test_episodes_in_one_sequence_have_the_losses_of_episodes_apart(
    tiny_config: Callable[..., CoReConfig],
    random_batch: Callable[..., SequenceBatch],
    joined_and_apart: Callable[[SequenceBatch], tuple[SequenceBatch, SequenceBatch]],
    frames: Any,
) -> None:
    config = tiny_config()
    objectives = dataclasses.replace(
        config.objectives, frames=frames, continuation=ContinuationConfig()
    )
    model = CoReWorldModel(config.replace(objectives=objectives))
    batch = random_batch(length=8)
    batch.terminated[2, 0] = batch.terminated[6, 1] = True
    noise = noise_for(model, 8, 3)
    joined, apart = joined_and_apart(batch)
    halves = Noise(*(torch.cat([draw[:4], draw[4:]], 1) for draw in noise))
    one, two = losses_of(model, joined, noise).named(), losses_of(model, apart, halves).named()
    assert len(one) >= 6
    torch.testing.assert_close(one, two)


def test_total_is_the_weighted_sum(
    tiny_config: Callable[..., CoReConfig], random_batch: Callable[..., SequenceBatch]
) -> None:
    weights = dict(zip(SLOTS, (2.0, 3.0, 5.0, 7.0), strict=True))
    model = CoReWorldModel(
        tiny_config(objectives={slot: {"weight": weight} for slot, weight in weights.items()})
    )
    losses = losses_of(model, random_batch(), noise_for(model, 6, 3))
    terms = [term.loss for term in losses.terms.values()]
    expected = sum(w * term for w, term in zip(weights.values(), terms, strict=True))
    torch.testing.assert_close(losses.total, expected)


@pytest.mark.parametrize("slot", SLOTS)
def test_every_term_teaches_encoder_and_recurrence(
    tiny_config: Callable[..., CoReConfig], random_batch: Callable[..., SequenceBatch], slot: str
) -> None:
    model = CoReWorldModel(tiny_config(objectives={"kl": {"free_nats": 0.0}}))
    observed = model.observe_batch(random_batch(), noise_for(model, 6, 3))
    model.objectives[slot](observed).loss.backward()
    dynamics = model.dynamics
    for part in (model.encoder.convolutions[0], dynamics.cell.gates, dynamics.observation_mlp):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    taught = [
        dynamics.prior_mlp if slot in ("frames", "kl") else dynamics.posterior_mlp,
        model.objectives[slot],
    ]
    for module in taught:
        assert all(parameter.grad is not None for parameter in module.parameters())


def test_a_model_can_learn_one_batch_by_heart(
    tiny_config: Callable[..., CoReConfig], random_batch: Callable[..., SequenceBatch]
) -> None:
    model = CoReWorldModel(tiny_config())
    batch = random_batch(length=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    noise = noise_for(model, 4, 3)
    history = []
    for _ in range(24):
        losses = losses_of(model, batch, noise)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        history.append(losses)
    first, last = history[0], history[-1]
    assert loss(last, "contrastive_loss") < 0.5 * last.terms["contrastive_loss"].chance
    assert loss(last, "reward_loss") < 0.5 * loss(first, "reward_loss")
    assert loss(last, "inverse_dynamics_loss") < 0.5 * loss(first, "inverse_dynamics_loss")


# Sizes


def test_preset_paper_has_the_parts_of_table_4() -> None:
    actions = 3
    environment = EnvironmentConfig("an/Env-v0", {}, (-1.0,) * actions, (1.0,) * actions)
    with torch.device("meta"):  # shapes without numbers: the orthogonal start takes seconds
        model = CoReWorldModel(PRESETS["paper"]().replace(environment=environment))
    assert model.latent_size == 264

    def shapes(module: torch.nn.Module) -> list[tuple[int, ...]]:
        return [tuple(parameter.shape) for parameter in module.parameters()]

    def dense(*sizes: int) -> list[tuple[int, ...]]:
        return [shape for size, out in pairwise(sizes) for shape in ((out, size), (out,))]

    dynamics, objectives = model.dynamics, model.objectives
    assert shapes(dynamics.observation_mlp) == dense(50, 256, 256)
    assert shapes(dynamics.recurrent_mlp) == dense(64 + actions, 400, 400)
    assert shapes(dynamics.cell) == [(600, 600), (600,), (600,)]
    assert shapes(dynamics.prior_mlp) == dense(200, 400, 400, 400, 128)
    assert shapes(dynamics.posterior_input) == dense(200 + 256, 400)
    assert shapes(dynamics.posterior_mlp) == dense(400, 400, 128)
    assert shapes(dynamics.prior_norm) == shapes(dynamics.posterior_norm) == [(128,), (128,)]
    assert shapes(objectives.frames.decoder) == dense(264, 256, 256, 50)
    assert shapes(objectives.reward.head) == dense(264, 128, 128, 1)
    assert shapes(objectives.inverse_dynamics.head) == dense(2 * 264, 128, 128, actions)
    parts = (model.encoder, dynamics, objectives.frames.decoder, objectives.reward)
    count = sum(len(shapes(part)) for part in (*parts, objectives.inverse_dynamics))
    assert len(list(model.parameters())) == 1 + count


def test_inverse_temperature_is_softplus(model: CoReWorldModel) -> None:
    assert model.objectives.frames.inverse_temperature_logit.item() == 1
    assert model.objectives.frames.inverse_temperature.item() == pytest.approx(math.log(1 + math.e))


def test_the_same_seed_makes_the_same_model(tiny_config: Callable[..., CoReConfig]) -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(CoReWorldModel(tiny_config()))
    for one, two in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(one, two)


def test_a_model_needs_its_environment() -> None:
    with pytest.raises(ValueError, match=r"config\.environment"):
        CoReWorldModel(PRESETS["compact"]())
