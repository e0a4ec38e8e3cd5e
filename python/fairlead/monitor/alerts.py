"""Alerts: what became of a rule. Which are raised is a fold over events; what is news is decided here.

Pure: `judge` says what happens to one of them, `RuleAlert` is what is told and logged.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from fairlead.monitor.rules import plain

Verdict = Literal["raise", "clear", "stay"]


@dataclass(frozen=True, slots=True)
class RuleAlert:
    """An alert of a rule that was raised or cleared. key: which of the rule's alerts.

    value, n: of the metric at `time`, and how many calls or answers it was counted over; NaN where nothing was left.
    since: when it was raised. model, category: None where it is about all of them. Times are nanoseconds.
    """

    key: str
    rule: str
    state: Literal["raised", "cleared"]
    severity: Literal["info", "warning", "critical"]
    metric: str
    value: float
    threshold: float
    window: str
    n: int
    model: str | None
    category: str | None
    message: str
    recommendation: str
    time: int
    since: int

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types; None for NaN."""
        return plain(self)

    def to_json(self) -> str:
        """As the journal's event has it, whose time is the alert's."""
        data = {"kind": "rule", **{k: v for k, v in self.as_dict().items() if v is not None}}
        del data["time"]
        if self.state == "raised":
            del data["since"]
        return json.dumps(data, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, time: int) -> RuleAlert:
        """An alert that was raised, from its event. What the event does not tell is empty: it may be another's."""
        data = json.loads(text)

        def word(name: str) -> str:
            found = data.get(name)
            return found if isinstance(found, str) else ""

        def number(name: str) -> float:
            found = data.get(name)
            return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else math.nan

        n, severity = number("n"), word("severity")
        return cls(
            key=word("key"),
            rule=word("rule"),
            state="raised",
            severity=severity if severity in ("info", "critical") else "warning",  # type: ignore[arg-type]
            metric=word("metric"),
            value=number("value"),
            threshold=number("threshold"),
            window=word("window"),
            n=int(n) if math.isfinite(n) else 0,
            model=word("model") or None,
            category=word("category") or None,
            message=word("message"),
            recommendation=word("recommendation"),
            time=time,
            since=time,
        )

    def cleared(self, value: float, n: int, message: str, time: int) -> RuleAlert:
        """Its end."""
        return replace(self, state="cleared", value=value, n=n, message=message, recommendation="", time=time)

    def __str__(self) -> str:
        if self.state == "cleared":
            return f"cleared: {self.message}"
        return f"{self.severity}: {self.message}. {self.recommendation}".rstrip()


def key_of(rule: str, model: str | None, category: str | None) -> str:
    """Which alert of a rule: by model and category.

    >>> key_of("accuracy < 70.0 % over 24h", "gpt", None)
    'accuracy < 70.0 % over 24h | gpt'
    """
    return " | ".join(part for part in (rule, model, category and f"category={category}") if part)


def judge(
    *, fires: bool, clears: bool, known: bool, empty: bool, raised: bool, quiet: int, limit: int | None
) -> tuple[Verdict, int]:
    """What happens to an alert, and how many quiet checks in a row it has had.

    fires: the rule is broken, with enough behind it. clears: the metric is as good as an alert needs to clear. known:
    there is enough to judge by. empty: nothing is left in the window. raised: whether it is; quiet: checks before this
    one; limit: after so many it clears whatever `clears` says; None: never.

    With something left, but too little to judge by, an alert stays as it is, and the check is no quiet one.
    """
    if not raised:
        return ("raise" if known and fires else "stay"), 0
    if empty:
        return "clear", 0
    if not known:
        return "stay", quiet
    if fires:
        return "stay", 0
    quiet += 1
    return ("clear", 0) if clears or (limit is not None and quiet >= limit) else ("stay", quiet)
