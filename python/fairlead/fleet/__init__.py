"""The façade: a fleet of models, their answers, one decision, and what came of it; in memory or on a journal.

`fleet` is the class, `checks` says what does not fit, `snapshots` keeps opening fast.
"""

from __future__ import annotations

from fairlead.fleet.fleet import Fleet

__all__ = ["Fleet"]
