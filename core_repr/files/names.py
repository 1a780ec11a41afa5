"""What files and folders of models and trainings are called, and how large each may be."""

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
AGENT_FILE = "agent.safetensors"

CARD_FILE = "README.md"
LEARNING_CURVE_FILE = "learning_curve.png"
REPLAY_FILE = "replay.mp4"
"""A film of an episode."""
PICTURE_FILE = "sees.png"
"""What a model sees, expects and imagines of an episode."""
ROBUSTNESS_PICTURE_FILE = "robustness.png"

SETTINGS_FILE = "settings.json"
PROGRESS_FILE = "progress.csv"
EVALUATIONS_FILE = "evaluations.jsonl"
"""The evaluations of a training, one a line."""
EVALUATION_FILE = "evaluation.json"
"""The evaluation of a model."""
ROBUSTNESS_FILE = "robustness.json"
"""Evaluations of a model under other distractions."""
PROBES_FILE = "probes.json"
SEEDS_FILE = "seeds.json"
"""Evaluations of trainings that differ in their seed alone."""
RECORD_FILES = (
    SETTINGS_FILE,
    EVALUATION_FILE,
    EVALUATIONS_FILE,
    ROBUSTNESS_FILE,
    PROBES_FILE,
    SEEDS_FILE,
)

DIAGNOSTICS_FILE = "progress.png"
RUN_FILE = "run.json"
MANIFEST_FILE = "replay.json"
TENSORS_FILE = "training.safetensors"
VALUES_FILE = "training.json"
MODEL_FOLDER = "model"
CHECKPOINTS_FOLDER = "checkpoints"
REPLAY_FOLDER = "replay"

MAX_CONFIG_BYTES = 1_000_000
MAX_RECORD_BYTES = 10_000_000
"""Of a file that tells about a training."""
MAX_WEIGHT_BYTES = 1_000_000_000
"""Of one file of weights; the paper's model has 11 MB."""
