"""Two versions on the same examples: what a trial, or a watch, is fed with.

Both are frozen, so it does not matter when they are asked: not while somebody waits for the answer, but when the label
has come, and all that came since the last time at once. The first of them is asked alone, for its latency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.pipeline.answers import rows_in
from fairlead.lifecycle.pipeline.memory import Labelled
from fairlead.lifecycle.pipeline.rival import Rival
from fairlead.lifecycle.proving import Arm, Reply

FLOOR_MS = 1.0
"""Latencies below count as this one: what differs by less is the machine's noise, and nobody's trouble."""


class Pair(NamedTuple):
    """One example, and what the one that answers and its rival say to it. arm: whose answer was given."""

    y: int | float
    ours: Reply
    theirs: Reply
    arm: Arm
    slices: Mapping[str, str]


def of_examples(examples: Examples, ours: Rival, theirs: Rival) -> list[Pair]:
    """Of examples that neither has learnt from."""
    rows = rows_in(examples)
    columns = (examples.y.tolist(), _answers(ours, rows), _answers(theirs, rows))
    return [Pair(y, one, other, "champion", {}) for y, one, other in zip(*columns, strict=True)]


def of_labelled(labelled: Sequence[Labelled], ours: Rival, theirs: Rival) -> list[Pair]:
    """Of what was asked and labelled. What one of the two has answered already is not asked again, but for the first of
    them, for the latency: how long an answer took in the midst of other work does not compare with a call here."""
    if not labelled:
        return []
    rivals = (ours, theirs)
    # Who is asked first finds caches cold and processors busy: by turns, as a hash of the task has it.
    turn = crc32(labelled[0].asked.task.encode("utf-8", "surrogatepass")) % 2
    first = {rival.version: rival.one(labelled[0].asked.row) for rival in (rivals[turn], rivals[1 - turn])}
    told = []
    for rival in rivals:
        known = [_known(one, rival.version) for one in labelled]
        alone = first[rival.version]
        if alone is not None:
            known[0] = _reply(alone[0] if known[0] is None else known[0].answer, alone[1])
        elif known[0] is None:
            known[0] = Reply(None)
        lacking = [i for i, reply in enumerate(known) if reply is None]
        for i, answer in zip(lacking, rival.many([labelled[i].asked.row for i in lacking]), strict=True):
            known[i] = Reply(answer)
        told.append(known)
    pairs = []
    for one, mine, other in zip(labelled, *told, strict=True):
        assert mine is not None
        assert other is not None
        arm: Arm = "challenger" if one.asked.arm == "challenger" else "champion"
        pairs.append(Pair(one.y, mine, other, arm, one.asked.slices or {}))
    return pairs


def _known(one: Labelled, version: int) -> Reply | None:
    asked = one.asked
    if asked.answer is None or asked.version != version:
        return None
    return Reply(asked.answer)


def _reply(answer: Any, latency_ms: float) -> Reply:
    return Reply(answer, max(latency_ms, FLOOR_MS))


def _answers(rival: Rival, rows: Sequence[Any]) -> list[Reply]:
    """The first alone, so that its latency is that of one answer; the rest at once."""
    if not rows:
        return []
    first = rival.one(rows[0])
    alone = Reply(None) if first is None else _reply(*first)
    return [alone, *(Reply(answer) for answer in rival.many(rows[1:]))]
