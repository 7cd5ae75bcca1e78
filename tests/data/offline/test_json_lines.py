"""Lines of JSON: batches there and back, packed columns, batches of one policy among several agents'."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
import types
import zlib

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from anyspace.data.offline import packed
from anyspace.data.offline.json_lines import BadLine, read_line, write_line
from anyspace.errors import ConfigError

BATCH = {
    "obs": np.arange(6, dtype=np.float32).reshape(3, 2) / 3,
    "actions": np.array([1, 0, 2]),
    "rewards": np.array([0.1, 0.2, 0.3], np.float32),
    "terminateds": np.array([False, False, True]),
    "eps_id": np.array([2**50, 2**50, 2**50]),
}


@pytest.fixture
def lz4(monkeypatch):
    """The frames of lz4, or of something like it where it is not installed."""
    try:
        importlib.import_module("lz4.frame")
    except ImportError:
        frame = types.ModuleType("lz4.frame")
        frame.compress, frame.decompress = zlib.compress, _decompressed
        package = types.ModuleType("lz4")
        package.frame = frame
        monkeypatch.setitem(sys.modules, "lz4", package)
        monkeypatch.setitem(sys.modules, "lz4.frame", frame)


def _decompressed(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error as error:
        raise RuntimeError(str(error)) from error


@pytest.mark.spec(148)
def test_a_batch_comes_back():
    back = read_line(write_line(BATCH), "here")
    assert back.keys() == BATCH.keys()
    for name, column in BATCH.items():
        np.testing.assert_array_equal(np.asarray(back[name], column.dtype), column)
    # Types are JSON's: a reader that knows the spaces casts to theirs.
    assert back["rewards"].dtype == np.float64
    assert back["actions"] == [1, 0, 2]


def test_nested_columns_come_back():
    nested = {"obs": {"a": np.ones((2, 3)), "b": (np.zeros(2), np.array([1, 2]))}, "actions": np.array([0, 1])}
    back = read_line(write_line(nested), "here")
    assert back["obs"] == {"a": [[1.0] * 3] * 2, "b": [[0.0, 0.0], [1, 2]]}


@pytest.mark.parametrize("turned", [False, True])
def test_the_names_of_today_take_precedence_over_old_ones(turned):
    """And what is done, but truncated, is not terminated."""
    old = {"dones": [False, True, True], "truncateds": [False, True, False], "next_obs": [[9]] * 3}
    new = {"terminateds": [False, False, True], "new_obs": [[1], [2], [3]]}
    for given in ({**old, **new}, old):
        names = sorted(given, reverse=turned)
        text = json.dumps({"type": "SampleBatch", **{name: given[name] for name in names}})
        for wanted in (None, ["terminateds", "new_obs"]):
            found = read_line(text, "here", wanted=wanted)
            assert found["terminateds"].tolist() == [False, False, True]
            assert found["new_obs"] == given.get("new_obs", old["next_obs"])
            assert not found.keys() & {"dones", "next_obs"}
    with pytest.raises(BadLine, match=r"'dones' has the shape \(3,\), but 'truncateds' \(1,\)"):
        read_line(json.dumps({"type": "SampleBatch", **old, "truncateds": [True]}), "here")


@pytest.mark.spec(148)
def test_packed_columns_come_back_to_who_asks(lz4):
    line = write_line(BATCH, compressed=("obs", "rewards"))
    assert isinstance(json.loads(line)["obs"], str)
    back = read_line(line, "here", unpacks=True)
    for name in ("obs", "rewards"):
        assert back[name].dtype == BATCH[name].dtype
        np.testing.assert_array_equal(back[name], BATCH[name])
    with pytest.raises(ConfigError, match=r"file, line 3: the column 'obs' is packed.*`unpack_input`"):
        read_line(line, "file, line 3")
    found = read_line(line, "here", wanted=["actions"])
    assert found["actions"] == [1, 0, 2]
    assert isinstance(found["obs"], str)  # as it was written


def test_numpy_within_lists_is_written_too():
    back = read_line(write_line({"infos": [{"cost": np.float32(0.5), "at": np.arange(2)}]}), "here")
    assert back["infos"] == [{"cost": 0.5, "at": [0, 1]}]


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        (
            {"obs": [1], "action_logp": np.array([0.0, -np.inf])},
            "column 'action_logp', row 1: -inf is no finite number",
        ),
        ({"obs": {"a": np.array([[0.0, np.nan]])}}, r"column 'obs', 'a', row 0\[1\]: nan is no finite number"),
        ({"infos": [{}, {"env": Box(0, 1, ())}]}, "column 'infos', row 1, 'env': Box.* is of type gymnasium"),
        ({"actions": torch.zeros(2)}, "column 'actions': tensor.* is of type torch.Tensor"),
    ],
)
def test_what_json_cannot_hold_is_named(columns, fault):
    with pytest.raises(ConfigError, match=f"{fault}.*Write finite numbers"):
        write_line(columns)


class Evil:
    def __reduce__(self):
        return (print, ("this must not be called",))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_of_arrays_alone_are_unpacked(lz4, capsys, protocol):
    def packed_bytes(content: bytes) -> str:
        import base64

        import lz4.frame

        return base64.b64encode(lz4.frame.compress(content)).decode()

    def packed_as(thing: object) -> str:
        return packed_bytes(pickle.dumps(thing, protocol=protocol))

    for array in (np.arange(3), np.array([[True]]), np.asfortranarray(np.ones((2, 3), np.uint8))):
        back = packed.unpack(packed_as(array))
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(back, array)
    for bad in (Evil(), np.array([Evil()], object), [1, 2], {"a": np.arange(2)}):
        with pytest.raises(ValueError, match=r"no part of an array|no array"):
            packed.unpack(packed_as(bad))
    with pytest.raises(ValueError, match="no packed array"):
        packed.unpack("no base64 !")
    with pytest.raises(ValueError, match="no packed array"):
        packed.unpack("AAAA")
    for spoilt in (b"cnumpy._core.nowhere\nndarray\n.", b"cnumpy\ndtype\n(tR."):  # the second one lacks arguments
        with pytest.raises(ValueError, match="no packed array"):
            packed.unpack(packed_bytes(spoilt))
    assert capsys.readouterr().out == ""


def test_without_lz4_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lz4", None)
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    with pytest.raises(ConfigError, match="pip install lz4"):
        packed.pack(np.arange(2))


@pytest.mark.spec(148)
def test_the_batch_of_one_policy_is_read_of_several_agents_none():
    inner = json.loads(write_line(BATCH))
    one = {"type": "MultiAgentBatch", "count": 3, "policy_batches": {"default_policy": inner}}
    np.testing.assert_array_equal(
        read_line(json.dumps(one), "here")["rewards"], read_line(write_line(BATCH), "")["rewards"]
    )
    two = {**one, "policy_batches": {"a": inner, "b": inner}}
    with pytest.raises(ConfigError, match=r"file, line 7: .*2 policies \(a, b\)"):
        read_line(json.dumps(two), "file, line 7")


def test_old_names_of_columns():
    back = read_line(json.dumps({"type": "SampleBatch", "dones": [False, True], "next_obs": [[1], [2]]}), "here")
    assert back["terminateds"].tolist() == [False, True]
    assert back["new_obs"] == [[1], [2]]


@pytest.mark.parametrize("text", ["", "{", "3", '{"type": "Other"}', '{"type": "SampleBatch", "t": [[1], [1, 2]]}'])
def test_what_holds_no_steps_is_a_bad_line(text):
    with pytest.raises(BadLine):
        read_line(text, "here")
