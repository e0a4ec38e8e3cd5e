"""The life of a managed model, as a table: its states, what can happen in each, and who answers then.

```
            refused, failed, vetoed, overruled, rolled_back
     +--------------------------------------------------------------------+
     |            +---------------------------+---------------------------+
     v            |                           |                           |
 +---------+ retrain +----------+ trained +------------+ advanced +--------+ advanced  +--------+
 | serving | ------> | training | ------> | validating | -------> | shadow | <-------> | canary |
 +---------+         +----------+         +------------+          +--------+ returned  +--------+
   ^  |  ^  first (of all) |                    | promoted            |                    |
   |  |  +-----------------+                    v                     v                    |
   |  | overruled, rolled_back            +----------+                                     |
   |  +-> serving                         | watching | <-----------------------------------+
   +------------------------------------- +----------+   promoted (forced, too)
     kept, rolled_back, overruled
```

Who answers: the champion, always one. In `canary` the challenger answers for a share of the tasks. In `watching` the
new champion answers and the one before it predicts in its shadow, so that going back needs nothing but the alias.

Who is champion is what the registry says, not this: every state here stands beside a registry whose alias was moved
with compare-and-set. So a process may die between the alias and the word of it; what is found then is `reconciled` with
the registry, and a person who moves the alias always wins (`overruled`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

from fairlead.lifecycle.failures import LifecycleError


class State(str, Enum):
    """What a managed model is doing beside answering."""

    SERVING = "serving"
    TRAINING = "training"
    VALIDATING = "validating"
    SHADOW = "shadow"
    CANARY = "canary"
    WATCHING = "watching"


class Event(str, Enum):
    """What can happen to it."""

    FIRST = "first"  # there is a champion where there was none: nothing to prove it against
    RETRAIN = "retrain"  # a run begins
    RESUMED = "resumed"  # a run goes on in another job, as the first one died with its process
    TRAINED = "trained"  # its model is registered as challenger
    ADVANCED = "advanced"  # the trial goes to its next stage
    RETURNED = "returned"  # the canary goes back to the shadow, as nothing speaks for the challenger any more
    PROMOTED = "promoted"  # the challenger is champion: it passed the trial, or a person forced it
    REFUSED = "refused"  # the trial says no, or nothing within its length
    FAILED = "failed"  # a job, a file or a challenger broke: a named `Failure`
    VETOED = "vetoed"  # a person said no
    OVERRULED = "overruled"  # somebody else moved the champion
    KEPT = "kept"  # the watch is over, the champion stays
    ROLLED_BACK = "rolled_back"  # the champion before is champion again


_TRIAL = (State.VALIDATING, State.SHADOW, State.CANARY)

TABLE: Mapping[tuple[State, Event], tuple[State, ...]] = {
    (State.SERVING, Event.FIRST): (State.SERVING,),
    (State.SERVING, Event.RETRAIN): (State.TRAINING,),
    (State.SERVING, Event.OVERRULED): (State.SERVING,),
    (State.SERVING, Event.ROLLED_BACK): (State.SERVING,),
    (State.TRAINING, Event.FIRST): (State.SERVING,),
    (State.TRAINING, Event.RESUMED): (State.TRAINING,),
    (State.TRAINING, Event.TRAINED): (State.VALIDATING,),
    (State.TRAINING, Event.FAILED): (State.SERVING,),
    (State.TRAINING, Event.VETOED): (State.SERVING,),
    (State.TRAINING, Event.OVERRULED): (State.TRAINING,),  # the run goes on, against the champion that is now
    (State.TRAINING, Event.ROLLED_BACK): (State.TRAINING,),
    (State.VALIDATING, Event.ADVANCED): (State.SHADOW, State.CANARY),
    (State.SHADOW, Event.ADVANCED): (State.CANARY,),
    (State.CANARY, Event.RETURNED): (State.SHADOW,),
    **{
        (state, event): (State.SERVING,)
        for state in _TRIAL
        for event in (Event.REFUSED, Event.FAILED, Event.VETOED, Event.OVERRULED, Event.ROLLED_BACK)
    },
    **{(state, Event.PROMOTED): (State.WATCHING,) for state in _TRIAL},
    (State.WATCHING, Event.KEPT): (State.SERVING,),
    (State.WATCHING, Event.ROLLED_BACK): (State.SERVING,),
    (State.WATCHING, Event.OVERRULED): (State.SERVING,),
}
"""Where each event leads; what is not here cannot happen. The first state is the one where none is asked for."""


class IllegalStepError(LifecycleError, ValueError):
    """An event that the state does not have: promoting where there is no challenger, say. Nothing has changed."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a managed model is: all that is remembered beside the events.

    champion: its version, None before the first. challenger: the version on trial. previous: the champion before, which
    is watched against. run: the id of the job, or of the trial that came of it. since: when the state began, ns. at:
    the last event that it had seen then. trained, held: journal numbers (first, last) of the examples the run learnt
    from, and of those that were kept from it; seed, mode: of the run; rule: that asked for it. tried: the last event
    that was seen before the trial, or the watch, began. runs: how many have begun so far.
    """

    state: State = State.SERVING
    champion: int | None = None
    challenger: int | None = None
    previous: int | None = None
    run: str = ""
    since: int = 0
    at: int = 0
    trained: tuple[int, int] | None = None
    held: tuple[int, int] | None = None
    tried: int = 0
    seed: int = 0
    mode: str = ""
    rule: str = ""
    runs: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        values["state"] = self.state.value
        for name in ("trained", "held"):
            values[name] = None if values[name] is None else list(values[name])
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Position:
        """Back from `to_dict`. What a later version has added is passed over."""
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        known["state"] = State(known.get("state", "serving"))
        for name in ("trained", "held"):
            if known.get(name) is not None:
                first, last = known[name]
                known[name] = (int(first), int(last))
        return cls(**known)


def allowed(state: State) -> tuple[Event, ...]:
    """What can happen in a state.

    >>> [event.value for event in allowed(State.WATCHING)]
    ['kept', 'rolled_back', 'overruled']
    """
    return tuple(event for begin, event in TABLE if begin is state)


def advance(position: Position, event: Event, *, to: State | None = None, **changes: Any) -> Position:
    """The position after an event. Pure: it moves no alias and starts no job.

    to: which of the states that the event may lead to. changes: `time` and `at` of the event; `version` of the new
    champion (first, overruled, rolled_back) or challenger (trained); `run`, `trained`, `held`, `seed` and `mode` of a
    run. Raises IllegalStepError for an event that the state does not have.

    >>> begun = advance(Position(champion=1), Event.RETRAIN, run="r1")
    >>> tried = advance(begun, Event.TRAINED, version=2)
    >>> tried.state, tried.champion, tried.challenger
    (<State.VALIDATING: 'validating'>, 1, 2)
    >>> promoted = advance(tried, Event.PROMOTED)
    >>> promoted.champion, promoted.previous
    (2, 1)
    """
    ends = TABLE.get((position.state, event))
    if ends is None:
        can = ", ".join(one.value for one in allowed(position.state))
        raise IllegalStepError(
            f"event is {event.value!r}, which a model that is {position.state.value} cannot have: {can}"
        )
    state = ends[0] if to is None else to
    if state not in ends:
        raise IllegalStepError(
            f"to is {state.value!r}, where {event.value!r} does not lead: {', '.join(one.value for one in ends)}"
        )
    version = changes.pop("version", None)
    values: dict[str, Any] = {"state": state, "at": changes.pop("at", position.at)}
    if state is not position.state or event is Event.RESUMED:
        values["since"] = changes.pop("time", position.since)
    changes.pop("time", None)
    if event is Event.RETRAIN:
        if position.champion is None and version is not None:
            raise IllegalStepError(f"version is {version!r}, but a run has none before it has ended")
        values |= {"runs": position.runs + 1}
    elif event is Event.TRAINED:
        if position.champion is None:
            raise IllegalStepError("event is 'trained', but there is no champion to prove it against")
        if version is None or version == position.champion:
            raise IllegalStepError(f"version is {version!r}, must be that of a challenger")
        values |= {"challenger": version, "tried": values["at"]}
    elif event is Event.PROMOTED:
        values |= {"champion": position.challenger, "previous": position.champion, "challenger": None}
        values |= {"tried": values["at"]}
    elif event in (Event.FIRST, Event.OVERRULED, Event.ROLLED_BACK):
        if version is None:
            raise IllegalStepError(f"version is None, but {event.value!r} needs the one that is champion now")
        if event is Event.FIRST and position.champion is not None:
            raise IllegalStepError(f"event is 'first', but version {position.champion} is champion")
        values |= {"champion": version}
    if state is State.SERVING:
        values |= {"challenger": None, "previous": None, "run": "", "trained": None, "held": None}
        values |= {"tried": 0, "seed": 0, "mode": "", "rule": ""}
    unknown = set(changes) - {"run", "trained", "held", "seed", "mode", "rule"}
    if unknown:
        raise IllegalStepError(f"changes has {sorted(unknown)[0]!r}, which a position has not")
    return replace(position, **(values | changes))


def check(position: Position) -> None:
    """Raises IllegalStepError where a position contradicts itself: one that came from a file, say."""
    state = position.state
    wrong = (
        (state in _TRIAL) != (position.challenger is not None)
        or (state is State.WATCHING) != (position.previous is not None)
        or (state is State.SERVING) != (position.run == "")
        or (position.champion is None and state not in (State.SERVING, State.TRAINING))
        or (position.champion is not None and position.champion in (position.challenger, position.previous))
    )
    if wrong:
        raise IllegalStepError(f"position is {position!r}, which contradicts itself")
