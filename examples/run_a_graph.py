"""Act with an exported model, by onnxruntime and NumPy alone: no PyTorch, no core-repr.

core-repr export cartpole-swingup-easy-v0 --output cartpole.onnx
python examples/run_a_graph.py
"""

import json
import sys

import numpy as np
import onnxruntime


class Graph:
    """An agent whose state lives here. Its actions are in the robot's own units."""

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path)
        self.about = self.session.get_modelmeta().custom_metadata_map
        types = {"tensor(uint8)": np.uint8, "tensor(bool)": np.bool_, "tensor(float)": np.float32}
        self.inputs = {i.name: np.zeros(i.shape, types[i.type]) for i in self.session.get_inputs()}
        self.outputs = [output.name for output in self.session.get_outputs()]

    def act(self, frame: np.ndarray, is_first: bool) -> np.ndarray:
        """Takes a frame, (side, side, 3) uint8; ``is_first`` where an episode starts."""
        self.inputs["frames"][0], self.inputs["is_first"][0] = frame, is_first
        found = dict(zip(self.outputs, self.session.run(None, self.inputs), strict=True))
        for name in self.inputs:
            self.inputs[name] = found.get(f"next_{name}", self.inputs[name])
        action: np.ndarray = found["action"][0]
        return action


def main(path: str, steps: int = 100) -> None:
    """Acts on frames of a camera that sees only noise; put your robot's own in its place."""
    graph, rng = Graph(path), np.random.default_rng(0)
    print(f"for {graph.about['environment']}, from {json.loads(graph.about['action_low'])} on")
    for step in range(steps):
        frame = rng.integers(256, size=graph.inputs["frames"].shape[1:], dtype=np.uint8)
        action = graph.act(frame, is_first=step == 0)
    print(f"the last of {steps} actions is {action}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cartpole.onnx")
