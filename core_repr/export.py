"""Exports a model's recurrent step, and its agent, as a graph for other runtimes."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core_repr.agent.networks import Actor
from core_repr.config import CoReConfig
from core_repr.files.writing import write_atomically
from core_repr.world_model import CoReWorldModel, LatentState
from core_repr.world_model.latent import StackedState

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["onnx", "torch"]
SUFFIXES: dict[str, str] = {"onnx": ".onnx", "torch": ".pt2"}
OPSETS = range(18, 24)
"""Of ONNX, that PyTorch's exporter writes."""

TOLERANCE = 1e-4
"""Greatest difference between what a graph and the model give, for a step from the same state.

Most models stay below 1e-5; the mean of a posterior that reacts strongly to the encoding may differ
by twice that, in float32.
"""

CHECKED_STEPS = 100

Arrays = dict[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]


class RecurrentStep(nn.Module):
    """A frame and a state become a latent, an action and the next state; means continue.

    Without an actor, the action that was taken is an input, in the environment's units.

    Args:
        model: The world model.
        actor: Acts on the latents; ``None`` for no agent.

    Attributes:
        inputs: Names of what :meth:`forward` takes, in order.
        outputs: Names of what it returns. A part of the state has the name of the input that it is
            for the next step.
    """

    low: Tensor
    high: Tensor
    varies: Tensor

    def __init__(self, model: CoReWorldModel, actor: Actor | None) -> None:
        super().__init__()
        environment = model.config.environment
        assert environment is not None
        self.model, self.actor = model, actor
        low, high = torch.tensor(environment.action_low), torch.tensor(environment.action_high)
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        # A dimension that cannot vary is none of the model's.
        self.register_buffer("varies", (low < high).nonzero()[:, 0])
        stacked = isinstance(model.initial_state(1), StackedState)
        state = ["state_h", "state_s", *["state_frames"] * stacked]
        own = ["proprioception"] * bool(environment.proprioception)
        if actor is None:
            self.inputs = ["frames", *own, "is_first", "action", *state]
            self.outputs = ["latent", *state]
        else:
            self.inputs = ["frames", *own, "is_first", "state_action", *state]
            self.outputs = ["latent", "action", "state_action", *state]

    def example(self) -> dict[str, Tensor]:
        """Returns inputs of the right shapes and types, for the first step of an episode."""
        config = self.model.config
        assert config.environment is not None
        side, environment = config.world_model.frame_size, config.environment
        state = self.model.initial_state(1)
        inputs = {
            "frames": torch.zeros(1, side, side, 3, dtype=torch.uint8),
            "proprioception": torch.zeros(1, environment.proprioception_size),
            "is_first": torch.ones(1, dtype=torch.bool),
            "action": torch.zeros(1, len(self.low)),
            "state_action": torch.zeros(1, environment.action_size),
            "state_h": state.h,
            "state_s": state.sample,
        }
        if isinstance(state, StackedState):
            inputs["state_frames"] = state.past_frames
        return {name: inputs[name] for name in self.inputs}

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Takes a step.

        Args:
            *tensors: As :attr:`inputs` names them.

        Returns:
            What :attr:`outputs` names.
        """
        given = dict(zip(self.inputs, tensors, strict=True))
        s = given["state_s"]
        state = LatentState(given["state_h"], s, torch.zeros_like(s), s)
        if "state_frames" in given:
            state = StackedState(state, given["state_frames"])
        low, high = self.low[self.varies], self.high[self.varies]
        if self.actor is None:
            taken = given["action"].index_select(1, self.varies)
            previous = (2 * (taken - low) / (high - low) - 1).clamp(-1, 1)
        else:
            previous = given["state_action"]
        state = self.model.step(
            state, previous, given["frames"], given["is_first"], None, given.get("proprioception")
        )
        latent = state.features
        found = {"latent": latent, "state_h": state.h, "state_s": state.sample}
        if isinstance(state, StackedState):
            found["state_frames"] = state.past_frames
        if self.actor is not None:
            action = self.actor.mode(latent)
            middle = ((self.low + self.high) / 2).expand(len(action), -1)
            scaled = low + 0.5 * (action + 1) * (high - low)
            found["state_action"] = action
            found["action"] = middle.index_copy(1, self.varies, scaled)
        return tuple(found[name] for name in self.outputs)


def export(
    model: CoReWorldModel,
    actor: nn.Module | None,
    path: Path,
    kind: Format = "onnx",
    opset: int = OPSETS[0],
) -> float:
    """Writes the graph of a step, and compares it with the model for some steps.

    Args:
        model: The world model, on the CPU.
        actor: Of its agent; ``None`` for no agent.
        path: The file.
        kind: ``"onnx"``, or ``"torch"`` for an exported program of PyTorch.
        opset: Of ONNX.

    Returns:
        The greatest difference between what both gave.

    Raises:
        ModuleNotFoundError: If a package is missing.
        ValueError: If there is no such format or opset, the agent is none that a graph can hold,
            or both do not agree.
        OSError: If the file cannot be written.
    """
    if kind not in SUFFIXES:
        raise ValueError(f"format {kind!r} is unknown: expected 'onnx' or 'torch'.")
    if opset not in OPSETS:
        raise ValueError(
            f"opset {opset} cannot be written: expected one of {OPSETS[0]} to {OPSETS[-1]}."
        )
    if actor is not None and not isinstance(actor, Actor):
        raise ValueError(
            "The agent searches for its actions at random, which a graph cannot hold; export the "
            "model without it."
        )
    step = RecurrentStep(model, actor).eval()
    content = _onnx(step, opset) if kind == "onnx" else _program(step)
    run = _onnx_runner(content) if kind == "onnx" else _program_runner(content, step)
    difference = _difference(step, run)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"The graph and the model differ by {difference:.2g}, more than {TOLERANCE:g}; please "
            "report this, with the versions that core-repr doctor prints."
        )
    write_atomically(path, content)
    return difference


def describe(config: CoReConfig) -> dict[str, str]:
    """Returns what a graph tells about its environment: name → value, of which lists are JSON."""
    environment = config.environment
    assert environment is not None
    return {
        "environment": environment.id,
        "action_low": json.dumps(environment.action_low),
        "action_high": json.dumps(environment.action_high),
        "action_repeat": str(environment.action_repeat),
        "proprioception": json.dumps(environment.proprioception),
    }


def _onnx(step: RecurrentStep, opset: int) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    with _quiet():
        program = torch.onnx.export(
            step,
            tuple(step.example().values()),
            input_names=step.inputs,
            # An output cannot have an input's name.
            output_names=[_next(name) for name in step.outputs],
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for name, value in describe(step.model.config).items():
        proto.metadata_props.append(onnx.StringStringEntryProto(key=name, value=value))
    content: bytes = proto.SerializeToString()
    return content


def _missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f'Export to ONNX needs {error.name}: pip install "core-repr[export]".', name=error.name
    )


def _next(name: str) -> str:
    return f"next_{name}" if name.startswith("state_") else name


def _onnx_runner(content: bytes) -> Run:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name.removeprefix("next_") for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


def _program(step: RecurrentStep) -> bytes:
    import io

    file = io.BytesIO()
    with _quiet():
        torch.export.save(torch.export.export(step, tuple(step.example().values())), file)
    return file.getvalue()


def _program_runner(content: bytes, step: RecurrentStep) -> Run:
    import io

    loaded = torch.export.load(io.BytesIO(content)).module()

    def run(inputs: Arrays) -> Arrays:
        outputs = loaded(*(torch.from_numpy(inputs[name]) for name in step.inputs))
        return {n: o.detach().numpy() for n, o in zip(step.outputs, outputs, strict=True)}

    return run


@torch.inference_mode()
def _difference(step: RecurrentStep, run: Run) -> float:
    """Compares the steps of an episode of random frames, each from the graph's own state."""
    rng = np.random.default_rng(0)
    inputs = {name: tensor.numpy() for name, tensor in step.example().items()}
    greatest = 0.0
    for number in range(CHECKED_STEPS):
        inputs["is_first"] = np.array([number == 0])
        inputs["frames"] = rng.integers(256, size=inputs["frames"].shape, dtype=np.uint8)
        for name in ("proprioception", "action"):
            if name in inputs:
                inputs[name] = rng.uniform(-1, 1, inputs[name].shape).astype(np.float32)
        expected = step(*(torch.from_numpy(inputs[name]) for name in step.inputs))
        found = run(inputs)
        for name, value in zip(step.outputs, expected, strict=True):
            error = np.abs(found[name].astype(np.float64) - value.numpy())
            greatest = max(greatest, float(error.max(initial=0.0)))
            if name.startswith("state_"):
                inputs[name] = found[name]
    return greatest


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what PyTorch's exporters tell on their way."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
