"""Distractions in the picture alone, where there is no simulator to disturb."""
