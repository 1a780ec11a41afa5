"""The page: Panel's, over what :mod:`core_repr.board.runs` finds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from core_repr.board.runs import Run, differences, find_runs, standings
from core_repr.evaluation.plots import EVALUATION_RETURN, TRAINING_RETURN
from core_repr.files.names import DIAGNOSTICS_FILE

FIRST_CURVES = (EVALUATION_RETURN, TRAINING_RETURN)
"""What is shown first."""


def build_page(folder: Path, seconds: float = 10.0) -> Any:
    """Builds the page.

    Args:
        folder: Of runs.
        seconds: Between two looks at the folder; 0 for none.

    Returns:
        What ``panel.serve`` serves.

    Raises:
        FileNotFoundError: If there is no such folder.
        ModuleNotFoundError: If Panel is missing.
    """
    try:
        import panel as pn
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "The board needs Panel: pip install 'core-repr[board]'."
        ) from None
    pn.extension("tabulator", sizing_mode="stretch_width")
    found = find_runs(folder)
    names = [run.name for run in found]
    chosen = pn.widgets.MultiChoice(name="Runs", options=_options(names), value=names[:8])
    curves = pn.widgets.MultiChoice(
        name="Curves", options=_columns(found), value=_first(found), max_items=12
    )
    looks = pn.widgets.IntInput(value=0, visible=False)

    seen = [_state(found)]

    def look() -> None:
        now = find_runs(folder)
        if _state(now) == seen[0]:
            return
        seen[0] = _state(now)
        runs = [run.name for run in now]
        new = [name for name in runs if name not in chosen.options.values()]
        chosen.options = _options(runs)
        chosen.value = [name for name in chosen.value if name in runs] + new
        curves.options = _columns(now)
        if not curves.value:
            curves.value = _first(now)
        looks.value = int(looks.value or 0) + 1

    def shown(names: Sequence[str], _: int) -> list[Run]:
        return [run for run in find_runs(folder) if run.name in names]

    def draw(kind: Any, names: Sequence[str], look: int, *more: Any) -> Any:
        runs = shown(names, look)
        if not runs:
            return pn.pane.Markdown(f"No runs in `{folder}` yet: `core-repr train` makes one.")
        return kind(pn, runs, *more)

    tabs = pn.Tabs(
        ("Curves", pn.bind(partial(draw, _curves), chosen, looks, curves)),
        ("Evaluations", pn.bind(partial(draw, _evaluations), chosen, looks)),
        ("Settings that differ", pn.bind(partial(draw, _settings), chosen, looks)),
        ("Videos", pn.bind(partial(draw, _videos), chosen, looks)),
        dynamic=True,
    )
    if seconds:
        pn.state.add_periodic_callback(look, int(1_000 * seconds))
    return pn.template.FastListTemplate(
        title="core-repr board",
        sidebar=[pn.pane.Markdown(f"`{folder}`"), chosen, curves],
        main=[tabs],
        # Fonts of the system: the page needs no network.
        font="sans-serif",
        font_url="",
        accent="#00796b",
    )


def _options(names: Sequence[str]) -> dict[str, str]:
    """What a widget shows, which takes it for HTML, and what it stands for."""
    return {escape(name): name for name in names}


def _state(runs: Sequence[Run]) -> list[Any]:
    """What changes when there is something new to show."""
    return [(run.name, run.steps, len(run.evaluations), len(run.videos)) for run in runs]


def _columns(runs: Sequence[Run]) -> list[str]:
    names = dict.fromkeys(name for run in runs for name in run.curves)
    return [name for name in names if not name.startswith("time/")]


def _first(runs: Sequence[Run]) -> list[str]:
    there = _columns(runs)
    wanted = [name for name in FIRST_CURVES if name in there]
    return wanted + [name for name in there if name.endswith("contrastive_loss")][:1]


def _curves(pn: Any, runs: Sequence[Run], columns: Sequence[str]) -> Any:
    from bokeh.models import HoverTool, NumeralTickFormatter
    from bokeh.palettes import Category10
    from bokeh.plotting import figure

    plots = []
    for column in columns:
        plot = figure(height=320, title=column, sizing_mode="stretch_width")
        for number, run in enumerate(runs):
            if column not in run.curves or run.steps_column not in run.curves:
                continue
            steps, values = run.curves[run.steps_column], run.curves[column]
            there = np.isfinite(steps) & np.isfinite(values)
            color = Category10[10][number % 10]
            line = plot.line(steps[there], values[there], line_width=2, color=color)
            plot.scatter(steps[there], values[there], size=4, color=color)
            tips = [("run", run.name), ("steps", "@x{0a}"), ("value", "@y{0.000}")]
            plot.add_tools(HoverTool(renderers=[line], tooltips=tips))
        plot.xaxis.formatter = NumeralTickFormatter(format="0.[0]a")
        plot.xaxis.axis_label = "updates" if _of_updates(runs) else "environment steps"
        plots.append(pn.pane.Bokeh(plot))
    if not plots:
        return pn.pane.Markdown("Choose a curve.")
    legend = "".join(
        f'<span style="color: {Category10[10][number % 10]}">■</span> {escape(run.name)} &emsp; '
        for number, run in enumerate(runs)
    )
    columns_beside = 2 if len(plots) > 1 else 1
    return pn.Column(
        pn.pane.HTML(legend), pn.GridBox(*plots, ncols=columns_beside, sizing_mode="stretch_width")
    )


def _of_updates(runs: Sequence[Run]) -> bool:
    return all(run.steps_column == "time/updates" for run in runs if run.curves)


def _evaluations(pn: Any, runs: Sequence[Run]) -> Any:
    import pandas as pd

    table = pn.widgets.Tabulator(
        pd.DataFrame(standings(runs)),
        disabled=True,
        show_index=False,
        formatters={name: {"type": "money", "precision": 1, "symbol": ""} for name in _NUMBERS},
    )
    pictures = [
        pn.Column(
            pn.pane.HTML(f"<b>{escape(run.name)}</b>"), pn.pane.PNG(path, sizing_mode="scale_width")
        )
        for run in runs
        if (path := run.folder / DIAGNOSTICS_FILE).is_file()
    ]
    return pn.Column(table, *pictures)


_NUMBERS = ("return", "standard error", "best")


def _settings(pn: Any, runs: Sequence[Run]) -> Any:
    import pandas as pd

    if len(runs) < 2:
        return pn.pane.Markdown("Choose two runs or more.")
    rows = differences(runs)
    if not rows:
        return pn.pane.Markdown("These runs have the same settings.")
    # A column's title is taken for HTML.
    table = pd.DataFrame(rows).rename(columns=escape)
    return pn.widgets.Tabulator(table, disabled=True, show_index=False)


def _videos(pn: Any, runs: Sequence[Run]) -> Any:
    found = [
        pn.Column(
            pn.pane.HTML(f"<b>{escape(run.name)}</b>: {escape(video.name)}"),
            pn.pane.Video(str(video), loop=True, width=480),
        )
        for run in runs
        for video in run.videos
    ]
    if not found:
        return pn.pane.Markdown(
            "No videos: `core-repr evaluate RUN --video RUN/episode.mp4` records one."
        )
    return pn.GridBox(*found, ncols=2)


def serve(folder: Path, port: int, open_browser: bool, seconds: float) -> None:
    """Serves the page on 127.0.0.1 until it is interrupted.

    Args:
        folder: Of runs.
        port: Of the page.
        open_browser: Whether to open it.
        seconds: Between two looks at the folder.

    Raises:
        OSError: If the port is taken, or needs rights that the user lacks.
    """
    import panel as pn

    try:
        server = pn.serve(
            {"/": lambda: build_page(folder, seconds)},
            port=port,
            address="127.0.0.1",
            show=open_browser,
            start=False,
            verbose=False,
            title="core-repr board",
            websocket_origin=[f"127.0.0.1:{port}", f"localhost:{port}"],
        )
    except OSError as error:
        raise OSError(
            f"Port {port} cannot be used ({error.strerror}); choose another one with --port."
        ) from None
    print(f"http://127.0.0.1:{port} shows {folder}; Ctrl-C ends it.", flush=True)
    server.start()
    server.io_loop.start()
