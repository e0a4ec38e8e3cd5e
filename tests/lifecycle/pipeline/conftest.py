"""Makes the toy model and its world importable by the tests here, and by processes that they start."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
