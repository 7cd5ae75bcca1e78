"""Configurations as JSON and back: equal in every type, however nested."""

from __future__ import annotations

import enum
import functools
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Sequence, Text, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_values

from anyspace.algorithms.saving.from_plain import from_plain
from anyspace.algorithms.saving.plain import MARK, as_plain, plain_value
from anyspace.algorithms.saving.savable import difference
from anyspace.errors import ConfigError
from anyspace.importing import import_name
from anyspace.spaces import Repeated, Simplex
from tests.fuzz.generator import action_spaces, observation_spaces


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 7


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@dataclass(frozen=True)
class Layer:
    size: int
    colour: Colour = Colour.RED
    cache: dict[int, float] = field(default_factory=dict, init=False)


class Point(NamedTuple):
    x: float
    y: float


def a_function() -> None:
    """Has a name that can be imported."""


def resolved(name: str | None, place: str) -> Any:
    assert name is not None, place
    return import_name(name)


def written_and_read(value: Any) -> Any:
    return from_plain(json.loads(json.dumps(plain_value(value, "it"), allow_nan=False)), resolved, "it")


VALUES: dict[str, Any] = {
    "nothing": None,
    "flags": [True, False],
    "numbers": [1, -2.5, 10**40, 0.1, -0.0],
    "numbers that JSON lacks": [float("inf"), float("-inf"), float("nan"), 3 - 2j, complex("nan+infj")],
    "texts": ["", "ä", "\ud800", "$", "import"],
    "a tuple": (1, (2.0, "a"), [3]),
    "number keys": {3: "a", -1.5: "b", None: 0, True: "yes", (1, "x"): [2]},
    "a tuple of dicts": ({"a": (1,)}, {}),
    "ordered": OrderedDict([("b", 1), ("a", (2,))]),
    "sets": [{1, 2, "a"}, frozenset({(1, 2)}), set()],
    "bytes": [b"\x00\xff", bytearray(b"ab"), b""],
    "paths": [Path("some folder/a b"), PurePosixPath("x/y"), PureWindowsPath("c:/d")],
    "ranges": [range(3), range(1, 9, 2), slice(None, 4), ...],
    "scalars": [np.float32(0.1), np.int8(-3), np.bool_(True), np.float64("nan"), np.uint64(2**63), np.str_("a")],
    "scalar types and dtypes": [np.float32, np.int64, np.bool_, np.dtype("float16"), np.dtype(">i4"), np.dtype("O")],
    "arrays": [np.arange(6.0).reshape(2, 3), np.zeros((0, 4), np.int8), np.array(5), np.array(["ab", "c"])],
    "arrays of other orders": [np.arange(6).reshape(2, 3).T, np.array([1, 2], ">f4"), np.array([np.nan, np.inf])],
    "arrays of times": [np.array(["2020-01-01"], "M8[D]"), np.array([3], "m8[s]"), np.array([1j])],
    "enums": [Colour.RED, Level.HIGH, {Colour.BLUE: Level.LOW}],
    "a dataclass": Layer(3, Colour.BLUE),
    "a named tuple": [Point(1.0, np.inf)],
    "code": [gym.Wrapper, a_function, Colour, len],
    "a space": Discrete(4, start=-2),
    "spaces": {
        "in a dict": Dict(b=Discrete(3), a=Box(-1, np.inf, (2,))),
        "all": [MultiBinary([2, 2]), Text(5, charset="ba")],
    },
    "nested spaces": Tuple(
        [Sequence(Dict({"x": Simplex((2, 3))}), stack=True), Repeated(Box(0, 255, (4,), np.uint8), 3)]
    ),
    "what looks like a mark": [{"import": "os:system"}, {MARK: 1}, {"import": "os:system"}, {"repr": "x"}],
}


@pytest.mark.parametrize("name", VALUES)
def test_values_are_read_back_as_they_were(name: str) -> None:
    value = VALUES[name]
    assert difference(value, written_and_read(value), "it") is None


