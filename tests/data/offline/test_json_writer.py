"""Files that one writer alone writes into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from anyspace.data.offline.json_writer import JsonWriter
from anyspace.data.offline.spaces_file import read_spaces, write_spaces
from anyspace.errors import ConfigError


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for file in sorted(folder.glob("*.json")) for line in file.read_text().splitlines()]


def test_writers_of_one_second_write_into_files_of_their_own(tmp_path):
    writers = [JsonWriter(tmp_path) for _ in range(3)]
    for turn in range(2):
        for number, writer in enumerate(writers):
            writer.write({"rewards": np.full(2, 10 * number + turn)})
    assert len(list(tmp_path.glob("output-*_worker-0_*.json"))) == 3
    assert sorted(line["rewards"][0] for line in lines_of(tmp_path)) == [0, 1, 10, 11, 20, 21]


def test_writers_that_race_lose_nothing(tmp_path):
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        writer = JsonWriter(tmp_path, largest_file=1)
        barrier.wait()
        for turn in range(5):
            writer.write({"rewards": np.array([number, turn])})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tuple(line["rewards"]) for line in lines_of(tmp_path)) == [(n, t) for n in range(8) for t in range(5)]


def test_files_begin_anew_at_their_largest_size(tmp_path):
    writer = JsonWriter(tmp_path, largest_file=100, worker=3)
    for number in range(6):
        writer.write({"rewards": np.full(10, number)})
    files = sorted(tmp_path.iterdir())
    assert [file.name.partition("_worker-")[2] for file in files] == ["3_0.json", "3_1.json", "3_2.json"]
    assert all(100 <= file.stat().st_size < 200 for file in files)


def test_a_file_that_is_moved_away_is_followed_by_another(tmp_path):
    writer = JsonWriter(tmp_path / "steps")
    writer.write({"rewards": np.zeros(1)})
    (file,) = (tmp_path / "steps").iterdir()
    file.rename(tmp_path / "done.json")
    for number in (1, 2):
        writer.write({"rewards": np.full(1, number)})
    assert [line["rewards"] for line in lines_of(tmp_path)] == [[0.0]]
    assert [line["rewards"] for line in lines_of(tmp_path / "steps")] == [[1.0], [2.0]]


def test_a_line_is_in_its_file_at_once(tmp_path):
    writer = JsonWriter(tmp_path)
    assert not list(tmp_path.iterdir())
    writer.write({"rewards": np.ones(1)})
    assert lines_of(tmp_path) == [{"type": "SampleBatch", "rewards": [1.0]}]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/steps cannot be written"):
        JsonWriter(tmp_path / "file" / "steps")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root may write whatever its mode says
    with pytest.raises(ConfigError, match="cannot be written: nothing may be added"):
        JsonWriter(tmp_path)


def test_a_line_that_does_not_fit_leaves_nothing(tmp_path):
    """In a process whose files may hold so many bytes: the next line fits."""
    code = """
import resource, signal, sys
import numpy as np
from anyspace.data.offline.json_writer import JsonWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = JsonWriter(sys.argv[1])
writer.write({"rewards": np.zeros(10)})
resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
try:
    writer.write({"rewards": np.zeros(1000)})
except OSError as error:
    print(error)
writer.write({"rewards": np.ones(10)})
"""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "output-" in run.stdout
    assert [line["rewards"] for line in lines_of(tmp_path)] == [[0.0] * 10, [1.0] * 10]


def test_spaces_lie_beside_the_files(tmp_path):
    spaces = (Box(-1, 1, (2,)), Discrete(3, start=2))
    assert read_spaces([tmp_path]) is None
    write_spaces(tmp_path / "a", *spaces)
    write_spaces(tmp_path / "a", *spaces)
    assert read_spaces([tmp_path / "a", tmp_path]) == spaces
    with pytest.raises(
        ConfigError, match=r"spaces\.json: the action space is Discrete\(3, start=2\), but .* Discrete\(4\)"
    ):
        write_spaces(tmp_path / "a", spaces[0], Discrete(4))
    write_spaces(tmp_path / "b", spaces[0], Discrete(4))
    with pytest.raises(ConfigError, match=r"a/spaces\.json: the action space"):
        read_spaces([tmp_path / "a", tmp_path / "b"])
    for text in ("", "{}", "[]", '{"observation_space": {"type": "Box"}, "action_space": 3}'):
        (tmp_path / "b" / "spaces.json").write_text(text)
        with pytest.raises(ConfigError, match=r"b/spaces\.json cannot be read"):
            read_spaces([tmp_path / "b"])
