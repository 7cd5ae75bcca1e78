"""Finding files, reading lines without end, and files that are broken."""

from __future__ import annotations

import gzip
import json
import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from anyspace.data.offline.files import JsonLines, find_files
from anyspace.errors import ConfigError


def line(number: int, **columns: Any) -> str:
    return json.dumps({"type": "SampleBatch", "obs": [[number]], "actions": [0], **columns}) + "\n"


def written(folder: Path, name: str, *lines: str) -> Path:
    file = folder / name
    file.write_text("".join(lines))
    return file


def numbers(lines: JsonLines, count: int) -> list[int]:
    return [lines.next()[1]["obs"][0][0] for _ in range(count)]


def test_what_a_source_may_be(tmp_path, monkeypatch):
    one, two = written(tmp_path, "one.json", line(1)), written(tmp_path, "two.jsonl", line(2))
    written(tmp_path, "spaces.json", "{}")
    written(tmp_path, "notes.txt", "no steps")
    (tmp_path / "older.json").mkdir()
    assert find_files(str(tmp_path)) == find_files(tmp_path) == [one, two]
    assert find_files(str(tmp_path / "*.json*")) == [one, two]
    assert find_files(str(one)) == [one]
    assert find_files([str(two), str(tmp_path / "o*.json"), str(one)]) == [one, two]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_files("~/two.jsonl") == [two]


@pytest.mark.spec(149)
def test_missing_files_are_an_error_that_names_them(tmp_path):
    for source in (str(tmp_path / "missing-*.json"), str(tmp_path / "none"), [str(tmp_path / "gone.json")]):
        with pytest.raises(ValueError, match=r"`input`: no file matches .*(missing-\*\.json|none|gone\.json)"):
            find_files(source)
    with pytest.raises(ConfigError, match=r"holds no file \*\.json, \*\.jsonl, \*\.zip"):
        find_files(str(tmp_path))
    with pytest.raises(ConfigError, match="empty list"):
        find_files([])
    for source in (5, None, [str(tmp_path), 5], b"out"):
        with pytest.raises(ConfigError, match="a folder, a file, a pattern, or a list of these"):
            find_files(source)


@pytest.mark.spec(149)
def test_files_are_read_in_random_order_and_without_end(tmp_path):
    for file in range(4):
        written(tmp_path, f"{file}.json", line(10 * file), "\n", line(10 * file + 1))
    files = find_files(str(tmp_path))
    passes = [numbers(lines, 8) for lines in [JsonLines(files, seed=1)] for _ in range(6)]
    for one in passes:
        assert sorted(one) == [0, 1, 10, 11, 20, 21, 30, 31]
        # The lines of a file follow each other.
        assert all(later == earlier + 1 for earlier, later in zip(one[::2], one[1::2], strict=True))
    assert len({tuple(one) for one in passes}) > 3
    again = JsonLines(files, seed=1)
    assert numbers(again, 8) == passes[0]
    again.restart(1)
    assert numbers(again, 8) == passes[0]
    assert [numbers(JsonLines(files, seed=seed), 8) for seed in range(5)] != [passes[0]] * 5


@pytest.mark.spec(149)
def test_broken_lines_are_left_out_counted_and_named(tmp_path, caplog):
    broken = [
        "no JSON\n",
        line(1)[:-20] + "\n",
        "[1, 2]\n",
        '{"obs": [[1]]}\n',
        '{"type": "Other", "obs": [[1]]}\n',
        '{"type": "SampleBatch", "rewards": [[1], [2, 3]]}\n',
        '{"type": "MultiAgentBatch", "policy_batches": {}}\n',
        "\ufffd\n",
    ]
    file = written(tmp_path, "a.json", line(5), *broken, line(6))
    with file.open("ab") as appended:
        appended.write(b"\xff\xfe no text\n")
    lines = JsonLines([file], seed=0)
    with caplog.at_level(logging.WARNING, "anyspace"):
        assert numbers(lines, 4) == [5, 6, 5, 6]
    assert lines.metrics() == {"bad_lines": 17.0}  # the last one of the second pass is still to come
    assert lines.metrics() == {"bad_lines": 0.0}, "those since the last call"
    texts = [record.getMessage() for record in caplog.records]
    assert [text.split(" is left out: ")[0] for text in texts] == [f"{file}, line {n}" for n in [*range(2, 10), 11]]
    assert "no JSON" in texts[0]


