"""The table of states: whatever happens, in whatever order, one champion answers and a position makes sense."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fairlead.lifecycle.pipeline.state import TABLE, Event, IllegalStepError, Position, State, advance, allowed, check

CHANGES = {
    Event.RETRAIN: {"run": "r"},
    Event.RESUMED: {"run": "r2"},
    Event.TRAINED: {"version": 2},
    Event.FIRST: {"version": 1},
    Event.OVERRULED: {"version": 9},
    Event.ROLLED_BACK: {"version": 8},
}


def test_every_state_is_reached_and_left() -> None:
    assert {state for state, _ in TABLE} == set(State)
    assert {end for ends in TABLE.values() for end in ends} == set(State)


def test_from_every_state_there_is_a_way_to_serving_whatever_the_trial_says() -> None:
    for state in State:
        assert state is State.SERVING or any(TABLE[state, event][0] is State.SERVING for event in allowed(state))


def test_a_person_can_always_interfere() -> None:
    for state in State:
        assert Event.OVERRULED in allowed(state)
        assert Event.ROLLED_BACK in allowed(state)
        trial = state in (State.TRAINING, State.VALIDATING, State.SHADOW, State.CANARY)
        assert (Event.VETOED in allowed(state)) == trial


@pytest.mark.parametrize(("state", "event"), [*itertools.product(State, Event)], ids=lambda one: one.value)
def test_what_is_not_in_the_table_is_refused(state: State, event: Event) -> None:
    trial = state in (State.VALIDATING, State.SHADOW, State.CANARY)
    here = Position(
        state,
        champion=None if event is Event.FIRST else 1,
        challenger=3 if trial else None,
        previous=4 if state is State.WATCHING else None,
        run="" if state is State.SERVING else "r",
    )
    if (state, event) in TABLE:
        check(there := advance(here, event, time=5, at=7, **CHANGES.get(event, {})))
        assert there.state in TABLE[state, event]
        assert there.at == 7
    else:
        with pytest.raises(IllegalStepError, match=event.value):
            advance(here, event, time=5, **CHANGES.get(event, {}))


def test_errors_name_what_is_wrong() -> None:
    serving = Position(champion=1)
    for event, changes, word in (
        (Event.PROMOTED, {}, "promoted"),
        (Event.RETRAIN, {"run": "r", "colour": 3}, "colour"),
        (Event.FIRST, {"version": 2}, "version 1 is champion"),
        (Event.OVERRULED, {}, "version is None"),
        (Event.RETRAIN, {"to": State.CANARY, "run": "r"}, "to is 'canary'"),
    ):
        with pytest.raises(IllegalStepError, match=word):
            advance(serving, event, **changes)
    with pytest.raises(IllegalStepError, match="challenger"):
        advance(advance(serving, Event.RETRAIN, run="r"), Event.TRAINED, version=1)
    with pytest.raises(IllegalStepError, match="contradicts"):
        check(Position(State.CANARY, champion=1))


class Life(RuleBasedStateMachine):
    """Whatever events come, those that the table has are taken, all others change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.position = Position()
        self.versions = itertools.count(1)
        self.runs = 0

    def happens(self, event: Event, **changes: Any) -> None:
        before = self.position
        try:
            self.position = advance(before, event, time=self.position.since + 1, **changes)
        except IllegalStepError:
            assert self.position == before
            return
        assert self.position.state in TABLE[before.state, event]
        if event is not Event.PROMOTED and "version" not in changes:
            assert self.position.champion == before.champion

    @rule()
    def first(self) -> None:
        self.happens(Event.FIRST, version=next(self.versions))

    @rule()
    def retrain(self) -> None:
        self.runs += self.position.state is State.SERVING
        self.happens(Event.RETRAIN, run=f"run{self.runs}")

    @rule()
    def trained(self) -> None:
        self.happens(Event.TRAINED, version=next(self.versions))

    @rule(event=st.sampled_from((Event.ADVANCED, Event.RETURNED)), to=st.sampled_from((None, *State)))
    def moves(self, event: Event, to: State | None) -> None:
        self.happens(event, to=to)

    @rule(event=st.sampled_from((Event.PROMOTED, Event.REFUSED, Event.FAILED, Event.VETOED, Event.KEPT)))
    def ends(self, event: Event) -> None:
        challenger, champion = self.position.challenger, self.position.champion
        self.happens(event)
        if event is Event.PROMOTED and challenger is not None:
            assert (self.position.champion, self.position.previous) == (challenger, champion)

    @precondition(lambda self: self.position.champion is not None)
    @rule(event=st.sampled_from((Event.OVERRULED, Event.ROLLED_BACK)))
    def moved(self, event: Event) -> None:
        self.happens(event, version=next(self.versions))

    @rule()
    def written_and_read(self) -> None:
        self.position = Position.from_dict(json.loads(json.dumps(self.position.to_dict())))

    @invariant()
    def makes_sense(self) -> None:
        check(self.position)
        assert self.position.runs == self.runs


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
