"""Distractions over any MuJoCo model: they know `mjModel` and `mjData`, and no suite.

`background`, `camera`, `color` and `lighting` disturb the view, each from random numbers of its
own; `view` draws a scene with and without them, and leaves the simulator as it was.
"""
