import sys
from pathlib import Path

# The scripts that draw what the documentation shows are not a part of the package.
sys.path.append(str(Path(__file__).parents[2] / "docs"))