@pytest.mark.spec(149)
def test_too_many_broken_lines_in_a_row_are_an_error(tmp_path):
    file = written(tmp_path, "a.json", line(1), *["x\n"] * 3, line(2))
    assert numbers(JsonLines([file], most_bad_lines=3), 3) == [1, 2, 1]
    lines = JsonLines([file], most_bad_lines=2)
    lines.next()
    with pytest.raises(ConfigError, match=r"a\.json, line 4: it is no JSON.* number 3 in a row"):
        lines.next()
    with pytest.raises(ConfigError, match="there is no line in it"):
        JsonLines([written(tmp_path, "b.json", "\n")]).next()
    gone = written(tmp_path, "c.json", line(1))
    lines = JsonLines([gone])
    lines.next()
    gone.unlink()
    with pytest.raises(ConfigError, match=r"c\.json cannot be read"):
        lines.next()


def test_a_pass_without_steps_is_enough(tmp_path):
    file = written(tmp_path, "a.json", "x\n", json.dumps({"type": "SampleBatch", "obs": [], "actions": []}))
    lines = JsonLines([file])
    with pytest.raises(
        ConfigError, match=r"no line of .*a\.json holds steps, of 2 in all\. .*a\.json, line 1: it is no JSON"
    ):
        lines.next()
    assert lines.metrics() == {"bad_lines": 2.0}


def test_a_line_of_empty_columns_is_left_out(tmp_path, caplog):
    empty = {"type": "SampleBatch", "obs": {"a": [], "b": [[]][:0]}, "rewards": []}
    file = written(tmp_path, "a.json", json.dumps(empty) + "\n", line(3))
    assert numbers(JsonLines([file], wanted=["obs"]), 2) == [3, 3]
    assert "line 1 is left out: its columns are empty" in caplog.text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(b"x", mtime=0), "compressed by gzip; unpack it"),
        (pickle.dumps({"obs": [1]}), "a pickle, which is not read"),
        (b"PK\x03\x04....", "a zip, as NumPy's"),
        (json.dumps({"type": "SampleBatch"}, indent=1).encode(), "one indented object or list"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, content, kind):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"`input`: .*a\.json is {kind}.* one JSON object in a line"):
        JsonLines([file]).next()


def test_the_mark_of_an_editor_is_no_part_of_a_line(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(b"\xef\xbb\xbf" + line(1).encode())
    assert numbers(JsonLines([file]), 1) == [1]


def test_lists_that_vary_in_length_are_steps_of_their_own(tmp_path):
    file = tmp_path / "a.json"
    ragged = [[[0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]], []]
    file.write_text(json.dumps({"type": "SampleBatch", "obs": ragged, "actions": [0, 1, 0]}) + "\n")
    assert JsonLines([file]).next()[1]["obs"] == ragged


def test_zips_are_read_where_they_are(tmp_path):
    with zipfile.ZipFile(tmp_path / "steps.zip", "w") as archive:
        archive.writestr("b/two.json", line(2) + line(3))
        archive.writestr("one.json", line(1))
        archive.writestr("spaces.json", "{}")
    whole = bytearray((tmp_path / "steps.zip").read_bytes())
    lines = JsonLines(find_files(str(tmp_path)))
    found = [lines.next() for _ in range(4)]
    assert [columns["obs"][0][0] for _, columns in found] == [2, 3, 1, 2]
    assert found[1][0].endswith("steps.zip/b/two.json, line 2")
    (tmp_path / "steps.zip").write_bytes(b"PK no zip")
    with pytest.raises(ConfigError, match=r"steps\.zip cannot be read"):
        JsonLines(find_files(str(tmp_path))).next()
    whole[whole.index(b"PK\x01\x02") + 8] |= 1  # says that it is encrypted
    (tmp_path / "steps.zip").write_bytes(whole)
    with pytest.raises(ConfigError, match=r"steps\.zip cannot be read: .* is encrypted"):
        JsonLines([tmp_path / "steps.zip"]).next()
