"""The model card of a model folder: made from its config and its training's records, not typed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from core_repr.config import VARIANTS, CoReConfig, EnvironmentConfig, WrapperConfig, variant_of
from core_repr.environments import changed, label, recorded_argument
from core_repr.files.names import (
    CARD_FILE,
    LEARNING_CURVE_FILE,
    PICTURE_FILE,
    REPLAY_FILE,
    ROBUSTNESS_PICTURE_FILE,
)
from core_repr.files.writing import write_atomically
from core_repr.wrapping import write_wrapper

PAPER = "https://arxiv.org/abs/2112.01163"


@dataclass(frozen=True)
class Score:
    """What an agent returned in some episodes.

    Attributes:
        group: Of what was varied, such as "level"; or the seed of a training.
        name: Of its value, such as "hard"; or how many steps a training took.
        mean: Of the returns.
        standard_error: Of the mean; ``None`` for a single episode.
        episodes: How many.
    """

    group: str
    name: str
    mean: float
    standard_error: float | None
    episodes: int

    def __str__(self) -> str:
        error = self.standard_error
        return f"{self.mean:.1f}" + ("" if error is None else f" ± {error:.1f}")


@dataclass(frozen=True)
class Facts:
    """What a card tells beyond the config.

    Attributes:
        name: What ``from_pretrained`` takes: a Hub repository, a zoo name or a folder.
        files: Names of the files beside the card.
        env_steps: Simulator steps of the training, before action repeat.
        seed: Of the training.
        episode_steps: Agent steps after which its episodes were cut short.
        evaluation: ``mean``, ``standard_error``, ``returns`` and ``seeds`` of whole episodes,
            ``arguments`` and perhaps ``wrappers`` of their environment, and
            ``imagined_reward_r2``, horizon → score.
        versions: Package → version that the model was trained with.
        commit: Of core-repr, when the model was trained.
        device: On which it was trained.
        precision: In which the networks ran then.
        continued_from: The model whose weights the training started from.
        robustness: Its agent's returns under other distractions.
        other_seeds: Those of agents whose trainings differ in their seed alone.
        probes: Physical quantity → R² of a linear probe of the latents, on unseen backgrounds.
    """

    name: str = "path/to/model"
    files: frozenset[str] = frozenset()
    env_steps: int | None = None
    seed: int | None = None
    episode_steps: int | None = None
    evaluation: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    device: str | None = None
    precision: str | None = None
    continued_from: str | None = None
    robustness: tuple[Score, ...] = ()
    other_seeds: tuple[Score, ...] = ()
    probes: Mapping[str, float] = field(default_factory=dict)


def make_card(config: CoReConfig, facts: Facts) -> ModelCard:
    """Returns the card: metadata that the Hub reads, and text for people.

    Args:
        config: Of the model.
        facts: Of its training.
    """
    environment = config.environment
    assert environment is not None
    sections = [
        f"# {facts.name.split('/')[-1]}",
        _summary(config, environment),
        _pictures(facts),
        _evaluation(environment, facts),
        _use(environment, facts),
        _training(config, environment, facts),
        _limits(config, environment, facts),
    ]
    text = "\n\n".join(section for section in sections if section)
    return ModelCard(f"---\n{_metadata(environment, facts).to_yaml()}\n---\n\n{text}\n")


def write(folder: Path, config: CoReConfig, name: str) -> None:
    """Writes the card of a folder of model files.

    Args:
        folder: It holds the files already.
        config: Of the model.
        name: What ``from_pretrained`` will take.
    """
    files = frozenset(file.name for file in folder.iterdir())
    card = make_card(config, Facts(name, files))
    write_atomically(folder / CARD_FILE, str(card).encode())


def _metadata(environment: EnvironmentConfig, facts: Facts) -> ModelCardData:
    results = None
    if facts.evaluation is not None:
        evaluated = _evaluated(environment, facts.evaluation)
        results = [
            EvalResult(
                task_type="reinforcement-learning",
                task_name="reinforcement learning",
                dataset_type=environment.id,
                dataset_name=label(evaluated),
                dataset_split=recorded_argument(evaluated, "split"),
                metric_type=kind,
                metric_name=f"{words} of {len(facts.evaluation['returns'])} episodes",
                metric_value=round(facts.evaluation[key], 2),
            )
            for key, kind, words in (
                ("mean", "mean_reward", "mean return"),
                ("standard_error", "standard_error", "standard error of the mean return"),
            )
            if facts.evaluation.get(key) is not None
        ]
    return ModelCardData(
        library_name="core-repr",
        pipeline_tag="reinforcement-learning",
        tags=[
            "reinforcement-learning",
            "world-model",
            "contrastive-learning",
            "gymnasium",
            "stable-baselines3",
            "model_hub_mixin",
            "pytorch_model_hub_mixin",
        ],
        model_name=facts.name.split("/")[-1],
        eval_results=results,
    )


def _evaluated(environment: EnvironmentConfig, evaluation: Mapping[str, Any]) -> EnvironmentConfig:
    """The environment of an evaluation: that of the training, with some other arguments."""
    arguments = evaluation.get("arguments", {})
    if "wrappers" in evaluation:
        own = {**environment.arguments, **arguments}
        return replace(environment, arguments=own, wrappers=evaluation["wrappers"])
    return changed(environment, arguments)


def _summary(config: CoReConfig, environment: EnvironmentConfig) -> str:
    sizes = config.world_model
    variant = VARIANTS[variant_of(config)]
    return (
        f"A world model of the system **{variant.title}** for **{label(environment)}** "
        f"(`{environment.id}`): it turns distracted camera frames of {sizes.frame_size} × "
        f"{sizes.frame_size} pixels into a latent state of {config.latent_size} numbers, which any "
        "Stable-Baselines3 algorithm for continuous actions can use as its observation.\n\n"
        f"{variant.about} ([paper]({PAPER}))\n\n"
        "The files are JSON and safetensors: loading them runs no code of this repository."
    )


def _pictures(facts: Facts) -> str:
    parts = []
    if REPLAY_FILE in facts.files:
        parts.append(
            f"[{REPLAY_FILE}]({REPLAY_FILE}) shows an episode of the agent that was trained with "
            "the model: the scene, and beside it the pixels that the agent sees."
        )
    if PICTURE_FILE in facts.files:
        parts.append(
            f"![What the model sees, expects and imagines]({PICTURE_FILE})\n\n"
            "An episode on a background that the training has not seen. A decoder, trained "
            "afterwards, draws what the latent state keeps of it, what the model expects before it "
            "sees the next frame, and what it imagines after ten frames, told nothing but the "
            "actions."
        )
    if LEARNING_CURVE_FILE in facts.files:
        parts.append(f"![Return over environment steps]({LEARNING_CURVE_FILE})")
    return "\n\n".join(parts)


def _evaluation(environment: EnvironmentConfig, facts: Facts) -> str:
    if facts.evaluation is None:
        return "## Evaluation\n\nThis model has not been evaluated."
    evaluation = facts.evaluation
    evaluated = _evaluated(environment, evaluation)
    own = Score(
        "", "", evaluation["mean"], evaluation.get("standard_error"), len(evaluation["returns"])
    )
    unseen = " on backgrounds that the training has not seen" * (
        recorded_argument(evaluated, "split") == "val"
    )
    seeds = evaluation["seeds"]
    parts = [
        "## Evaluation\n\n"
        "| environment | episodes | return (mean ± standard error) |\n|---|---|---|\n"
        f"| {label(evaluated)} | {own.episodes} | {own} |\n"
        + "".join(
            f"| {_cell(_condition(score))} | {score.episodes} | {score} |\n"
            for score in facts.robustness
        ),
        f"The agent that was trained with the model, with its deterministic policy{unseen}; "
        f"episodes seeded {min(seeds)} to {max(seeds)}.",
        f"![Return as distractions grow]({ROBUSTNESS_PICTURE_FILE})"
        * (ROBUSTNESS_PICTURE_FILE in facts.files),
        _other_seeds(own, facts),
        _imagination(evaluation),
        _probes(facts),
    ]
    return "\n\n".join(part.rstrip() for part in parts if part)


def _condition(score: Score) -> str:
    """Says what an agent was tried under."""
    if score.group in ("", "reference"):
        return score.name
    if score.group == "alone":
        return f"{score.name} alone"
    return f"{score.group} {score.name}"


def _other_seeds(own: Score, facts: Facts) -> str:
    if not facts.other_seeds:
        return ""
    steps = "not recorded" if facts.env_steps is None else f"{facts.env_steps:,}"
    seed = "not recorded" if facts.seed is None else facts.seed
    this = replace(own, group=f"{seed} (this model)", name=steps)
    every = (this, *facts.other_seeds)
    rows = "\n".join(f"| {_cell(s.group)} | {_cell(s.name)} | {s.episodes} | {s} |" for s in every)
    means = [score.mean for score in every]
    mean = sum(means) / len(means)
    error = math.sqrt(sum((m - mean) ** 2 for m in means) / (len(means) - 1) / len(means))
    return (
        "The same training with other seeds, in the first row's environment:\n\n"
        "| seed | environment steps | episodes | return (mean ± standard error) |\n"
        f"|---|---|---|---|\n{rows}\n\n"
        f"Mean over the {len(means)} seeds: {mean:.1f} ± {error:.1f} (standard error over seeds)."
    )


def _probes(facts: Facts) -> str:
    if not facts.probes:
        return ""
    rows = "\n".join(f"| {_cell(name)} | {score:.2f} |" for name, score in facts.probes.items())
    return (
        "What the latent state knows of the physics (R² of linear probes on backgrounds that the "
        f"training has not seen; 1 is perfect):\n\n| quantity | R² |\n|---|---|\n{rows}"
    )


def _imagination(evaluation: Mapping[str, Any]) -> str:
    scores = evaluation.get("imagined_reward_r2") or {}
    known = {horizon: score for horizon, score in scores.items() if score is not None}
    if not known:
        return ""
    return (
        "How well the model foresees the rewards of these episodes, without their frames "
        "(R² of the reward of one step; 1 is perfect):\n\n"
        f"| agent steps ahead | {' | '.join(map(str, known))} |\n|---{'|---' * len(known)}|\n"
        f"| R² | {' | '.join(f'{score:.2f}' for score in known.values())} |"
    )


def _use(environment: EnvironmentConfig, facts: Facts) -> str:
    names = [wrapper.name.rpartition(".") for wrapper in environment.wrappers]
    needed = {"core_repr": {"CoReWrapper"}}
    for module, _, own in names:
        needed.setdefault(module, set()).add(own)
    imports = "\n".join(
        f"from {module} import {', '.join(sorted(own))}" for module, own in needed.items()
    )
    made = f"gym.make({_code(environment.id)}{_keywords(_portable(environment))})"
    wrapped = "".join(
        f"env = {own}(env{_keywords(_portable(wrapper))})\n"
        for (*_, own), wrapper in zip(names, environment.wrappers, strict=True)
    )
    name = _code(facts.name)
    in_package = "/" not in facts.name
    parts = [
        "## Use it\n\n```python\n"
        "import gymnasium as gym\n"
        "import core_repr  # registers the environments\n"
        f"{imports}\n"
        "from stable_baselines3 import SAC\n\n"
        f"env = {made}\n{wrapped}"
        f"env = CoReWrapper(env, {name})\n"
        'agent = SAC("MlpPolicy", env).learn(5_000, progress_bar=True)\n```',
        f"The world model alone: `CoReWorldModel.from_pretrained({name})`"
        + ("." if in_package else "; pin a commit with `revision=`."),
    ]
    if paths(environment):
        parts.append(
            "The backgrounds of the training are not in this repository: the environment above "
            "has its default ones."
        )
    if "agent.safetensors" in facts.files:
        parts.append(
            "The agent that was trained with the model acts on frames by itself:\n\n"
            f"```python\nfrom core_repr import load_agent\n\n"
            f"agent = load_agent({name})\n"
            "action, state = agent.predict(frame, state, episode_start, deterministic=True)\n```"
        )
    return "\n\n".join(parts)


def _training(config: CoReConfig, environment: EnvironmentConfig, facts: Facts) -> str:
    steps = "not recorded" if facts.env_steps is None else f"{facts.env_steps:,}"
    rows = {
        "environment": f"`{environment.id}`",
        "its arguments": f"`{environment.arguments}`",
        **(
            {"its wrappers": ", ".join(f"`{write_wrapper(w)}`" for w in environment.wrappers)}
            if environment.wrappers
            else {}
        ),
        "action repeat": environment.action_repeat,
        "environment steps, before action repeat": steps,
        **(
            {"episodes of the training": f"cut after {facts.episode_steps} agent steps"}
            if facts.episode_steps
            else {}
        ),
        **({"continued from": _code_span(facts.continued_from)} if facts.continued_from else {}),
        "seed": "not recorded" if facts.seed is None else facts.seed,
        "frames": f"{config.world_model.frame_size}, cropped to {config.world_model.crop_size}",
        "batch": f"{config.agent.batch_size} × {config.agent.sequence_length} frames",
        "updates for each agent step": config.agent.updates_per_step,
        **({"device": facts.device} if facts.device else {}),
        **({"precision": facts.precision} if facts.precision else {}),
        "commit of core-repr": "not recorded" if facts.commit is None else _code_span(facts.commit),
        **facts.versions,
    }
    lines = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())
    return f"## Training\n\n| | |\n|---|---|\n{lines}\n\nEvery setting stands in `config.json`."


def _cell(value: object) -> str:
    """A value that cannot end a table's cell; a file that someone else wrote may hold anything."""
    text = " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


