"""``anyspace report``."""

from __future__ import annotations

import errno
import html.parser
import os
import re
from pathlib import Path
from unittest.mock import Mock

import pytest

from anyspace.cli import main
from anyspace.errors import ConfigError
from anyspace.execution.web_page import Shown, run_page
from tests.cli.support import TINY, run


class Checked(html.parser.HTMLParser):
    """Collects what a page would fetch, and tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_holds_everything(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", "toys:Drawn", "--steps", "32", "--out", "run", "--evaluate", "0", *TINY]) == 0
    torn = run(capsys, "report", "run", "--env", "toys:Torn", "--episodes", "0", "--out", "torn.html")
    assert torn[0] == 0, torn[2]
    assert "There is no video: no context" in (folder / "torn.html").read_text()
    status, out, err = run(capsys, "report", "run", "--episodes", "2", "--trust")
    assert status == 0, err
    assert "report: run/report.html (" in out
    page = (folder / "run" / "report.html").read_text()
    checked = Checked()
    checked.feed(page)
    assert checked.open == []
    assert len(checked.sources) == 3
    assert all(source.startswith("data:") for source in checked.sources)
    assert "step-000000032.mp4: the policy at 32 steps." in page
    titles = ["Learning curve", "Evaluation", "Video", "Pipeline", "Configuration", "Last numbers"]
    assert re.findall("<h2>(.*?)</h2>", page) == titles
    assert "Mean return <b>4</b> &plusmn; 0 over 2 episodes." in page
    assert '<tr class="changed"><td><code>model.fcnet_hiddens</code></td><td><code>[4]</code></td></tr>' in page
    assert "<tr><td><code>gamma</code></td><td><code>0.99</code></td></tr>" in page
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        full = run(capsys, "report", "run", "--episodes", "0", "--trust")
    assert full[0] == 2
    assert "error: run/report.html cannot be written: No space left on device." in full[2]
    status, _, err = run(
        capsys, "report", "run/checkpoint", "--env", "toys:Blind", "--episodes", "0", "--out", "b.html"
    )
    assert status == 0, err
    assert "Video" in (folder / "b.html").read_text()  # the one that the first report filmed


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["nowhere"], "error: nowhere is not the folder of a run"),
        (["run", "--out", "a.pdf"], "error: the page is to be a.pdf, but pages end in .html."),
        (["run", "--episodes", "-1"], "error: --episodes is -1, but it must be at least 0."),
    ],
)
def test_wrong_input(capsys: pytest.CaptureFixture[str], folder: Path, words: list[str], error: str) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text('{"steps": 1}')
    status, _, err = run(capsys, "report", *words)
    assert (status, err.startswith(error)) == (2, True), err


def test_a_run_without_an_iteration_has_no_page(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("timesteps_total\n")
    shown = Shown(b"", {})
    with pytest.raises(ConfigError, match=r"is not the folder of a run that has trained: it has no config\.json\."):
        run_page(tmp_path, shown)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"metrics\.csv has no numbers yet: no iteration is over\."):
        run_page(tmp_path, shown)


def test_runs_that_may_be_meant_are_named(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    run_folder = folder / "all" / "seed-0"
    (run_folder / "checkpoint").mkdir(parents=True)
    (run_folder / "run.json").write_text('{"steps": 1}')
    (run_folder / "checkpoint" / "state.json").touch()
    for words, hint in (
        (["report", "all"], "Runs are in folders of it, such as all/seed-0."),
        (["plot", "."], None),
        (["plot", "all/seed-0/checkpoint"], "It is a checkpoint of the run all/seed-0: give that."),
    ):
        status, _, err = run(capsys, *words)
        assert (status, hint is None or err.rstrip().endswith(hint)) == (2, True), err
