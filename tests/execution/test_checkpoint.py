"""Checkpoints: whole or not there, and never anything else."""

from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from anyspace import PPO, Algorithm
from anyspace.errors import CheckpointError
from anyspace.execution.checkpoint import find_checkpoint, read_checkpoint, remove_checkpoint, write_checkpoint

STATE = {"algorithm": "PPO", "nested": {"numbers": [1, 2.5, None, True], "text": "ä"}}
TENSORS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "number": np.array(7.5),
    "count": np.asarray(3),
    "none": np.zeros((0, 4), np.float32),
    "halves": np.array([1.5, -2], np.float16),
    "bytes": np.arange(256, dtype=np.uint8),
    "flags": np.array([True, False]),
    "small": np.array([-128, 127], np.int8),
}


def test_round_trip(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a" / "b", STATE, TENSORS)
    state, tensors = read_checkpoint(tmp_path / "a" / "b")
    assert {key: state[key] for key in STATE} == STATE
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert (tensors[name].shape, tensors[name].dtype) == (value.shape, value.dtype), name
        np.testing.assert_array_equal(tensors[name], value)


def test_a_new_one_takes_the_old_ones_place(tmp_path: Path) -> None:
    for number in range(3):
        write_checkpoint(tmp_path, {"number": number}, {"x": np.full(number + 1, number)})
    state, tensors = read_checkpoint(tmp_path)
    assert state["number"] == 2
    np.testing.assert_array_equal(tensors["x"], [2, 2, 2])
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_a_run_folder_stands_for_its_latest_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint", STATE, {})
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoint"
    assert find_checkpoint(str(tmp_path / "checkpoint")) == tmp_path / "checkpoint"
    assert read_checkpoint(tmp_path)[0]["algorithm"] == "PPO"


def test_nothing_is_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a pickle is code that runs when it is read")

    algorithm = PPO(
        "CartPole-v1", train_batch_size=8, minibatch_size=8, num_epochs=1, model={"fcnet_hiddens": [4]}, preset="none"
    )
    algorithm.train()
    for name in ("dump", "dumps", "load", "loads"):
        monkeypatch.setattr(pickle, name, refuse)
    algorithm.save(tmp_path)
    assert Algorithm.load(tmp_path).timesteps_total == algorithm.timesteps_total
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


# --------------------------------------------------------------------------------------- a kill at any moment


class Killed(BaseException):
    """Nothing may catch this: the process is gone."""


def half(write: Callable[..., Any], file_of: Callable[..., Path]) -> Callable[..., Any]:
    """Like ``write``, but a kill comes when half of the file is there."""

    def partial(*args: Any, **keywords: Any) -> None:
        write(*args, **keywords)
        file = file_of(*args)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        raise Killed

    return partial


STEPS: list[tuple[Any, str, Callable[..., Any] | None]] = [
    (Path, "mkdir", None),
    (Path, "write_bytes", lambda file, data: file),
    (os, "fsync", None),
    (Path, "replace", None),
    (Path, "unlink", None),
]
"""What touches the disk, and the file that each writes in pieces."""


def calls_of(folder: Path) -> list[str]:
    """The names of the steps that writing over a checkpoint takes, in order."""
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, _ in STEPS:
            original = getattr(owner, name)

            def noted(*args: Any, original: Any = original, name: str = name, **keywords: Any) -> Any:
                found.append(name)
                return original(*args, **keywords)

            patch.setattr(owner, name, noted)
        write_checkpoint(folder, {"number": 0}, {"x": np.zeros(3)})
    return found


def write_killed_at(folder: Path, call: int, when: str) -> bool:
    """Write number 2, killed before, in the middle of or after one call; whether there is such a moment."""
    count = -1
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, file_of in STEPS:
            original = getattr(owner, name)

            def counted(*args: Any, original: Any = original, file_of: Any = file_of, **keywords: Any) -> Any:
                nonlocal count
                count += 1
                if count != call:
                    return original(*args, **keywords)
                if when == "amid":
                    if file_of is None:
                        raise LookupError
                    half(original, file_of)(*args, **keywords)
                if when == "after":
                    original(*args, **keywords)
                raise Killed

            patch.setattr(owner, name, counted)
        try:
            write_checkpoint(folder, {"number": 2}, {"x": np.full(5, 2.0)})
        except Killed:
            return True
        except LookupError:
            return False
    raise AssertionError("there was no such call")


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "dry", {"number": 1}, {"x": np.ones(3)})
    calls = calls_of(tmp_path / "dry")
    assert set(calls) == {name for _, name, _ in STEPS}, "every step is there, so every kill is tried"
    assert calls.count("replace") == 2, "the tensors, and the state"
    settled = len(calls) - 1 - calls[::-1].index("replace")
    tried = 0
    for call in range(len(calls)):
        for when in ("before", "amid", "after"):
            folder = tmp_path / f"{call}-{when}"
            write_checkpoint(folder, {"number": 1}, {"x": np.full(4, 1.0)})
            if not write_killed_at(folder, call, when):
                continue
            tried += 1
            state, tensors = read_checkpoint(folder)
            new = call > settled or (call == settled and when == "after")
            assert state["number"] == (2 if new else 1), (calls[call], when)
            np.testing.assert_array_equal(tensors["x"], np.full(5, 2.0) if new else np.full(4, 1.0))

            write_checkpoint(folder, {"number": 3}, {"x": np.zeros(1)})
            assert read_checkpoint(folder)[0]["number"] == 3
            left = sorted(file.suffix for file in folder.iterdir())
            assert left == [".json", ".safetensors"], "what the kill left behind is cleared away"
    assert tried == 2 * len(calls) + 2


