"""The posterior over whole sequences, with its gradient written out.

Autograd would multiply two thin matrices for each weight at each step; here, it is one product.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Layer = tuple[Tensor, Tensor]


class Recurrence(NamedTuple):
    """What depends on neither weights nor data.

    Attributes:
        recurrent_layers: Number of layers of GRU_MLP.
        posterior_layers: Number of layers of PosteriorMLP after its first one.
        initial_step: Whether the recurrence takes a step before the first frame of an episode;
            otherwise h is 0 there.
        normalize: Whether LayerNorm runs over the statistics.
        epsilon: Of LayerNorm.
        update_bias: Bias of the update gate.
        log_std_offset: Added to the log standard deviations,
        log_std_bound: which are then clamped to plus and minus this.
        product_dtype: Type that matrices are multiplied in.
    """

    recurrent_layers: int
    posterior_layers: int
    initial_step: bool
    normalize: bool
    epsilon: float
    update_bias: float
    log_std_offset: float
    log_std_bound: float
    product_dtype: torch.dtype


class Weights(NamedTuple):
    """Weights of the recurrence; a layer is ``(weight, bias)``.

    Attributes:
        recurrent: GRU_MLP.
        gates: The GRU's linear map of [input, h].
        gates_norm: Its LayerNorm.
        posterior_input: What PosteriorMLP's first layer does with h, ``(P, H)``.
        posterior: Its other layers.
        posterior_norm: LayerNorm over the statistics, if any.
    """

    recurrent: Sequence[Layer]
    gates: Tensor
    gates_norm: Layer
    posterior_input: Tensor
    posterior: Sequence[Layer]
    posterior_norm: Layer | None

    def flat(self) -> list[Tensor]:
        """Returns all tensors in one list, which autograd can see."""
        layers = [tensor for layer in self.recurrent for tensor in layer]
        layers += [self.gates, *self.gates_norm, self.posterior_input]
        layers += [tensor for layer in self.posterior for tensor in layer]
        return layers + list(self.posterior_norm or ())

    @classmethod
    def from_flat(cls, tensors: Sequence[Tensor], form: Recurrence) -> "Weights":
        """Undoes :meth:`flat`."""
        rest = iter(tensors)

        def layers(count: int) -> list[Layer]:
            return [(next(rest), next(rest)) for _ in range(count)]

        return cls(
            layers(form.recurrent_layers),
            next(rest),
            layers(1)[0],
            next(rest),
            layers(form.posterior_layers),
            layers(1)[0] if form.normalize else None,
        )


class _Step(NamedTuple):
    """What the way back through one step needs."""

    sample: Tensor
    recurrent: list[Tensor]
    gates_input: Tensor
    gates: Tensor
    gates_moments: Sequence[Tensor]
    reset: Tensor
    candidate_gate: Tensor
    candidate: Tensor
    update: Tensor
    zeroed: Tensor | None
    h: Tensor
    hidden: list[Tensor]
    statistics: Tensor
    statistics_moments: Sequence[Tensor]
    log_std: Tensor
    noise_share: Tensor | None


class _Gradients(NamedTuple):
    """Gradients of one step: those of the outputs of its linear layers and LayerNorms."""

    recurrent: list[Tensor]
    gates: Tensor
    gates_normed: Tensor
    hidden: list[Tensor]
    statistics: Tensor
    statistics_normed: Tensor


class Unroll(torch.autograd.Function):
    """The posterior over sequences of T steps.

    ``apply`` takes, in this order: the :class:`Recurrence`; ``projected (T, B, P)``, what
    PosteriorMLP's first layer adds for each frame; ``actions (T, B, A)`` that led to the frames;
    ``is_first (T, B)``, true where an episode starts; ``start (T, B, S)``, the stochastic state
    before the first frame of an episode, for the initial step; ``noise (T, B, S)`` of the
    samples, or ``None`` for the means to continue; and :meth:`Weights.flat`.

    It returns h, mean, log standard deviation and sample, each ``(T, B, ...)``. The gradient goes
    to ``projected`` and to the weights.
    """

    @staticmethod
    def forward(
        ctx: Any,
        form: Recurrence,
        projected: Tensor,
        actions: Tensor,
        is_first: Tensor,
        start: Tensor,
        noise: Tensor | None,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        """Runs over the sequences."""
        weights = Weights.from_flat(tensors, form)
        cast = Weights.from_flat([tensor.to(form.product_dtype) for tensor in tensors], form)
        dtype = weights.gates.dtype

        def linear(x: Tensor, transposed: Tensor, bias: Tensor | None = None) -> Tensor:
            x = x.to(form.product_dtype)
            return (x @ transposed if bias is None else torch.addmm(bias, x, transposed)).to(dtype)

        size = start.shape[-1]
        # A thin matrix times a transposed one takes twice as long where the transposed one lies
        # in memory the other way round.
        (first, first_bias), *further = [(_transposed(w), b) for w, b in cast.recurrent]
        to_gates, to_hidden = _transposed(cast.gates), _transposed(cast.posterior_input)
        *posterior, to_statistics = [(_transposed(w), b) for w, b in cast.posterior]
        # Filled, not multiplied by zero: what is not finite must not outlive its episode.
        fresh = is_first.unsqueeze(-1)
        starts = is_first.any(1).tolist()
        # The actions are known ahead: their share of the first layer needs no recurrence.
        actions = actions.masked_fill(fresh, 0)
        driven = linear(actions.flatten(0, 1), first[size:], first_bias).unflatten(
            0, actions.shape[:2]
        )
        first = first[:size]
        h = start.new_zeros(start.shape[1], cast.posterior_input.shape[1], dtype=dtype)
        sample = start.new_zeros(start.shape[1:], dtype=dtype)
        steps = []
        outputs = []
        for t, projection in enumerate(projected.to(dtype)):
            if starts[t]:
                h = h.masked_fill(fresh[t], 0)
                sample = torch.where(fresh[t], start[t], sample)
            recurrent = [F.elu(driven[t] + linear(sample, first))]
            for layer in further:
                recurrent.append(F.elu(linear(recurrent[-1], *layer)))
            gates_input = torch.cat([recurrent[-1], h], -1)
            gates = linear(gates_input, to_gates)
            normed, *gates_moments = _layer_norm(gates, weights.gates_norm, form.epsilon)
            reset, candidate_gate, update = normed.chunk(3, -1)
            reset = torch.sigmoid(reset)
            candidate = torch.tanh(reset * candidate_gate)
            update = torch.sigmoid(update + form.update_bias)
            h = torch.lerp(h, candidate, update)
            zeroed = None
            if starts[t] and not form.initial_step:
                zeroed = fresh[t]
                h = h.masked_fill(zeroed, 0)

            hidden = [F.elu(projection + linear(h, to_hidden))]
            for layer in posterior:
                hidden.append(F.elu(linear(hidden[-1], *layer)))
            statistics = linear(hidden[-1], *to_statistics)
            normed = statistics
            statistics_moments: list[Tensor] = []
            if weights.posterior_norm is not None:
                normed, *statistics_moments = _layer_norm(
                    statistics, weights.posterior_norm, form.epsilon
                )
            mean, log_std = normed.chunk(2, -1)
            log_std = log_std + form.log_std_offset
            clamped = log_std.clamp(-form.log_std_bound, form.log_std_bound)
            previous_sample, sample = sample, mean
            noise_share = None
            if noise is not None:
                noise_share = clamped.exp() * noise[t]
                sample = mean + noise_share
            outputs.append((h, mean, clamped, sample))
            steps.append(
                _Step(
                    previous_sample,
                    recurrent,
                    gates_input,
                    gates,
                    gates_moments,
                    reset,
                    candidate_gate,
                    candidate,
                    update,
                    zeroed,
                    h,
                    hidden,
                    statistics,
                    statistics_moments,
                    log_std,
                    noise_share,
                )
            )
        ctx.form, ctx.weights, ctx.cast, ctx.steps = form, weights, cast, steps
        ctx.actions, ctx.fresh, ctx.starts = actions, fresh, starts
        return tuple(torch.stack(fields) for fields in zip(*outputs, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *output_gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Runs back through the sequences, and then gathers the gradient of each weight."""
        steps: list[_Step] = ctx.steps
        to_h = torch.zeros_like(steps[0].h)
        to_sample = torch.zeros_like(steps[0].sample)
        gradients = []
        for t in reversed(range(len(steps))):
            from_h, from_mean, from_log_std, from_sample = (field[t] for field in output_gradients)
            step_gradients, to_h, to_sample = _step_back(
                ctx.form,
                ctx.weights,
                ctx.cast,
                steps[t],
                (from_h + to_h, from_mean, from_log_std, from_sample + to_sample),
            )
            if ctx.starts[t]:
                to_h = to_h.masked_fill(ctx.fresh[t], 0)
                to_sample = to_sample.masked_fill(ctx.fresh[t], 0)
            gradients.append(step_gradients)
        gradients.reverse()
        projected = torch.stack([step.hidden[0] for step in gradients])
        weights = _weight_gradients(ctx.form, ctx.weights, steps, ctx.actions, gradients)
        return (None, projected, None, None, None, None, *weights)