def _code_span(text: str) -> str:
    return f"`{text.replace('`', '')}`"


def _limits(config: CoReConfig, environment: EnvironmentConfig, facts: Facts) -> str:
    side = config.world_model.frame_size
    sensors = " and ".join(f"`{name}`" for name in environment.proprioception)
    size = environment.action_size
    limits = [
        f"It knows {label(environment)} and nothing else: another task, robot, camera or action "
        "repeat needs a model of its own.",
        f"It takes RGB frames of {side} × {side} pixels"
        + f", the robot's own state {sensors}," * bool(sensors)
        + f" and {size} action dimension{'s' * (size > 1)}, at an action repeat of "
        f"{environment.action_repeat}.",
        "It comes from one training with one seed"
        + (
            f", which continued from {_cell(_code_span(facts.continued_from))}"
            if facts.continued_from
            else ""
        )
        + "; another seed may end elsewhere.",
        "It was trained in simulation; nobody has tried it on a real robot, and it must not "
        "control one without supervision.",
    ]
    if recorded_argument(environment, "backgrounds") == "procedural":
        limits.append(
            "Its backgrounds were generated clips with the statistics of natural video, not "
            "filmed ones: returns are not directly comparable with the paper's."
        )
    if facts.evaluation is None:
        limits.append("How well it does is not known: it has not been evaluated.")
    return "## What it cannot do\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _portable(layer: EnvironmentConfig | WrapperConfig) -> dict[str, Any]:
    """The arguments that mean the same on every machine and are not part of the id already."""
    own = layer.id if isinstance(layer, EnvironmentConfig) else layer.name
    return {
        name: value
        for name, value in layer.arguments.items()
        if not (name == "task" and str(value) in own) and not is_path(value)
    }


def paths(environment: EnvironmentConfig) -> list[str]:
    """Returns the arguments that look like paths, which other machines lack."""
    layers: tuple[EnvironmentConfig | WrapperConfig, ...] = (environment, *environment.wrappers)
    return [value for layer in layers for value in layer.arguments.values() if is_path(value)]


def _keywords(arguments: Mapping[str, Any]) -> str:
    return "".join(f", {name}={_code(value)}" for name, value in arguments.items())


def is_path(value: object) -> bool:
    """Whether an argument of an environment looks like a path, which other machines lack."""
    return isinstance(value, str) and ("/" in value or "\\" in value)


def _code(value: object) -> str:
    """A value as one writes it in Python."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        items = ", ".join(map(_code, value))
        comma = "," * (len(value) == 1)
        return f"[{items}]" if isinstance(value, list) else f"({items}{comma})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_code(k)}: {_code(v)}" for k, v in value.items()) + "}"
    if isinstance(value, float) and math.isinf(value):
        return f'float("{value}")'
    return repr(value)
