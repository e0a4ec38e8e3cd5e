"""Every number that a Fleet is built with, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.errors import InvalidRecordError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a Fleet is built with. The defaults are meant to be left alone: nothing here is tuned to a data set.

    >>> Settings(k=24).k
    24
    """

    k: float = 32.0
    """Elo: points at stake in a contest."""
    scale: float = 400.0
    """Elo: a lead of so many points means odds of 10 to 1."""
    start: float = 1500.0
    """Elo: rating of a newcomer."""
    half_life: float = 200.0
    """Weights: settled tasks after which a result counts half."""
    history: int = 4096
    """Newest losses kept for each model and slice, for time windows; 16 bytes each."""
    psi_reference: int = 500
    """Drift: a model's first so many confidences are what is normal for it."""
    psi_window: int = 500
    """Drift: its last so many confidences are compared with them."""
    remember: int = 100_000
    """Ended tasks whose outcome is remembered, to tell a duplicate from a contradiction. One that is forgotten may be
    opened again."""

    kelly: float = 1.0
    """Decisions: what share is taken of the position that a decision's certainty says; 0.5 is half Kelly."""
    capital_usd: float = 0.0
    """Decisions: what profits and losses are measured against, for `drawdown_limit`; 0: drawdowns are not looked at."""
    drawdown_limit: float = 0.2
    """Decisions: no position is taken where profits (`profit_usd` of outcomes) have fallen from their peak by this share of
    the capital and that peak; on the way there positions shrink in proportion. Where none is taken none earns anything
    back: going on takes a fleet with other settings, as a desk's are those it began with. Without `capital_usd` it says
    nothing."""

    def __post_init__(self) -> None:
        """Raises InvalidRecordError naming the setting that cannot be honoured."""
        bounds = {"k": (1e-9, 1e6), "scale": (1e-3, 1e9), "start": (-1e9, 1e9), "half_life": (1e-9, 1e12)}
        bounds |= dict.fromkeys(("history", "psi_reference", "psi_window"), (1, 1e9)) | {"remember": (0, 1e12)}
        bounds |= {"kelly": (0, 1), "capital_usd": (0, 1e15), "drawdown_limit": (1e-9, 1)}
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidRecordError(f"{name} is {value!r}, outside [{least:g}, {most:g}]")
