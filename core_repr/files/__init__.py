"""Files: paths as users write them, writing whole or not at all, and Python values as JSON."""