def test_a_kill_during_the_first_one_leaves_none(tmp_path: Path) -> None:
    for call, when in ((1, "amid"), (3, "after"), (4, "amid"), (6, "before")):
        folder = tmp_path / f"{call}"
        write_killed_at(folder, call, when)
        with pytest.raises(CheckpointError, match="no checkpoint at"):
            read_checkpoint(folder)


def test_a_full_disk_leaves_the_checkpoint_before_and_no_rubbish(tmp_path: Path) -> None:
    """What is left of an attempt would take the room that the next one needs."""
    write_checkpoint(tmp_path, {"number": 1}, {"x": np.ones(3)})
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for (owner, name, _), at in itertools.product(STEPS[1:-1], (0, 1)):  # of the tensors, of the state
        original, calls = getattr(owner, name), itertools.count()

        def full(
            *args: Any, name: str = name, original: Any = original, at: int = at, calls: Any = calls, **keywords: Any
        ) -> Any:
            if next(calls) < at:
                return original(*args, **keywords)
            if name != "replace":
                original(*args, **keywords)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(OSError, match="No space left"):
                write_checkpoint(tmp_path, {"number": 2}, {"x": np.zeros(5)})
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before, (name, at)


def test_files_of_others_stay(tmp_path: Path) -> None:
    for name in ("download.partial", "tensors-of-mine.safetensors"):
        (tmp_path / name).write_text("mine")
    write_checkpoint(tmp_path, STATE, TENSORS)
    write_checkpoint(tmp_path, STATE, TENSORS)
    remove_checkpoint(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["download.partial", "tensors-of-mine.safetensors"]


def test_drafts_that_kills_have_left_are_removed(tmp_path: Path) -> None:
    """Those of 0.1 had other names."""
    folder = tmp_path / "run"
    names = [".state.0a1b2c3d.partial.json", ".tensors-0a1b2c3d.0a1b2c3d.partial.safetensors"]
    names += ["state.json.partial", "tensors-0a1b2c3d.safetensors.partial"]
    write_checkpoint(folder, STATE, TENSORS)
    for remove in (functools.partial(write_checkpoint, state=STATE, tensors=TENSORS), remove_checkpoint):
        for name in names:
            (folder / name).touch()
        remove(folder)
        assert not [*folder.glob("*.partial*")]
    assert not folder.exists()


def test_what_json_cannot_hold_touches_nothing(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, STATE, TENSORS)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for wrong in (float("nan"), float("inf"), object()):
        with pytest.raises((ValueError, TypeError), match="JSON"):
            write_checkpoint(tmp_path, {"x": wrong}, TENSORS)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


# ------------------------------------------------------------------------------------------- what cannot be read


def damaged(folder: Path, change: Callable[[Path, Path], Any]) -> Path:
    """A checkpoint of which ``change`` gets the state file and the tensors file."""
    write_checkpoint(folder, STATE, TENSORS)
    change(folder / "state.json", next(folder.glob("*.safetensors")))
    return folder


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


def edited(file: Path, **changes: Any) -> None:
    state = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in state.items() if value is not Ellipsis}))


