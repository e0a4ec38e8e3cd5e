"""Looking back on a model: how good it was, where that is going, and what follows, with the numbers and the tests.

`reflect` looks at one model, `compare` at all of them, from settled forecasts as columns; `reflect_folder` and
`compare_folder` read those from a journal.
"""

from __future__ import annotations

from fairlead.reflection.fleet_wide import Comparison, KindComparison, Standing
from fairlead.reflection.read import compare_folder, reflect_folder
from fairlead.reflection.result import KindReflection, Reflection
from fairlead.reflection.run import compare, reflect
from fairlead.reflection.suggestions import Suggestion

__all__ = [
    "Comparison",
    "KindComparison",
    "KindReflection",
    "Reflection",
    "Standing",
    "Suggestion",
    "compare",
    "compare_folder",
    "reflect",
    "reflect_folder",
]