def test_what_json_has_stays_readable() -> None:
    value = {"a": [1, 2.5, None, True, {"b": "text"}]}
    assert plain_value(value, "it") == value
    assert plain_value((1, 2), "it") == {"$": "tuple", "items": [1, 2]}
    assert plain_value({3: "a"}, "it") == {"$": "dict", "pairs": [[3, "a"]]}
    assert plain_value(float("inf"), "it") == {"float": "inf"}
    assert plain_value(Discrete(2), "it")["space"]["type"] == "Discrete"
    assert plain_value(a_function, "it") == {"import": f"{__name__}:a_function"}


@dataclass(frozen=True)
class Inner:
    size: int = 3


@dataclass(frozen=True)
class Outer:
    rate: float = 1.0
    extra: dict[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)


def test_configurations_nest() -> None:
    plain = as_plain(Outer(float("inf"), {"t": (1,)}, Inner(8)))
    assert plain == {
        "rate": {"float": "inf"},
        "extra": {"t": {"$": "tuple", "items": [1]}},
        "inner": {"size": 8},
    }


class Local:
    """Tells apart what has a name from what has none."""

    def method(self) -> None: ...

    def __call__(self) -> None: ...


class Reader:
    """Is nothing but its attributes."""

    def __init__(self, rows: int) -> None:
        self.table, self.calls = np.arange(rows), {"next": (1, 2)}


class Holding(Local):
    """Holds what has no written form."""

    def __init__(self, what: Any) -> None:
        self.what = what if callable(what) else object()
        self.more = object()


def test_an_object_that_is_its_attributes_comes_back_without_being_called() -> None:
    reader = Reader(3)
    plain = plain_value(reader, "it")
    assert plain["$"] == "object"
    assert plain["name"] == f"{__name__}:Reader"
    read = written_and_read(reader)
    assert difference(reader, read, "it") is None
    assert type(read) is Reader
    assert read is not reader
    reader.calls["next"] = (1, 3)
    assert difference(reader, read, "it") == ('it["calls"]["next"][1]', 3)
    assert type(written_and_read(Local())) is Local


def nameless() -> dict[str, Any]:
    class Hidden:
        pass

    class Shade(enum.Enum):
        DARK = 1

    @dataclass
    class Box2:
        x: int = 1

    return {
        "lambda": lambda: 1,
        "local class": Hidden,
        "partial": functools.partial(a_function),
        "bound method": Local().method,
        "callable object": Holding(lambda: 1),
        "enum of a local class": Shade.DARK,
        "dataclass of a local class": Box2(),
    }


@pytest.mark.parametrize("kind", nameless())
def test_code_without_a_name_has_a_label(kind: str) -> None:
    plain = plain_value(nameless()[kind], "it")
    assert plain.keys() == {"repr"}
    assert plain["repr"]


def started() -> gym.Env[Any, Any]:
    env = gym.make("CartPole-v1")
    env.reset(seed=1)
    return env


REFUSED: dict[str, Any] = {
    "object": object(),
    "exception": ValueError("a"),
    "module": json,
    "environment": started(),
    "generator": (i for i in range(3)),
    "array of objects": np.array([object()], object),
    "records": np.zeros(2, [("a", int)]),
    "long double": np.longdouble(1),
    "datetime": __import__("datetime").date(2020, 1, 1),
    "memory": memoryview(b"a"),
    "subclass of list": type("Odd", (list,), {})([1]),
    "subclass of str": type("Odd", (str,), {})("a"),
    "default dict": __import__("collections").defaultdict(list),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_values_are_refused_by_their_place(kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plain_value({"deep": [1, {4: REFUSED[kind]}]}, "env_config")
    message = str(caught.value)
    assert message.startswith('config key `env_config["deep"][1][4]` is of type ')
    assert "Give numbers, texts, None, NumPy arrays" in message


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.binary()
    | st.sampled_from([Colour.RED, Level.LOW, np.float32, np.dtype("i2"), Path("a/b"), Layer(2), a_function, ...])
    | numpy_values.arrays(
        st.sampled_from(["f4", "i8", "?", "c8", "U3", "S2"]), numpy_values.array_shapes(min_dims=0, max_side=3)
    )
    | numpy_values.from_dtype(np.dtype("f4"))
    | observation_spaces()
    | action_spaces()
)
keys = (
    st.text(max_size=3)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.tuples(st.integers(), st.text(max_size=2))
    | st.none()
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.sets(keys, max_size=3)
        | st.frozensets(keys, max_size=3)
        | st.lists(st.tuples(keys, inner), max_size=2).map(OrderedDict)
    ),
    max_leaves=8,
)


