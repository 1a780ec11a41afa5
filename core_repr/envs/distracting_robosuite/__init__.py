"""Manipulation tasks of robosuite, seen through a distracting camera."""
