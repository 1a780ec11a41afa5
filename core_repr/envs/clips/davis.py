"""DAVIS 2017: its videos in the order in which the levels take them, their lengths, its licence."""

from __future__ import annotations

from pathlib import Path

from core_repr.envs.clips import clip_cache

NOTICE = """\
DAVIS 2017 is the work of its authors, not a part of core-repr. They license it under CC BY-NC 4.0
(https://creativecommons.org/licenses/by-nc/4.0): credit them, and do not use it commercially. Some
of its videos come from online sources that have terms of their own; the data set's SOURCES.md names
them. Its authors ask to be cited: Pont-Tuset et al., "The 2017 DAVIS Challenge on Video Object
Segmentation", arXiv:1704.00675, and Perazzi et al., "A Benchmark Dataset and Evaluation Methodology
for Video Object Segmentation", CVPR 2016."""

_TRAIN = """
    bear 82, bmx-bumps 90, boat 75, boxing-fisheye 87, breakdance-flare 71, bus 80, car-turn 80,
    cat-girl 89, classic-car 63, color-run 84, crossing 52, dance-jump 60, dancing 62,
    disc-jockey 76, dog-agility 25, dog-gooses 86, dogs-scale 83, drift-turn 64, drone 91,
    elephant 80, flamingo 80, hike 80, hockey 75, horsejump-low 60, kid-football 68, kite-walk 80,
    koala 100, lady-running 65, lindy-hop 73, longboard 52, lucia 70, mallard-fly 70,
    mallard-water 80, miami-surf 70, motocross-bumps 60, motorbike 43, night-race 46,
    paragliding 70, planes-water 38, rallye 50, rhino 90, rollerblade 35, schoolgirls 80,
    scooter-board 91, scooter-gray 75, sheep 68, skate-park 80, snowboard 66, soccerball 48,
    stroller 91, stunt 71, surf 55, swing 60, tennis 70, tractor-sand 76, train 80, tuk-tuk 59,
    upside-down 65, varanus-cage 67, walking 72
"""
_VAL = """
    bike-packing 69, blackswan 50, bmx-trees 80, breakdance 84, camel 90, car-roundabout 75,
    car-shadow 40, cows 104, dance-twirl 90, dog 60, dogs-jump 66, drift-chicane 52,
    drift-straight 50, goat 90, gold-fish 78, horsejump-high 50, india 81, judo 34, kite-surf 50,
    lab-coat 47, libby 49, loading 50, mbike-trick 79, motocross-jump 40, paragliding-launch 80,
    parkour 100, pigs 79, scooter-black 43, shooting 40, soapbox 99
"""


def _lengths(table: str) -> dict[str, int]:
    pairs = (entry.split() for entry in table.split(","))
    return {name: int(length) for name, length in pairs}


LENGTHS = {"train": _lengths(_TRAIN), "val": _lengths(_VAL)}
"""Each split's videos, in the order of the data set's own lists, with their numbers of frames."""


def folder() -> Path:
    """Returns where `core-repr download davis` puts the data set and `"davis"` looks for it.

    It is `core-repr/DAVIS` under `$XDG_DATA_HOME`, or under `~/.local/share`.

    Raises:
        FileNotFoundError: The user has no home folder, and `$XDG_DATA_HOME` names none.
    """
    return clip_cache.user_folder("XDG_DATA_HOME", ".local/share") / "DAVIS"


def frames_folder(folder: Path) -> Path:
    """Returns where a data set in DAVIS's layout has its videos, a folder of images each."""
    return folder / "JPEGImages" / "480p"


def list_file(folder: Path, split: str) -> Path:
    """Returns where a data set in DAVIS's layout names the videos of a split."""
    return folder / "ImageSets" / "2017" / f"{split}.txt"


def frame_name(number: int) -> str:
    """Returns the file name of a video's frame."""
    return f"{number:05d}.jpg"


def problems(folder: Path) -> list[str]:
    """Compares a folder with what DAVIS 2017 holds at 480p, by the frames' names.

    Args:
        folder: The folder that holds `JPEGImages` and `ImageSets`.

    Returns:
        What is missing or too much, each as part of a sentence; empty for a whole data set.
    """
    found = []
    for split, lengths in LENGTHS.items():
        path = list_file(folder, split)
        if not path.is_file():
            found.append(f"{path.relative_to(folder)} is missing")
        elif path.read_text(errors="replace").split() != list(lengths):
            found.append(f"{path.relative_to(folder)} does not list DAVIS 2017's {split} videos")
        for name, length in lengths.items():
            video = frames_folder(folder) / name
            frames = {path.name for path in video.iterdir()} if video.is_dir() else set()
            expected = {frame_name(number) for number in range(length)}
            if expected - frames:
                found.append(f"{name} lacks {len(expected - frames)} of its {length} frames")
            if frames - expected:
                found.append(f"{name} has {len(frames - expected)} files that are not its frames")
    return found
