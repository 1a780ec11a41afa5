"""Agents on stacked frames, which learn from single steps: the baselines with their own code."""
