"""How an agent's return falls as distractions grow, and which of them it falls by."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from core_repr.envs.clips import clip_folder
from core_repr.envs.clips.clip import DATA_SETS
from core_repr.envs.levels import LEVELS
from core_repr.evaluation.episodes import Agent, Evaluation, RandomAgent, evaluate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCALES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""σ of the curve over intensity; the levels are 0.1, 0.2 and 0.3."""

PARTS = {
    "background": "background",
    "camera": "camera",
    "color": "colours",
    "lighting": "lighting",
    "textures": "textures",
}
"""Arguments that switch a distraction on and off, and what to call them."""

OFF = frozenset({"lighting", "textures"})
"""Those that are off unless they are switched on."""

CLEAN, SCALE = "without distractions", "scale"


@dataclass(frozen=True)
class Condition:
    """What an agent is tried under.

    Args:
        group: What is varied, such as "level", "scale" or "alone".
        name: Which value of it.
        changes: Arguments of the environment that differ from those of the training.
    """

    group: str
    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)


def conditions(
    trained: Mapping[str, Any] | None = None,
    known: Collection[str] | None = None,
    videos: str | os.PathLike[str] | None = None,
    choices: Mapping[str, Sequence[Any]] | None = None,
) -> list[Condition]:
    """Lists what an agent is to be tried under.

    They are no distractions, the environment as it is, with training backgrounds, and with real
    videos if there are any; each level; a growing scale; each distraction alone; and distractions
    that stand still or move. An environment without levels is tried with each of its choices.

    Args:
        trained: Arguments of the environment that the agent was trained in. Without a difficulty,
            "medium" takes its place.
        known: Names of all arguments that the environment has; by default, those of the
            Distracting Control Suite.
        videos: A folder of videos, whose validation part is shown, or "davis".
        choices: Of an environment without an argument `difficulty`, the values of arguments that
            stand for distractions; the first of each is without.

    Returns:
        The conditions, in the order of a report.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If the environment has no argument `difficulty` and no choices, or no
            backgrounds for the videos.
    """
    trained = dict(trained or {})
    if known is None:
        known = {"difficulty", "scale", "dynamic", "split", "backgrounds", "num_videos"}
        known |= PARTS.keys() - {"textures"}
    if "difficulty" not in known:
        if choices and videos is None:
            return _choose(trained, choices)
        if choices:
            raise ValueError("The environment has no backgrounds that videos could be.")
        raise ValueError(
            "The environment has no argument 'difficulty', so nothing is known of its distractions;"
            " wrap it in DistractionWrapper or ImageDistractionWrapper, for instance with "
            "--wrappers 'DistractionWrapper(\"medium\")'."
        )
    level = trained.get("difficulty") or "medium"
    # All of them, so that the same environment has the same changes.
    usual = {"dynamic": True, **{part: part not in OFF for part in PARTS}}
    own = {name: value for name, value in trained.items() if value is not None and name in usual}
    own = {**usual, **own, "difficulty": level, "scale": trained.get("scale")}
    # A wrapper of pictures plays clips only where something tells what is background.
    shows = "mask_key" not in known or trained.get("mask_key") or trained.get("background_colors")
    has_clips = shows and trained.get("backgrounds", "procedural") is not None
    parts = [name for name in PARTS if name in known and (has_clips or name != "background")]
    found = [Condition("reference", CLEAN, {"difficulty": None})]

    def add(group: str, name: str, **changes: Any) -> None:
        if set(changes) <= set(known):
            changes = {**own, **changes}
            if changes["scale"] is None and changes["difficulty"] in LEVELS:
                changes["scale"] = LEVELS[changes["difficulty"]].scale
            changes = {name: value for name, value in changes.items() if name in known}
            found.append(Condition(group, name, changes))

    add("reference", "as trained" if trained.get("difficulty") else level)
    count = {"num_videos": trained["num_videos"]} if trained.get("num_videos") else {}
    if has_clips:
        add("reference", "training backgrounds", split="train", **count)
    if videos is not None:
        if not shows:
            raise ValueError("The environment has no backgrounds that videos could be.")
        place = os.fspath(videos)
        fewer = {}
        if place not in DATA_SETS:
            there = len(clip_folder.find(Path(place).expanduser(), "val"))
            fewer = {"num_videos": there if there < LEVELS[level].num_videos["val"] else None}
        add("reference", f"videos of {Path(place).name}", backgrounds=place, **fewer)
    for difficulty in LEVELS:
        new = {name: None for name in ("scale", "num_videos") if trained.get(name) is not None}
        add("level", difficulty, **{**new, "difficulty": difficulty})
    for scale in SCALES:
        add(SCALE, f"{scale:g}", scale=scale)
    for part in parts:
        add("alone", PARTS[part], **{name: name == part for name in parts})
    add("movement", "static", dynamic=False)
    add("movement", "dynamic", dynamic=True)
    return found


