"""What the files of a model folder are called, and how large each may be."""

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
AGENT_FILE = "agent.safetensors"
MAX_CONFIG_BYTES = 1_000_000
MAX_RECORD_BYTES = 10_000_000
"""Of a file that tells about a training."""
MAX_WEIGHT_BYTES = 1_000_000_000
"""Of one file of weights; the paper's model has 11 MB."""