def _step_back(
    form: Recurrence,
    weights: Weights,
    cast: Weights,
    step: _Step,
    from_outputs: tuple[Tensor, Tensor, Tensor, Tensor],
) -> tuple[_Gradients, Tensor, Tensor]:
    """Returns the gradients inside a step, and those of the h and the sample before it."""
    from_h, from_mean, from_log_std, from_sample = from_outputs
    dtype = weights.gates.dtype

    def through(gradient: Tensor, weight: Tensor) -> Tensor:
        return (gradient.to(form.product_dtype) @ weight).to(dtype)

    if step.noise_share is not None:
        from_log_std = torch.addcmul(from_log_std, from_sample, step.noise_share)
    from_log_std = from_log_std * (step.log_std.abs() <= form.log_std_bound)
    statistics_normed = torch.cat([from_mean + from_sample, from_log_std], -1)
    statistics = statistics_normed
    if weights.posterior_norm is not None:
        statistics = _to_layer_norm(
            statistics, step.statistics, step.statistics_moments, weights.posterior_norm
        )
    hidden: list[Tensor] = []
    gradient = statistics
    for (weight, _), output in zip(reversed(cast.posterior), reversed(step.hidden), strict=True):
        gradient = _elu_backward(through(gradient, weight), output)
        hidden.insert(0, gradient)

    from_h = from_h + through(gradient, cast.posterior_input)
    if step.zeroed is not None:
        from_h = from_h.masked_fill(step.zeroed, 0)
    previous_h = step.gates_input[:, -from_h.shape[-1] :]
    from_candidate = from_h * step.update * (1 - step.candidate.square())
    from_update = from_h * (step.candidate - previous_h) * (step.update * (1 - step.update))
    from_reset = from_candidate * step.candidate_gate * (step.reset * (1 - step.reset))
    gates_normed = torch.cat([from_reset, from_candidate * step.reset, from_update], -1)
    gates = _to_layer_norm(gates_normed, step.gates, step.gates_moments, weights.gates_norm)
    from_input = through(gates, cast.gates)
    width = step.recurrent[-1].shape[-1]
    to_h = from_input[:, width:] + from_h * (1 - step.update)

    gradient = _elu_backward(from_input[:, :width], step.recurrent[-1])
    recurrent = [gradient]
    for (weight, _), output in zip(
        reversed(cast.recurrent[1:]), reversed(step.recurrent[:-1]), strict=True
    ):
        gradient = _elu_backward(through(gradient, weight), output)
        recurrent.insert(0, gradient)
    to_sample = through(gradient, cast.recurrent[0][0][:, : step.sample.shape[-1]])
    inside = _Gradients(recurrent, gates, gates_normed, hidden, statistics, statistics_normed)
    return inside, to_h, to_sample


