"""Campaigns: grids of trainings, on the cores of a machine or on a cluster."""

from core_repr.campaign.grid import Cell, Grid, Setting, read_grid
from core_repr.campaign.runner import Outcome, run_campaign

__all__ = ["Cell", "Grid", "Outcome", "Setting", "read_grid", "run_campaign"]
