from __future__ import annotations

import dataclasses

import pytest

from anyspace.hints import Hints, in_python

HINTS = Hints(
    ["rate", "size", "lambda_", "clip_low", "model", "model.size", "model.use_lstm", "model.hidden_sizes"],
    {"lambda": "lambda_"},
    {"net_arch": "It is {model.hidden_sizes=[64, 64]} here, not {rate}.", "clip_range": "Give {clip_low=0.5}."},
)


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("use_lstm", "True", " It belongs under `model`: `model={'use_lstm': True}`."),
        ("model.rate", "0.5", " It belongs beside `model`: `rate=0.5`."),
        ("lambda", "0.9", " It is called `lambda_=0.9` here."),
        ("model.lambda", "0.9", " It belongs beside `model`: `lambda_=0.9`."),
        ("model.use_lstm", "True", " Nested keys are given as a dict: `model={'use_lstm': True}`."),
        ("net_arch", "[8]", " It is `model={'hidden_sizes': [64, 64]}` here, not `rate`."),
        ("Net-Arch", "[8]", " It is `model={'hidden_sizes': [64, 64]}` here, not `rate`."),
        ("model.net_arch", "[8]", " It is `model={'hidden_sizes': [64, 64]}` here, not `rate`."),
        ("raet", "1", " Did you mean 'rate'?"),
        ("use_lstn", "True", " Did you mean 'use_lstm' under `model`: `model={'use_lstm': True}`?"),
        ("model.rates", "1", " Did you mean 'rate' beside `model`: `rate=1`?"),
        ("hidden_size", "x" * 99, " Did you mean 'hidden_sizes' under `model`: `model={'hidden_sizes': ...}`?"),
        ("clip_rang", "1", " If it is what others call `clip_range`: Give `clip_low=0.5`."),
        ("nothing", "1", ""),
    ],
)
def test_what_to_write_instead(path: str, value: str, hint: str) -> None:
    assert HINTS.of(path, value) == hint


@pytest.mark.parametrize("path", ["raet", "use_lstn", "nothing"])
def test_only_what_is_certain_counts_as_whereabouts(path: str) -> None:
    assert HINTS.whereabouts(path) == ""


def test_a_key_that_is_in_both_places_belongs_where_it_is_given() -> None:
    assert HINTS.of("model.siz") == " Did you mean 'size'?"


def test_keys_of_others_are_named_before_anything_is_guessed() -> None:
    owners = {"rates": ["Fast"], "net_arch": ["Fast", "Slow"], "gain": ["A", "B", "C"]}
    hints = dataclasses.replace(HINTS, owners=lambda key: owners.get(key, ()))
    nothing = "Nothing of this algorithm is like it; leave it out."
    assert hints.of("rates") == f" It is a key of Fast. {nothing}"
    assert hints.of("model.gain") == f" It is a key of A, B and C. {nothing}"
    assert hints.of("net_arch").startswith(" It is a key of Fast and Slow. It is `model={'hidden_sizes': [64, 64]}`")
    assert hints.of("raet") == HINTS.of("raet")


def test_keys_in_python() -> None:
    assert in_python("lr") == "`lr`"
    assert in_python("lr", "0.1") == "`lr=0.1`"
    assert in_python("model.fcnet_hiddens") == "`model={'fcnet_hiddens': ...}`"