def _weight_gradients(
    form: Recurrence,
    weights: Weights,
    steps: Sequence[_Step],
    actions: Tensor,
    gradients: Sequence[_Gradients],
) -> list[Tensor]:
    """Returns the gradients of :meth:`Weights.flat`, each from all steps at once."""

    def joined(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(tensors))

    def of_weight(output_gradients: Tensor, inputs: Tensor) -> Tensor:
        transposed = output_gradients.to(form.product_dtype).T
        return (transposed @ inputs.to(form.product_dtype)).to(weights.gates.dtype)

    result: list[Tensor] = []
    inputs = torch.cat([joined([step.sample for step in steps]), actions.flatten(0, 1)], -1)
    for index in range(form.recurrent_layers):
        gradient = joined([step.recurrent[index] for step in gradients])
        result += [of_weight(gradient, inputs), gradient.sum(0)]
        inputs = joined([step.recurrent[index] for step in steps])
    gradient = joined([step.gates for step in gradients])
    result.append(of_weight(gradient, joined([step.gates_input for step in steps])))
    result += _to_affine(
        [step.gates_normed for step in gradients],
        [step.gates for step in steps],
        [step.gates_moments for step in steps],
        weights.gates_norm,
    )
    gradient = joined([step.hidden[0] for step in gradients])
    result.append(of_weight(gradient, joined([step.h for step in steps])))
    for index in range(form.posterior_layers):
        last = index == form.posterior_layers - 1
        gradient = joined(
            [step.statistics if last else step.hidden[index + 1] for step in gradients]
        )
        inputs = joined([step.hidden[index] for step in steps])
        result += [of_weight(gradient, inputs), gradient.sum(0)]
    if weights.posterior_norm is not None:
        result += _to_affine(
            [step.statistics_normed for step in gradients],
            [step.statistics for step in steps],
            [step.statistics_moments for step in steps],
            weights.posterior_norm,
        )
    return result


def _transposed(weight: Tensor) -> Tensor:
    return weight.T.contiguous()


def _layer_norm(x: Tensor, affine: Layer, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    return torch.native_layer_norm(x, x.shape[-1:], *affine, epsilon)


def _to_layer_norm(gradient: Tensor, x: Tensor, moments: Sequence[Tensor], affine: Layer) -> Tensor:
    """Returns the gradient of LayerNorm's input."""
    mask = [True, False, False]
    result: Tensor = torch.ops.aten.native_layer_norm_backward(
        gradient, x, x.shape[-1:], *moments, *affine, mask
    )[0]
    return result


def _to_affine(
    gradients: Sequence[Tensor],
    inputs: Sequence[Tensor],
    moments: Sequence[Sequence[Tensor]],
    affine: Layer,
) -> list[Tensor]:
    """Returns the gradients of LayerNorm's weight and bias, over all steps."""
    x = torch.cat(list(inputs))
    joined = [torch.cat(moment) for moment in zip(*moments, strict=True)]
    mask = [False, True, True]
    _, weight, bias = torch.ops.aten.native_layer_norm_backward(
        torch.cat(list(gradients)), x, x.shape[-1:], *joined, *affine, mask
    )
    return [weight, bias]


def _elu_backward(gradient: Tensor, output: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten.elu_backward(gradient, 1, 1, 1, True, output)
    return result
