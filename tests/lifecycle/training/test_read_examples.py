"""Examples from a journal: inputs and labels find each other in whatever order and number they come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl
from fairlead.errors import InvalidRecordError, JournalError
from fairlead.journal import archive, compact, read
from fairlead.lifecycle import ExampleBuffer, Schema, read_examples

BINARY = Schema("binary", ["a", "b"])


def rows(found):
    return list(zip(np.asarray(found.x).tolist(), found.y.tolist(), strict=True))


def asked(log, task, x, model="m", time=0):
    return log.append("input", {"task": task, "x": x}, model=model, time=time)


def told(log, task, y, model="m", time=0):
    return log.append("label", {"task": task, "y": y}, model=model, time=time)


def test_late_missing_repeated_voided_and_early_labels(tmp_path):
    with fl.Journal(tmp_path) as log:
        asked(log, "one", [1, 1], time=10)
        asked(log, "two", [2, 2], time=11)
        asked(log, "three", [3, 3], time=12)
        asked(log, "one", [9, 9], time=13)  # repeated: the first counts
        told(log, "two", 1)
        asked(log, "four", [4, 4], time=14)
        told(log, "one", 0)  # late: after a newer one
        told(log, "one", 1)  # repeated
        told(log, "three", None)  # it will never be known
        told(log, "three", 1)
        told(log, "five", 1)  # before its input
        asked(log, "five", [5, 5], time=15)
        asked(log, "two", [8, 8], time=16)  # after its label
        asked(log, "one", [7, 7], model="other", time=17)
        told(log, "four", 1, model="other")
    found = read_examples(tmp_path, "m", schema=BINARY)
    assert rows(found) == [([2.0, 2.0], 1), ([1.0, 1.0], 0), ([5.0, 5.0], 1)]
    assert found.times.tolist() == [11, 10, 15]
    assert sorted(found.seqs.tolist()) == found.seqs.tolist()
    joined = found.joined
    assert (joined.inputs, joined.labelled, joined.waiting, joined.voided) == (5, 3, 1, 1)
    assert joined.repeated == 4
    assert len(read_examples(tmp_path, "nobody", schema=BINARY)) == 0


def test_a_range_is_of_the_events_that_completed_an_example(tmp_path):
    with fl.Journal(tmp_path) as log:
        for n in range(6):
            asked(log, f"t{n}", [n, n])
        seqs = [told(log, f"t{n}", n % 2) for n in range(6)]
    whole = read_examples(tmp_path, "m", schema=BINARY)
    assert whole.seqs.tolist() == seqs
    part = read_examples(tmp_path, "m", schema=BINARY, first=seqs[2], last=seqs[4])
    assert rows(part) == rows(whole)[2:5]  # whose inputs are older than the range
    assert len(read_examples(tmp_path, "m", schema=BINARY, first=seqs[5] + 1)) == 0
    assert len(read_examples(tmp_path, "m", schema=BINARY, last=0)) == 0
    for bad in ({"first": -1}, {"last": 2.5}, {"first": 5, "last": 4}):
        with pytest.raises(InvalidRecordError):
            read_examples(tmp_path, "m", schema=BINARY, **bad)


def test_what_is_written_later_changes_no_range(tmp_path):
    with fl.Journal(tmp_path) as log:
        asked(log, "one", [1, 1])
        asked(log, "two", [2, 2])
        end = told(log, "one", 1)
        log.wait_durable()
        before = read_examples(tmp_path, "m", schema=BINARY, last=end)
        told(log, "two", 1)
        asked(log, "three", [3, 3])
    after = read_examples(tmp_path, "m", schema=BINARY, last=end)
    assert after.fingerprint == before.fingerprint
    assert after.joined == before.joined


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["input", "label"]), st.integers(0, 5), st.integers(0, 9)), max_size=30))
def test_the_journal_gives_what_a_buffer_was_given_live(tmp_path_factory, events):
    """An oracle that knows neither the fold nor the reader: first input and first label of each task."""
    folder = tmp_path_factory.mktemp("desk")
    inputs, labels, order = {}, {}, []
    with fl.Journal(folder, sync="never") as log:
        for kind, task, value in events:
            if kind == "input":
                seq = asked(log, f"t{task}", [value, task])
                new = inputs.setdefault(task, (value, task)) == (value, task)
            else:
                seq = told(log, f"t{task}", value % 2)
                new = labels.setdefault(task, value % 2) == value % 2
            if new and task in inputs and task in labels and task not in [t for t, _ in order]:
                order.append((task, seq))
    buffer = ExampleBuffer(BINARY)
    for task, seq in order:
        buffer.append(inputs[task], labels[task], 0, seq)
    found = read_examples(folder, "m", schema=BINARY)
    assert found.fingerprint == buffer.examples().fingerprint
    assert found.seqs.tolist() == buffer.examples().seqs.tolist()


def test_outcomes_of_a_fleet_are_labels(tmp_path):
    schema = Schema("categorical", ["a"], ["up", "down", "flat"])
    with fl.Fleet.open(tmp_path, clock=lambda: 1) as fleet:
        fleet.add("m")
        for n, outcome in enumerate(["down", "up", None, "flat", "lost"]):
            # In another order than the schema's: a class is found by its name.
            task = fl.Task(f"q{n}", kind="categorical", labels=("flat", "up", "down"))
            fleet.record(task, fl.Forecast("m", p=[0.2, 0.3, 0.5]))
            fleet.journal.append("input", {"task": task.id, "x": [n]}, model="m", time=n)
            if outcome is None:
                fleet.void(task.id)
            elif outcome != "lost":
                fleet.settle(task.id, outcome, time=100 + n)
        other = fl.Task("not asked", kind="numeric")
        fleet.record(other, fl.Forecast("m", value=1.0))
        fleet.settle("not asked", 7.5, time=200)
    found = read_examples(tmp_path, "m", schema=schema)
    assert rows(found) == [([0.0], 1), ([1.0], 0), ([3.0], 2)]
    assert (found.joined.waiting, found.joined.voided) == (1, 1)
    outcomes = [event.seq for event in read(tmp_path, types="outcome")][:3]
    assert found.seqs.tolist() == outcomes
    with pytest.raises(InvalidRecordError, match="the task 'q0' is categorical, the schema is binary"):
        read_examples(tmp_path, "m", schema=Schema("binary", ["a"]))
    with pytest.raises(InvalidRecordError, match=r"the outcome of 'q3' is 'flat', must be one of up, down"):
        read_examples(tmp_path, "m", schema=Schema("categorical", ["a"], ["up", "down"]))


def test_a_fleet_of_binary_and_numeric_tasks(tmp_path):
    with fl.Fleet.open(tmp_path, clock=lambda: 1) as fleet:
        fleet.add("m")
        fleet.record(fl.Task("yes"), fl.Forecast("m", p=0.5))
        fleet.settle("yes", True, time=5)  # known before the input is written
        fleet.record(fl.Task("sum", kind="numeric"), fl.Forecast("m", value=0.5))
        fleet.settle("sum", 3.25, time=6)
        fleet.journal.append("input", {"task": "yes", "x": [1, 2]}, model="m")
        fleet.journal.append("input", {"task": "sum", "x": [1, 2]}, model="n")
    assert rows(read_examples(tmp_path, "m", schema=BINARY)) == [([1.0, 2.0], 1)]
    assert rows(read_examples(tmp_path, "n", schema=Schema("numeric", ["a", "b"]))) == [([1.0, 2.0], 3.25)]


def test_a_name_that_is_used_again_is_another_task(tmp_path):
    with fl.Fleet.open(tmp_path, settings=fl.Settings(remember=1), clock=lambda: 1) as fleet:
        fleet.add("m")
        for n, (outcome, late) in enumerate([(1, False), (0, True), (1, False), (None, True)]):
            fleet.record(fl.Task("again"), fl.Forecast("m", p=0.5))
            if not late:
                fleet.journal.append("input", {"task": "again", "x": [n, n]}, model="m")
            fleet.void("again") if outcome is None else fleet.settle("again", outcome, time=n + 2)
            if late:
                fleet.journal.append("input", {"task": "again", "x": [n, n]}, model="m")
            for other in ("one", "two"):  # so that it is forgotten
                fleet.record(fl.Task(f"{other} {n}"), fl.Forecast("m", p=0.5))
                fleet.settle(f"{other} {n}", 1, time=n + 2)
    found = read_examples(tmp_path, "m", schema=BINARY)
    assert rows(found) == [([0.0, 0.0], 1), ([1.0, 1.0], 0), ([2.0, 2.0], 1)]
    assert (found.joined.inputs, found.joined.voided, found.joined.repeated) == (4, 1, 0)


def test_texts_and_missing_values(tmp_path):
    with fl.Journal(tmp_path) as log:
        asked(log, "t", "Profits rise: by 3 %", model="words")
        told(log, "t", 1, model="words")
        asked(log, "t", [None, 2.0])
        told(log, "t", 0)
    assert read_examples(tmp_path, "words", schema=Schema("binary", text=True)).x == ("Profits rise: by 3 %",)
    found = read_examples(tmp_path, "m", schema=Schema("binary", ["a", "b"], missing=True))
    assert np.isnan(found.x[0, 0])
    assert found.x[0, 1] == 2.0


@pytest.mark.parametrize(
    ("type", "data", "named"),
    [
        ("input", {"task": "t", "x": [1]}, "event 2, an input of 'm': x has shape"),
        ("input", {"task": "t", "x": [1, None]}, "column 'b' is nan"),
        ("input", {"task": "t"}, "event 2, input of 'm': x is missing"),
        ("input", {"x": [1, 2]}, "event 2, input of 'm': task is None"),
        ("label", {"task": "t", "y": 7}, "event 2, label of 'm': y is 7"),
        ("label", {"y": 1}, "event 2, label of 'm': task is None"),
    ],
)
def test_what_is_not_of_the_schema_is_named_by_its_event(tmp_path, type, data, named):
    with fl.Journal(tmp_path) as log:
        log.append(type, data, model="m")
    with pytest.raises(InvalidRecordError) as error:
        read_examples(tmp_path, "m", schema=BINARY)
    assert named in str(error.value)


def test_no_journal(tmp_path):
    with pytest.raises(JournalError):
        read_examples(tmp_path / "nowhere", "m", schema=BINARY)


def test_archived_and_compacted_events_are_still_examples(tmp_path):
    with fl.Journal(tmp_path, segment_bytes=4096) as log:
        for n in range(60):
            asked(log, f"t{n}", [n, n], time=n)
            told(log, f"t{n}", n % 2, time=n)
    whole = read_examples(tmp_path, "m", schema=BINARY)
    archive(tmp_path)
    compact(tmp_path, before=30)
    assert min(event.seq for event in read(tmp_path)) > 2
    again = read_examples(tmp_path, "m", schema=BINARY)
    assert len(whole) == 60
    assert again.fingerprint == whole.fingerprint
    assert again.seqs.tolist() == whole.seqs.tolist()
