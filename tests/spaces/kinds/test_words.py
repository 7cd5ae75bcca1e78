"""Texts by their words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anyspace.errors import ObservationError
from anyspace.spaces import Encoder, Repeated, Words, find_fault, from_json, get_preprocessor, to_json
from anyspace.spaces.kinds.words import words_of

SPACE = Words(["Go to the red ball,", "the", "key"], 5)


def test_texts_are_taken_apart_into_small_words_and_marks():
    assert words_of("Go to the RED ball, then open_it!") == [
        "go",
        "to",
        "the",
        "red",
        "ball",
        ",",
        "then",
        "open_it",
        "!",
    ]
    assert SPACE.vocabulary == ("go", "to", "the", "red", "ball", ",", "key")


def test_words_are_stored_as_numbers_and_unknown_ones_as_zero():
    count, numbers = Encoder(SPACE)(("Go to the blue key", "", "red"))
    np.testing.assert_array_equal(count, [5, 0, 1])
    np.testing.assert_array_equal(numbers, [[1, 2, 3, 0, 7], [0] * 5, [4, 0, 0, 0, 0]])
    assert numbers.dtype == np.uint8
    assert find_fault(Encoder(SPACE), (count, numbers)) is None


def test_the_words_of_a_text_are_remembered_within_limits(monkeypatch):
    encoder = Encoder(Words(["a", "b"], 2))
    monkeypatch.setattr("anyspace.spaces.encoding.texts._MOST_KNOWN", 2)
    for text in ("a", "b", "a b", "a", "b b", "a b"):
        numbers = encoder((text,))[1][0]
        np.testing.assert_array_equal(
            numbers, [" ab".index(word) for word in text.split()] + [0] * (2 - len(text.split()))
        )


def test_too_many_words_are_named():
    with pytest.raises(ObservationError, match=r"row 1: obs: expected at most 5 words, got 6"):
        Encoder(SPACE)(("go", "go go go go go go"))
    with pytest.raises(ObservationError, match=r"expected a str for Words\(7 words, at most 5\), got int"):
        Encoder(SPACE)(("go", 3))


def test_models_see_one_hot_words():
    preprocessor = get_preprocessor(SPACE)
    lists = preprocessor.restore(preprocessor.expand(preprocessor.encode(("key", "go now"))))
    np.testing.assert_array_equal(lists.lengths, [1, 2])
    np.testing.assert_array_equal(lists.values.argmax(-1)[:, :2], [[7, 0], [1, 0]])


def test_samples_are_members():
    SPACE.seed(3)
    drawn = [SPACE.sample() for _ in range(50)]
    assert all(map(SPACE.contains, drawn))
    assert {len(text.split()) for text in drawn} == {1, 2, 3, 4, 5}
    assert not SPACE.contains(3)
    assert not SPACE.contains("a b c d e f")
    assert Words([], 2).sample() == ""
    assert Encoder(Words([], 2))(("what",))[1].tolist() == [[0, 0]]
    with pytest.raises(ValueError, match="without `mask`"):
        SPACE.sample(mask=(1,))
    with pytest.raises(ValueError, match="max_words is 0"):
        Words(["a"], 0)
    for vocabulary in ("go left", 5, [1, 2]):
        with pytest.raises(ValueError, match=r'^Words: expected a vocabulary such as \["go", "left"\], got'):
            Words(vocabulary, 3)


def test_words_are_written_and_read():
    space = Repeated(SPACE, 2)
    assert from_json(json.loads(json.dumps(to_json(space)))) == space
    assert Words(["a", "b"], 2) != Words(["b", "a"], 2)
    assert Words(["a"], 2) != Words(["a"], 3)
    assert not SPACE.is_np_flattenable
