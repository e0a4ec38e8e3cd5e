"""The pipeline itself, on a registry and a journal, under whatever may happen: drift, persons, and death at any write.

A death is an exception at the n-th word to the registry or the ledger, before it is done or after; what was in memory
is gone then, and a new pipeline goes on from what is on disk.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from toy_models import Death, World, die, fitted, live, made, make_mortal

import fairlead as fl
from fairlead.journal import read
from fairlead.lifecycle import LifecycleError
from fairlead.lifecycle.pipeline import TABLE, State, Step
from fairlead.lifecycle.pipeline.state import Position, check

FAULTS = ("", "", "", "raises", "nan", "worse", "disk")


class Unattended(RuleBasedStateMachine):
    @initialize(journal=st.booleans())
    def open(self, journal: bool) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.journal = fl.Journal(self.folder / "journal") if journal else None
        self.world = World(8000, turn=250, again=True)
        self.at = 0
        self.fate = {"left": 0, "after": 0}
        self.fault = ""
        self.make()

    def make(self) -> None:
        trainer = fitted(fault=self.fault)
        self.pipeline = made(self.folder, trainer, log=self.journal)
        make_mortal(self.pipeline, self.fate, die)

    def does(self, action: Any) -> None:
        try:
            action()
        except LifecycleError:
            pass  # not now
        except fl.InvalidRecordError:
            pass
        except Death:
            self.reopen()

    @rule(n=st.integers(1, 300), delay=st.sampled_from((0, 5)), dies=st.integers(0, 6), after=st.booleans())
    def lives(self, n: int, delay: int, dies: int, after: bool) -> None:
        first, self.at = self.at, self.at + n
        self.fate.update(left=dies, after=int(after))
        self.does(lambda: live(self.pipeline, self.world, first, first + n, delay=delay))

    @rule(fault=st.sampled_from(FAULTS))
    def is_to_go_wrong(self, fault: str) -> None:
        self.fault = self.pipeline._runs.trainer.fault = fault  # type: ignore[attr-defined]

    @rule(
        what=st.sampled_from(("force", "veto", "rollback", "retrain", "deploy", "validate", "check_drift", "step")),
        dies=st.integers(0, 3),
    )
    def person(self, what: str, dies: int) -> None:
        self.fate["left"] = dies
        said = {"by": "ada", "reason": "so be it"} if what not in ("validate", "check_drift", "step") else {}
        self.does(lambda: getattr(self.pipeline, what)(**said))

    @rule(newest=st.booleans(), alias=st.sampled_from(("champion", "challenger")))
    def somebody_else(self, newest: bool, alias: str) -> None:
        registry = self.pipeline.registry.inner  # type: ignore[attr-defined]
        versions = registry.versions("toy")
        registry.promote("toy", versions[-1 if newest else 0].number, alias=alias, by="bob", reason="I like it")

    @rule()
    def challenger_is_taken_away(self) -> None:
        self.pipeline.registry.inner.unalias("toy", "challenger", by="bob")  # type: ignore[attr-defined]

    @rule()
    def reopen(self) -> None:
        self.fate["left"] = 0
        self.pipeline.close()
        before, journaled = self.pipeline.position, self.journal is not None
        if self.journal is not None:
            self.journal.close()
            self.journal = fl.Journal(self.folder / "journal")
        monitor, examples = self.pipeline.monitor, self.pipeline.examples()
        self.make()
        after = self.pipeline.position
        if after == before and journaled:
            assert self.pipeline.examples().fingerprint == examples.fingerprint
            assert self.pipeline.monitor.check().as_dict() == monitor.check().as_dict()
            assert self.pipeline.monitor.change_point() == monitor.change_point()

    @invariant()
    def one_champion_answers(self) -> None:
        if not hasattr(self, "pipeline"):
            return
        self.fate["left"] = 0
        self.pipeline._reconciled = 0.0  # it looks at the registry once in some milliseconds
        self.does(lambda: self.pipeline.step((self.at + 1) * 60 * 10**9))
        registry, position = self.pipeline.registry.inner, self.pipeline.position  # type: ignore[attr-defined]
        check(position)
        champion = registry.champion("toy").version
        assert position.champion == champion == self.pipeline.version
        known = {version.number for version in registry.versions("toy")}
        said = self.pipeline.predict(self.world.x[0], f"probe{self.at}")
        assert said.version in known
        assert said.version == (position.challenger if said.arm == "challenger" else champion)
        assert said.arm == "champion" or position.state is State.CANARY

    def teardown(self) -> None:
        if not hasattr(self, "pipeline"):
            return
        if self.journal is not None:
            self.journal.close()
            path(steps_of(self.folder / "journal"))
        shutil.rmtree(self.folder)


def steps_of(folder: Path) -> list[Step]:
    events = read(folder, types="deployment", models="toy")
    return [Step.from_dict(event.data, seq=event.seq) for event in events if "position" in event.data]


def path(steps: list[Step]) -> None:
    """Each step leads from where the one before ended."""
    state = Position().state
    for step in steps:
        assert step.position.state in TABLE[state, step.event]
        state = step.position.state


TestUnattended = Unattended.TestCase
TestUnattended.settings = settings(
    max_examples=10, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestUnattended = pytest.mark.filterwarnings("ignore::fairlead.errors.JournalWarning")(TestUnattended)