def without(file: Path, key: str) -> None:
    state = json.loads(file.read_text())
    del state[key]
    file.write_text(json.dumps(state))


DAMAGES: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "tensors cut": (lambda state, tensors: cut(tensors, 300), r"tensors-\w+\.safetensors is truncated or damaged"),
    "tensors cut by a byte": (
        lambda state, tensors: cut(tensors, tensors.stat().st_size - 1),
        r"tensors-\w+\.safetensors is truncated or damaged",
    ),
    "tensors empty": (lambda state, tensors: cut(tensors, 0), r"tensors-\w+\.safetensors is truncated or damaged"),
    "tensors missing": (
        lambda state, tensors: tensors.unlink(),
        r"is not whole: tensors-\w+\.safetensors, which its state\.json names, is missing",
    ),
    "tensors of another": (
        lambda state, tensors: tensors.write_bytes(save({"weights": np.zeros(3)})),
        r"does not hold the tensors that state\.json lists",
    ),
    "state cut": (lambda state, tensors: cut(state, 100), r"state\.json is truncated or no checkpoint's state"),
    "state empty": (lambda state, tensors: cut(state, 0), r"state\.json is truncated or no checkpoint's state"),
    "state binary": (
        lambda state, tensors: state.write_bytes(bytes(range(256))),
        r"state\.json is truncated or no checkpoint's state",
    ),
    "state a list": (lambda state, tensors: state.write_text("[1, 2]"), r"state\.json is no checkpoint's state"),
    "state null": (lambda state, tensors: state.write_text("null"), r"state\.json is no checkpoint's state"),
    "state of something else": (
        lambda state, tensors: state.write_text('{"a": 1}'),
        r"state\.json is no checkpoint's state: it names no format",
    ),
    "no tensors named": (lambda state, tensors: without(state, "tensors"), r"state\.json is no checkpoint's state"),
    "tensors a number": (lambda state, tensors: edited(state, tensors=5), r"state\.json is no checkpoint's state"),
    "tensors a folder": (lambda state, tensors: edited(state, tensors="."), r"is not whole"),
    "no shapes": (lambda state, tensors: without(state, "shapes"), r"state\.json is no checkpoint's state"),
    "another format": (
        lambda state, tensors: edited(state, format=99),
        r"of format 99, written by anyspace .* reads the formats 1, 2, 3: load it with the version that wrote it",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_refused(tmp_path: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(damaged(tmp_path, change))
    assert str(tmp_path) in str(caught.value)


def test_a_state_cut_anywhere_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, STATE, TENSORS)
    whole = (tmp_path / "state.json").read_bytes()
    for size in range(len(whole) - 1):
        (tmp_path / "state.json").write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="truncated"):
            read_checkpoint(tmp_path)


def test_a_model_of_another_library_and_a_missing_suffix(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.zip"
    with zipfile.ZipFile(theirs, "w") as archive:
        archive.writestr("_stable_baselines3_version", "2.4.0")
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*theirs.zip: Stable-Baselines3 wrote it, and the"):
        read_checkpoint(theirs)
    with pytest.raises(CheckpointError, match=r"at .*theirs: there is .*theirs.zip, but Stable-Baselines3 wrote it"):
        read_checkpoint(tmp_path / "theirs")
    for written, asked in (("plain", "plain.zip"), ("with.zip", "with"), ("run/checkpoint", "run.zip")):
        write_checkpoint(tmp_path / written, STATE, {})
        found = re.escape(str(tmp_path / written.partition("/")[0]))
        with pytest.raises(CheckpointError, match=rf"no checkpoint at .*{asked}: there is {found}; .* load that\."):
            read_checkpoint(tmp_path / asked)
    for path in (".", "", "/"):
        with pytest.raises(CheckpointError, match="no checkpoint at"):
            read_checkpoint(path)


def test_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*nowhere: it does not exist\. Give a run folder"):
        read_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"it has no state\.json, nor has its `checkpoint` folder"):
        read_checkpoint(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*file: it is a file, and a checkpoint is a folder"):
        read_checkpoint(tmp_path / "file")
    write_checkpoint(tmp_path / "seed-0" / "checkpoint", STATE, {})
    with pytest.raises(CheckpointError, match=r"runs are in folders of it, such as .*seed-0\. Give"):
        read_checkpoint(tmp_path)
