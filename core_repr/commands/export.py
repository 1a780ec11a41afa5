"""``core-repr export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass
class Export:
    """Writes a model's recurrent step, and its agent, as a graph that runs without core-repr.

    The state goes in and comes out; a graph of ONNX runs without PyTorch too.

    Attributes:
        model: A zoo name or a folder, such as a run's model folder.
        output: File to write; by default, the model's name with .onnx or .pt2.
        format: onnx, or torch for an exported program, which torch.export.load reads.
        agent: With the agent, whose action comes out; without, the action that was taken goes in.
        opset: Of ONNX, 18 to 23.
    """

    model: tyro.conf.Positional[str]
    output: Path | None = None
    format: Annotated[Literal["onnx", "torch"], tyro.conf.arg(name="format")] = "onnx"
    agent: bool = True
    opset: int = 18

    def __call__(self) -> int:
        """Writes the graph."""
        from core_repr import zoo
        from core_repr.agent import load_agent
        from core_repr.export import CHECKED_STEPS, SUFFIXES, export
        from core_repr.files.names import AGENT_FILE
        from core_repr.files.places import check_file, user_path
        from core_repr.world_model import CoReWorldModel

        source = zoo.find(self.model)
        output = self.output or Path(Path(self.model).resolve().name + SUFFIXES[self.format])
        output = user_path(output)
        check_file(output)
        actor = None
        if not self.agent:
            model = CoReWorldModel.from_pretrained(source)
        elif not (source / AGENT_FILE).is_file():
            raise ValueError(f"{self.model} has no agent; leave it out with --no-agent.")
        else:
            loaded = load_agent(source, device="cpu")
            model, actor = loaded.world_model, loaded.policy.actor_critic.actor
        difference = export(model, actor, output, self.format, self.opset)
        size = output.stat().st_size / 1e6
        print(
            f"{output} ({size:.1f} MB) gives what the model gives, to {difference:.0e}, in "
            f"{CHECKED_STEPS} steps of random frames"
        )
        return 0