def _choose(trained: Mapping[str, Any], choices: Mapping[str, Sequence[Any]]) -> list[Condition]:
    """Tries each value of each argument, the other arguments without distractions."""
    clean = {name: values[0] for name, values in choices.items()}
    as_trained = {name: trained.get(name, value) for name, value in clean.items()}
    found = [Condition("reference", CLEAN, clean)]
    if as_trained != clean:
        found.append(Condition("reference", "as trained", as_trained))
    for argument, values in choices.items():
        for value in values[1:]:
            found.append(Condition(argument, str(value), {**clean, argument: value}))
    return found


@dataclass(frozen=True)
class Result:
    """What an agent returned under a condition."""

    condition: Condition
    evaluation: Evaluation


class Robustness:
    """An agent's returns under some conditions, as a table, a figure or JSON.

    Args:
        results: One for each condition.
        at_random: What random actions return without distractions.
        trained_scale: σ of the training, which the figure marks.
    """

    def __init__(
        self, results: Sequence[Result], at_random: Evaluation, trained_scale: float | None = None
    ) -> None:
        self.results = list(results)
        self.at_random = at_random
        self.trained_scale = trained_scale

    @property
    def clean(self) -> Evaluation | None:
        """The returns without distractions, if they were asked for."""
        named = (r.evaluation for r in self.results if r.condition.name == CLEAN)
        return next(named, None)

    def share(self, evaluation: Evaluation) -> float | None:
        """How much of the return without distractions is left: 1 for all, 0 for random actions.

        It is None where an agent does no better than random actions without distractions.
        """
        if self.clean is None or self.clean.mean <= self.at_random.mean:
            return None
        floor = self.at_random.mean
        return (evaluation.mean - floor) / (self.clean.mean - floor)

    def table(self) -> str:
        """Returns the table, in Markdown."""
        lines = ["| | | return | kept |", "|---|---|---|---|"]
        before = None
        for result in self.results:
            group, name = result.condition.group, result.condition.name
            share = self.share(result.evaluation)
            kept = "" if share is None else f"{share:.0%}"
            shown = "" if group == before else group
            lines.append(f"| {shown} | {name} | {_written(result.evaluation)} | {kept} |")
            before = group
        kept = "" if self.clean is None else "0%"
        lines.append(f"| | random actions | {_written(self.at_random)} | {kept} |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Returns the same in JSON's terms, with every episode's return."""
        return {
            "conditions": [
                {
                    "group": result.condition.group,
                    "name": result.condition.name,
                    "changes": dict(result.condition.changes),
                    "kept": self.share(result.evaluation),
                    **result.evaluation.to_dict(),
                }
                for result in self.results
            ],
            "random": self.at_random.to_dict(),
        }

    def figure(self, title: str = "") -> Figure:
        """Draws return over the scale of the distractions, and the other conditions as bars.

        Error bars are standard errors over the episodes.

        Args:
            title: What was tried.
        """
        from matplotlib.figure import Figure

        curve = [result for result in self.results if result.condition.group == SCALE]
        others = [result for result in self.results if result.condition.group != SCALE]
        figure = Figure(figsize=(10, 1.6 + 0.26 * max(len(others), 8)), layout="constrained")
        if title:
            figure.suptitle(title, fontsize=11)
        places = figure.subplots(1, 1 + bool(curve), squeeze=False)[0]
        highest = max(r.evaluation.mean + (_error(r.evaluation) or 0) for r in self.results)
        if curve:
            self._draw_curve(places[0], curve)
            places[0].set_ylim(min(0, self.at_random.mean), 1.08 * max(highest, 1e-9))
        self._draw_bars(places[-1], others)
        return figure

    def _draw_curve(self, axes: Axes, curve: Sequence[Result]) -> None:
        scales = [float(result.condition.name) for result in curve]
        axes.errorbar(
            scales,
            [result.evaluation.mean for result in curve],
            [_error(result.evaluation) or 0 for result in curve],
            marker="o",
            capsize=3,
            label="distractions of this scale",
        )
        if self.clean is not None:
            axes.axhline(self.clean.mean, color="C2", linestyle="--", label=CLEAN)
        axes.axhline(self.at_random.mean, color="grey", linestyle=":", label="random actions")
        if self.trained_scale is not None:
            axes.axvline(self.trained_scale, color="grey", linewidth=6, alpha=0.2, label="training")
        axes.set(xlabel="scale σ of the distractions", ylabel="return")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="best")

    def _draw_bars(self, axes: Axes, results: Sequence[Result]) -> None:
        groups = list(dict.fromkeys(result.condition.group for result in results))
        place, labels = 0.0, {}
        before = None
        for result in results:
            group = result.condition.group
            place += 1.0 if group == before or before is None else 1.6
            before = group
            axes.barh(
                place,
                result.evaluation.mean,
                xerr=_error(result.evaluation),
                color=f"C{groups.index(group)}",
                alpha=0.75,
                capsize=2,
            )
            alone = f"{result.condition.name} alone" if group == "alone" else result.condition.name
            labels[place] = alone
        axes.set_yticks(list(labels), list(labels.values()), fontsize=9)
        axes.invert_yaxis()
        axes.axvline(self.at_random.mean, color="grey", linestyle=":")
        axes.set_xlabel("return")
        axes.grid(axis="x", alpha=0.3)


