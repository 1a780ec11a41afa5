"""The commands of ``core-repr``: a module each, whose dataclass holds the options."""
