"""A hook of MkDocs: a page of the zoo, and its models' cards with videos and pictures."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from core_repr import zoo

INTRODUCTION = """# The zoo

Models that come with the package: `CoReWrapper(env, "NAME")`, or `core-repr demo --model NAME`.
Returns are out of 1,000, on backgrounds that the training has not seen. Each name leads to its
card. [Models: the zoo and the Hub](../hub.md) says how to load, check and share them.

| model | trained in | environment steps | return |
|---|---|---|---|
"""

PICTURE = """
## {name}

[![{name} sees]({name}/sees.png)]({name}/README.md)
"""

VIDEO = '<video src="replay.mp4" controls muted loop style="width: 100%"></video>\n\n'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and what they show."""
    rows, pictures = [], []
    for name in zoo.list_models():
        folder = zoo.find(name)
        model = zoo.summarize(name, folder)
        steps = f"{model.facts.env_steps:,}"
        rows.append(
            f"| [`{name}`]({name}/README.md) | {model.task}, {model.level} | {steps} | "
            f"{model.result} |"
        )
        pictures.append(PICTURE.format(name=name))
        for path in sorted(folder.iterdir()):
            place = f"zoo/{name}/{path.name}"
            if path.suffix in (".png", ".mp4"):
                files.append(File.generated(config, place, abs_src_path=str(path)))
        files.append(File.generated(config, f"zoo/{name}/README.md", content=_card(folder)))
    page = INTRODUCTION + "\n".join(rows) + "\n" + "".join(pictures)
    files.append(File.generated(config, "zoo/index.md", content=page))
    return files


def _card(folder: Path) -> str:
    """The model's card, with its video in the place of the link to it."""
    text = re.sub(r"\A---\n.*?\n---\n", "", (folder / "README.md").read_text(), flags=re.DOTALL)
    return re.sub(r"^(?=\[replay\.mp4\])", VIDEO, text, flags=re.MULTILINE)