def robustness(
    agent: Agent,
    make_env: Callable[..., gym.Env[Any, Any]],
    tried: Sequence[Condition] | None = None,
    episodes: int = 10,
    seed: int = 0,
    progress: Callable[[Condition, int], None] | None = None,
    trained_scale: float | None = None,
) -> Robustness:
    """Tries an agent under distractions: the same episodes each time, with the same seeds.

    Conditions with the same changes are tried once.

    Args:
        agent: Whatever has Stable-Baselines3's `predict`.
        make_env: Makes the environment of the training, with validation backgrounds, and with the
            arguments changed that it is called with.
        tried: The conditions; by default, those of `conditions()`.
        episodes: How many under each condition.
        seed: Episode i is reset with seed + i.
        progress: Called after each episode with the condition and the number of its episodes.
        trained_scale: σ of the training, which the figure marks.

    Returns:
        The returns under each condition, which a report, a table and a figure are made of.

    Raises:
        ValueError: If `episodes` is less than one, or there is no condition.

    Example:
        >>> def make(**changes):
        ...     arguments = {"difficulty": "medium", "dynamic": True, "split": "val", **changes}
        ...     env = gym.make("distracting_control/cartpole-swingup-v0", **arguments)
        ...     return CoReWrapper(env, "cartpole-swingup-medium-v1")
        >>> print(robustness(SAC.load("agent"), make).table())
    """
    tried = conditions() if tried is None else tried
    if not tried:
        raise ValueError("there is no condition to try the agent under")
    leveled = any("difficulty" in condition.changes for condition in tried)
    usual = {"difficulty": None} if leveled else {}
    clean = next((c.changes for c in tried if c.name == CLEAN), usual)
    # What cannot be made is said before anything is played.
    for position, condition in enumerate(tried):
        if condition.changes not in [earlier.changes for earlier in tried[:position]]:
            make_env(**condition.changes).close()
    found: list[Result] = []
    for condition in tried:
        report = None if progress is None else _counter(progress, condition)
        same = (r.evaluation for r in found if r.condition.changes == condition.changes)
        evaluation = next(same, None)
        if evaluation is None:
            with closing(make_env(**condition.changes)) as env:
                evaluation = evaluate(agent, env, episodes, seed, progress=report)
        elif report is not None:
            for episode in range(episodes):
                report(episode + 1, evaluation.returns[episode])
        found.append(Result(condition, evaluation))
    with closing(make_env(**clean)) as env:
        at_random = evaluate(RandomAgent(env.action_space, seed), env, episodes, seed)
    return Robustness(found, at_random, trained_scale)


def _counter(
    progress: Callable[[Condition, int], None], condition: Condition
) -> Callable[[int, float], None]:
    return lambda finished, _: progress(condition, finished)


def _error(evaluation: Evaluation) -> float | None:
    error = evaluation.standard_error
    return error if error == error else None


def _written(evaluation: Evaluation) -> str:
    error = _error(evaluation)
    return f"{evaluation.mean:.0f}" + ("" if error is None else f" ± {error:.0f}")
