"""Makes what several files of tests share importable (pytest's importlib mode puts nothing on sys.path)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
