"""Benchmarks: figures of one run on this machine, printed by ``core-repr bench``."""
