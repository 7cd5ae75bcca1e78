from __future__ import annotations

import csv
import errno
import io
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from anyspace.errors import ConfigError
from anyspace.execution.log import MetricsLog, flat_metrics, read_metrics


def result(steps: int, **others: Any) -> dict[str, Any]:
    return {"timesteps_total": steps, "learner": {"loss": steps / 8}, **others}


def written(folder: Path, *results: dict[str, Any]) -> None:
    log = MetricsLog(folder)
    for one in results:
        log.write(one)
    log.close()


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A write comes to three bytes at most and the last one fails; no new file can be written."""

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if len(data) > 3:
                return super().write(bytes(data)[:3])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(file: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda file, mode, buffering: Full(file, mode.replace("b", "")))
        patch.setattr(Path, "write_bytes", refuse)
        yield


def column(folder: Path, name: str) -> list[str]:
    return [row[name] for row in read_metrics(folder / "metrics.csv")]


def test_nested_results_become_paths() -> None:
    nested = {
        "a": 1,
        "b": {"c": 2.5, "d": {"e": np.float32(0.25), "text": "x", "none": None, "many": np.ones(3)}},
        "tensor": torch.tensor(4.0),
        "array": np.array(5),
        "yes": True,
    }
    flat = flat_metrics(nested)
    assert flat == {"a": 1, "b/c": 2.5, "b/d/e": 0.25, "tensor": 4.0, "array": 5.0, "yes": 1.0}
    assert {type(value) for value in flat.values()} == {int, float}


@pytest.mark.parametrize(
    "name", ["a\u2028b", "a\x0cb", "a\rb", "a\nb", "a\x85b", "a\x00b", "a\ud800b", 'a",b', ""], ids=ascii
)
def test_names_of_any_kind_can_be_read_again(name: str, tmp_path: Path) -> None:
    result = {"timesteps_total": 1, "timesteps_this_iter": 1, "env": {name: 0.5}}
    log = MetricsLog(tmp_path)
    log.write(result)
    log.write({**result, "timesteps_total": 2, "more": 1.0})
    MetricsLog(tmp_path).write({**result, "timesteps_total": 3})
    assert [row["timesteps_total"] for row in read_metrics(tmp_path / "metrics.csv")] == ["1", "2", "3"]


def test_columns_may_come_later(tmp_path: Path) -> None:
    written(tmp_path, result(10), result(20, evaluation={"mean": 7.0}), result(30), result(40, zeta=1))
    with (tmp_path / "metrics.csv").open(newline="") as handle:
        table = list(csv.reader(handle))
    assert table == [
        ["timesteps_total", "learner/loss", "evaluation/mean", "zeta"],
        ["10", "1.25", "", ""],
        ["20", "2.5", "7.0", ""],
        ["30", "3.75", "", ""],
        ["40", "5.0", "", "1"],
    ]
    assert [file.name for file in tmp_path.glob("*.partial*")] == []


def test_a_resumed_run_appends(tmp_path: Path) -> None:
    written(tmp_path, result(10), result(20, evaluation={"mean": 7.0}))
    written(tmp_path, result(30, fresh=2), result(40))
    assert column(tmp_path, "timesteps_total") == ["10", "20", "30", "40"]
    assert column(tmp_path, "evaluation/mean") == ["", "7.0", "", ""]
    assert column(tmp_path, "fresh") == ["", "", "2", ""]


def test_steps_that_a_kill_undid_are_logged_once(tmp_path: Path) -> None:
    """Killed at 40, resumed from the checkpoint of 20: what follows takes the place of what came to nothing."""
    written(tmp_path, result(10), result(20), result(30, lost=1), result(40))
    written(tmp_path, result(31))
    assert column(tmp_path, "timesteps_total") == ["10", "20", "30", "31"]
    written(tmp_path, result(25), result(35))
    assert column(tmp_path, "timesteps_total") == ["10", "20", "25", "35"]
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("timesteps_total")] == [10, 20, 25, 35]


def test_tensorboard_reads_the_files_of_a_second_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sorts them by name; one that is read too late would take the later ones' steps away."""
    monkeypatch.setattr("anyspace.execution.log._writers", itertools.count(9))
    monkeypatch.setattr("anyspace.execution.log.time.time", lambda: 1e9)
    for step in (1, 2, 3):
        written(tmp_path, result(step))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("timesteps_total")] == [1, 2, 3]


