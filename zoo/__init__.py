"""Pretrained world models: their names, files, recipes and results."""
