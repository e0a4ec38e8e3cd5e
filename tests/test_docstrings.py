"""The examples in the docstrings of the compiled classes run (pytest collects only those of Python modules), and
all that is public has a docstring."""

from __future__ import annotations

import doctest
import inspect

import pytest

import fairlead as fl
from fairlead import _core

# Private: their public faces are Python classes, whose docstrings pytest collects.
BEHIND = {
    *(
        "AttentionLayer",
        "AttentionLayer64",
        "AttentionModule",
        "AuditReader",
        "Audits",
        "BradleyTerryFit",
        "Budgets",
        "Calendar",
        "Fleet",
        "FleetCensus",
        "Journal",
        "JournalColumns",
        "LinearPromptModel",
        "NearestPromptModel",
        "Replay",
        "ResponseCache",
        "RollingWindow",
        "Scoreboard",
        "TaskClassifier",
    ),
    *("ScoredReader", "ScoredRecords", "SegmentWriter", "Spend", "Windows"),
}
COMPILED = [
    *(thing for name, thing in vars(_core).items() if inspect.isclass(thing) and name not in BEHIND),
    _core.pool,
    _core.pool_binary,
]


def documented(thing: object) -> list[tuple[str, str]]:
    name = getattr(thing, "__name__", str(thing))
    found = [(name, thing.__doc__ or "")]
    if inspect.isclass(thing):
        found += [
            (f"{name}.{member}", value.__doc__ or "")
            for member, value in vars(thing).items()
            if not member.startswith("_")
        ]
    return found


EXAMPLES = [(name, text) for thing in COMPILED for name, text in documented(thing) if ">>>" in text]
INHERITED = [
    (name, text) for thing in (_core.RollingWindow, _core.Windows) for name, text in documented(thing) if ">>>" in text
]


@pytest.mark.parametrize(("name", "text"), EXAMPLES + INHERITED, ids=[name for name, _ in EXAMPLES + INHERITED])
def test_example(name: str, text: str) -> None:
    public = {"RollingWindow": fl.RollingWindow, "Windows": fl.Windows} if (name, text) in INHERITED else {}
    test = doctest.DocTestParser().get_doctest(text, public, name, None, 0)
    assert test.examples
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_each_compiled_class_has_an_example() -> None:
    names = {name.split(".")[0] for name, _ in EXAMPLES}
    assert names == {thing.__name__ for thing in COMPILED}


@pytest.mark.parametrize(
    "name", [name for name in fl.__all__ if inspect.isclass(getattr(fl, name)) or callable(getattr(fl, name))]
)
def test_everything_public_is_documented(name: str) -> None:
    thing = getattr(fl, name)
    assert thing.__doc__
    for member, value in vars(thing).items() if inspect.isclass(thing) else ():
        if not member.startswith("_") and (callable(value) or isinstance(value, property)):
            assert value.__doc__, f"{name}.{member}"
