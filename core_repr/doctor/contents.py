"""What core-repr keeps on the disk: models, videos, clips."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import core_repr
from core_repr.doctor.check import Check
from core_repr.envs.clips import clip_cache, davis

GIGABYTE = 1e9


def zoo() -> Check:
    """Pretrained models of the package."""
    from safetensors import SafetensorError, safe_open

    folder = Path(core_repr.__file__).parent / "zoo" / "pretrained"
    models = sorted({weights.parent for weights in folder.glob("*/*.safetensors")})
    advice = "install core-repr anew: its pretrained models are part of it"
    if not models:
        return Check("zoo", "warning", f"no pretrained model in {folder}", advice)
    for model in models:
        for weights in model.glob("*.safetensors"):
            try:
                safe_open(weights, framework="pt").keys()
            except (SafetensorError, OSError) as error:
                return Check("zoo", "problem", f"{weights} cannot be read: {error}", advice)
    return Check("zoo", "ok", f"{len(models)} model(s): {', '.join(m.name for m in models)}")


def davis_videos() -> Check:
    """The videos of DAVIS."""
    name = "DAVIS videos"
    try:
        folder = davis.folder()
        if not folder.exists():
            found = "not there (optional: core-repr download davis)"
            return Check(name, "ok", found)
        problems = davis.problems(folder)
    except OSError as error:
        return Check(name, "warning", str(error), 'backgrounds="procedural" needs none of it')
    if problems:
        advice = f"rm -r {folder}, then core-repr download davis"
        return Check(name, "warning", f"{folder}: {problems[0]}", advice)
    return Check(name, "ok", f"all 90 in {folder}")


def clip_cache_size() -> Check:
    """What was decoded and generated for backgrounds."""
    name = "cache of clips"
    try:
        folder = clip_cache.folder()
        folder.mkdir(parents=True, exist_ok=True)
        size = sum(path.stat().st_size for path in folder.iterdir()) / GIGABYTE
    except OSError as error:
        advice = "set XDG_CACHE_HOME to a folder that can be written"
        return Check(name, "warning", str(error), advice)
    found = f"{size:.1f} GB in {folder}"
    if not os.access(folder, os.W_OK):
        advice = "make it writable, or set XDG_CACHE_HOME to a folder that is"
        return Check(name, "warning", f"{found}, which cannot be written", advice)
    if shutil.disk_usage(folder).free < GIGABYTE:
        return Check(name, "warning", f"{found}, with less than 1 GB free", "make room there")
    return Check(name, "ok", found)
