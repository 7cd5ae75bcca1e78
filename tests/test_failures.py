from __future__ import annotations

from anyspace.failures import Failures


def test_a_failure_is_told_once_until_it_works_again() -> None:
    failures, error = Failures(), OSError("full")
    assert failures.add("metrics", error)
    assert not failures.add("metrics", error)
    assert failures.add("checkpoint", error)
    failures.end("metrics")
    assert failures.latest == {"checkpoint": error}
    assert failures.add("metrics", error)
    assert not failures.add("checkpoint", error)
    for name in ("metrics", "checkpoint", "what never failed"):
        failures.end(name)
    assert not failures.latest