def test_opening_a_log_changes_nothing(tmp_path: Path) -> None:
    written(tmp_path, result(10))
    before = (tmp_path / "metrics.csv").read_bytes()
    MetricsLog(tmp_path).close()
    assert (tmp_path / "metrics.csv").read_bytes() == before


@pytest.mark.parametrize("cut", [2, 4, 8])
def test_a_row_that_a_kill_cut_short_is_dropped(tmp_path: Path, cut: int) -> None:
    written(tmp_path, result(1000), result(2000))
    file = tmp_path / "metrics.csv"
    file.write_bytes(file.read_bytes()[:-cut])
    assert column(tmp_path, "timesteps_total") == ["1000"]
    written(tmp_path, result(3000))
    assert column(tmp_path, "timesteps_total") == ["1000", "3000"]
    assert column(tmp_path, "learner/loss") == ["125.0", "375.0"]


def test_an_empty_file_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("")
    written(tmp_path, result(10))
    assert column(tmp_path, "learner/loss") == ["1.25"]


def test_a_table_that_somebody_moved_away_begins_anew(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write(result(10))
    (tmp_path / "metrics.csv").rename(tmp_path / "kept.csv")
    log.write(result(20))
    log.write(result(30, fresh=2))
    log.close()
    assert column(tmp_path, "timesteps_total") == ["20", "30"]
    assert column(tmp_path, "fresh") == ["", "2"]


def test_what_a_full_disk_refuses_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row may have been written in part, or the whole table been written anew for a column that is new."""
    log = MetricsLog(tmp_path)
    log.write(result(10))
    with full_disk(monkeypatch):
        for one in (result(20), result(30, fresh=2)):
            with pytest.raises(OSError, match="No space left"):
                log.write(one)
    log.write(result(40))
    with full_disk(monkeypatch), pytest.raises(OSError, match="No space left"):
        log.write(result(50))
    log.close()
    assert column(tmp_path, "timesteps_total") == ["10", "20", "30", "40", "50"]
    assert column(tmp_path, "fresh") == ["", "", "2", "", ""]
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("learner/loss")] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe", b"a\n1\n", b"timesteps_total,a\n1,x\n", b"timesteps_total\n1,2\n", b"timesteps_total,a\n,1\n"],
)
def test_a_damaged_table_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(data)
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path / 'metrics.csv'} is damaged (")):
        read_metrics(tmp_path / "metrics.csv")


def test_tensorboard_reads_the_same_numbers(tmp_path: Path) -> None:
    written(tmp_path, result(10), result(20, evaluation={"mean": 7.5}), result(3_000_000))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"timesteps_total", "learner/loss", "evaluation/mean"}
    assert [(event.step, event.value) for event in events.Scalars("learner/loss")] == [
        (10, 1.25),
        (20, 2.5),
        (3_000_000, 375_000),
    ]
    assert [(event.step, event.value) for event in events.Scalars("evaluation/mean")] == [(20, 7.5)]


def test_tensorboard_lists_what_a_run_is(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    described = {"seed": 3, "env": None, "config": {"lr": 1e-3, "explore": True, "model": {"fcnet_hiddens": [8]}}}
    log = MetricsLog(tmp_path, described)
    log.write(result(1))
    log.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["tensors"] == ["_hparams_/session_start_info"]
    metadata = events.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert metadata.plugin_name == "hparams"
    found = HParamsPluginData.FromString(metadata.content).session_start_info.hparams
    assert {*found} == {"seed", "env", "lr", "explore", "model/fcnet_hiddens"}
    assert (found["lr"].number_value, found["explore"].bool_value) == (1e-3, True)
    assert (found["model/fcnet_hiddens"].string_value, found["env"].string_value) == ("[8]", "null")
