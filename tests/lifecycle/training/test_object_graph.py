"""Objects as JSON: what comes back is the same, and nothing comes back that is not trusted."""

import collections
import datetime
import functools
import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.lifecycle.trainers.object_graph import Refused, from_plain, to_plain

HERE = __name__

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
keys = st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
values = st.recursive(
    scalars,
    lambda part: st.lists(part) | st.tuples(part, part) | st.dictionaries(keys, part) | st.sets(keys).map(frozenset),
    max_leaves=20,
)


def there_and_back(thing, packages=(HERE,)):
    return from_plain(json.loads(json.dumps(to_plain(thing, packages), allow_nan=False)), packages)


@settings(max_examples=100)
@given(values)
def test_values_come_back(value):
    found = there_and_back(value)
    assert found == value
    assert repr(found) == repr(value) or "frozenset" in repr(value)


class Node:
    def __init__(self, name):
        self.name = name
        self.others = []


class Slotted:
    __slots__ = ("left", "right")


class Given:
    def __new__(cls, *args):
        made = super().__new__(cls)
        made.args = args
        return made

    def __getnewargs__(self):
        return self.args

    def method(self):
        return self.args


class Listed(list):
    pass


def named():
    return 3


def test_collections_keep_their_type():
    for thing in (
        collections.deque([1, 2], maxlen=3),
        collections.Counter("aab"),
        collections.OrderedDict([("b", 1), ("a", 2)]),
        {1, 2, 3},
        bytearray(b"ab"),
        datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
        datetime.date(2024, 1, 2),
        datetime.timedelta(days=1, microseconds=3),
        math.inf,
        named,
        Node,
    ):
        found = there_and_back(thing)
        assert found == thing
        assert type(found) is type(thing)
    assert there_and_back(collections.deque([1], maxlen=3)).maxlen == 3
    assert list(there_and_back(collections.OrderedDict([("b", 1), ("a", 2)]))) == ["b", "a"]
    assert math.isnan(there_and_back(math.nan))
    grown = there_and_back(collections.defaultdict(functools.partial(collections.defaultdict, float), {"a": 1}))
    assert grown["new"]["x"] == 0.0


def test_objects_their_slots_and_their_sharing():
    first, second = Node("one"), Slotted()
    second.left, second.right = first, first.others
    first.others += [first, second, Given(1, "x"), Listed([1, 2])]
    found = there_and_back(first)
    assert found.others[0] is found
    assert found.others[1].left is found
    assert found.others[1].right is found.others
    assert found.others[2].args == (1, "x")
    assert found.others[3] == [1, 2]
    assert type(found.others[3]) is Listed
    method = there_and_back([first, Given(7).method])[1]
    assert method() == (7,)


def test_arrays_and_random_states_go_on_the_same():
    arrays = [np.arange(6.0).reshape(2, 3), np.array(["ab", "c"]), np.array([True]), np.float32(1.5), np.empty((0, 2))]
    for array in arrays:
        found = there_and_back(array)
        assert np.array_equal(found, array)
        assert found.dtype == array.dtype
        assert found.shape == array.shape
    for chance, draw in (
        (random.Random(5), lambda r: r.gauss(0, 1)),
        (np.random.RandomState(5), lambda r: r.normal()),
        (np.random.default_rng(5), lambda r: r.normal()),
    ):
        draw(chance)
        found = there_and_back(chance)
        assert [draw(found) for _ in range(5)] == [draw(chance) for _ in range(5)]


def test_the_same_objects_give_the_same_text():
    def text(names):
        thing = Node("x")
        thing.others = [set(names), frozenset(names)]
        return json.dumps(to_plain(thing, [HERE]))

    assert text(["a", "b", "cc", "d"]) == text(["d", "cc", "b", "a"])


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        (Node("x"), "is of .*Node, which is in none of river"),
        ([{"a": object()}], r"model\[0\]\['a'\] is of builtins.object"),
        (lambda: 3, "model is of"),
        (np.array([object()]), "an array of object"),
        (json.dumps, "json.dumps, which is in none"),
        (eval, "builtins.eval"),
    ],
)
def test_what_is_not_trusted_is_not_written(thing, named):
    with pytest.raises(Refused, match=named):
        to_plain(thing, ["river"])


def test_what_is_by_the_address_of_an_object_is_not_written():
    node = Node("x")
    for key in (id(node), object.__hash__(node)):
        with pytest.raises(Refused, match="by the address in memory of a Node"):
            to_plain([node, {key: 1}], [HERE])
    assert there_and_back([node, {5: 1}])[1] == {5: 1}


@pytest.mark.parametrize(
    "plain",
    [
        {"object": "os:system", "new": False, "given": ["true"]},
        {"object": f"{HERE}:named", "new": False},
        {"object": f"{HERE}:json.JSONDecoder", "new": False},
        {"object": "builtins:str", "new": False},
        {"name": "builtins:eval"},
        {"name": "os:system"},
        {"name": f"{HERE}:random.Random"},
        {"name": 5},
        {"method": ["text", "upper"]},
        {"partial": [5, {"tuple": []}, {"dict": []}]},
        {"same": 7},
        {"array": ["|O", [1], "AAAAAAAAAAA="]},
        {"array": ["<f8", [5], "AAAAAAAAAAA="]},
        {"Generator": ["__class__", {}]},
        {"dict": [[{"at": 1, "list": []}, 1]]},
        {"unknown": 1},
        {},
        [],
        {"tuple": 5},
    ],
)
def test_what_is_not_trusted_or_makes_no_sense_is_not_read(plain):
    with pytest.raises(Refused):
        from_plain(plain, [HERE])


def test_too_deep():
    deep = []
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(Refused, match="objects within objects"):
        to_plain(deep, [HERE])