@given(values)
@settings(deadline=None, max_examples=60)
def test_random_values_are_read_back_as_they_were(value: Any) -> None:
    assert difference(value, written_and_read(value), "it") is None


@pytest.mark.fuzz
@given(values)
@settings(deadline=None, max_examples=5_000)
def test_thousands_of_random_values(value: Any) -> None:
    assert difference(value, written_and_read(value), "it") is None


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (1, True),
        (1, 1.0),
        ((1,), [1]),
        ([1], [1, 2]),
        ({"a": 1}, {"a": 2}),
        ({1: 0}, {"1": 0}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.float32(1), 1.0),
        (np.zeros(2), np.zeros((2, 1))),
        (np.zeros(2), np.zeros(2, np.float32)),
        (Discrete(2), Discrete(3)),
        (Box(0, 1, (2,)), Box(0, 1, (2,), np.float64)),
        (Dict(a=Discrete(2)), Dict(b=Discrete(2))),
        (Layer(1), Layer(2)),
    ],
    ids=str,
)
def test_differences_are_found(value: Any, other: Any) -> None:
    assert difference({"x": [value]}, {"x": [other]}, "it") is not None


@pytest.mark.parametrize(
    "plain",
    [
        {MARK: "nonsense"},
        {MARK: ["tuple"]},
        {MARK: "tuple"},
        {MARK: "tuple", "items": 3},
        {MARK: "tuple", "items": "abc"},
        {MARK: "set", "items": [[1]]},
        {MARK: "dict", "pairs": [1]},
        {MARK: "dict", "pairs": [[[1], 2]]},
        {"float": "1e9"},
        {MARK: "bytes", "data": "%%%"},
        {MARK: "array", "dtype": "<f4", "shape": [10**9, 10**9], "data": ""},
        {MARK: "array", "dtype": "|O", "shape": [1], "data": "AAAAAAAAAAA="},
        {MARK: "array", "dtype": "<f4", "shape": [-1], "data": "AAAAAA=="},
        {MARK: "array", "dtype": "<f4", "shape": [True], "data": "AAAAAA=="},
        {MARK: "array", "dtype": "<U0", "shape": [10**12], "data": ""},
        {MARK: "scalar", "dtype": "|O", "value": 1},
        {MARK: "scalar type", "name": "load"},
        {MARK: "dtype", "name": "nonsense"},
        {MARK: "path", "system": "here", "path": 5},
        {MARK: "space", "space": {"type": "Nonsense"}},
        {MARK: "space", "space": {"type": "Box", "low": 0, "high": 1, "shape": [10**6, 10**6], "dtype": "float32"}},
        {MARK: "enum", "name": "os:system", "member": "x"},
        {MARK: "dataclass", "name": "os:system", "fields": {}},
        {MARK: "named tuple", "name": "os:system", "items": []},
        {MARK: "complex", "parts": [1, 2, 3]},
        {MARK: "range", "items": ["a"]},
    ],
    ids=str,
)
def test_what_nobody_wrote_is_refused_by_its_place(plain: Any) -> None:
    with pytest.raises((ConfigError, ValueError)) as caught:
        from_plain({"a": [plain]}, resolved, "env_config")
    assert type(caught.value).__module__ == "anyspace.errors"


def test_a_dataclass_is_not_made_of_unknown_fields() -> None:
    plain = plain_value(Layer(1), "it")
    plain["fields"]["other"] = 3
    with pytest.raises(ConfigError, match="config key `it` is damaged"):
        from_plain(plain, resolved, "it")
