from functools import partial

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary

from anyspace.errors import ConfigError
from anyspace.maths.cell import Cell
from anyspace.spaces import observation_filter
from anyspace.spaces.filters import MeanStdFilter
from anyspace.spaces.kinds.atari import AtariRam
from anyspace.spaces.kinds.repeated import Repeated
from anyspace.spaces.observation_filter import ObservationFilter
from anyspace.spaces.preprocessors import get_preprocessor

MIXED = Dict(
    [
        ("items", Repeated(Dict(x=Box(-np.inf, np.inf, (2,)), kind=Discrete(3)), 3)),
        ("position", Box(-np.inf, np.inf, (2, 2))),
        ("flags", MultiBinary(2)),
        ("hidden", Box(-np.inf, np.inf, ())),
    ]
)
X, KIND, POSITION, HIDDEN = 1, 2, 3, 5  # positions of leaves; 0 is the count of items, 4 the flags


def observations(rng, rows=20):
    """Encoded observations of ``MIXED`` and which elements of them are there."""
    counts = rng.integers(0, 4, rows).astype(np.int32)
    there = np.arange(3) < counts[:, None]
    x = (rng.normal(5, 3, (rows, 3, 2)) * there[..., None]).astype(np.float32)
    kind = (rng.integers(0, 3, (rows, 3)) * there).astype(np.uint8)
    position = rng.normal(-2, 4, (rows, 2, 2)).astype(np.float32)
    hidden = rng.normal(0, 9, rows).astype(np.float32)
    leaves = [counts, x, kind, position, rng.integers(0, 2, (rows, 2), np.int8), hidden]
    return leaves, [None, there, there, None, None, None]


IN_TORCH = partial(Cell, place=torch.as_tensor)


def mixed_filter(name="MeanStdFilter", **options):
    return ObservationFilter(name, get_preprocessor(MIXED).specs, exclude={HIDDEN}, **options)


def test_leaves_are_as_the_tests_below_say():
    specs = get_preprocessor(MIXED).specs
    assert [specs[i].place() for i in (X, KIND, POSITION, HIDDEN)] == [
        'obs["items"][...]["x"]',
        'obs["items"][...]["kind"]',
        'obs["position"]',
        'obs["hidden"]',
    ]


def test_elements_share_statistics_and_only_those_that_are_there_count():
    rng, filtered = np.random.default_rng(0), mixed_filter()
    batches = [observations(rng) for _ in range(3)]
    for leaves, presence in batches:
        filtered.push(leaves, presence)
    elements = np.concatenate([leaves[X][presence[X]] for leaves, presence in batches]).astype(np.float64)
    positions = np.concatenate([leaves[POSITION] for leaves, _ in batches]).astype(np.float64)
    affine = filtered.affine()
    assert affine.keys() == {X, POSITION}
    np.testing.assert_allclose(affine[X], [elements.mean(0), elements.std(0, ddof=1)], rtol=1e-5)
    np.testing.assert_allclose(affine[POSITION], [positions.mean(0), positions.std(0, ddof=1)], rtol=1e-5)


@pytest.mark.parametrize("name", ["MeanStdFilter", "ConcurrentMeanStdFilter"])
@pytest.mark.parametrize("array", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_what_is_not_there_stays_zero_and_what_is_no_number_stays_as_it_is(array, name):
    filtered = mixed_filter(name, cell=IN_TORCH)
    filtered.push(*observations(np.random.default_rng(0)))
    leaves, presence = observations(np.random.default_rng(1))
    leaves[POSITION][0] = 1e6
    features = get_preprocessor(MIXED).expand([array(leaf) for leaf in leaves])
    results = filtered.apply(features, [None if there is None else array(there) for there in presence])
    for i, (result, feature) in enumerate(zip(results, features, strict=True)):
        assert result is feature or i in (X, POSITION)
    clip = np.inf if name == "MeanStdFilter" else 10
    mean, deviation = filtered.affine()[X]
    expected = np.clip((leaves[X] - mean) / deviation, -clip, clip) * presence[X][..., None]
    np.testing.assert_allclose(results[X], expected, rtol=1e-5, atol=1e-5)
    assert type(results[X]) is type(features[X])
    assert float(results[POSITION].max()) == (10 if clip == 10 else pytest.approx(1e6 / 4, rel=0.5))


def test_single_numbers_are_leaves_like_others():
    filtered = ObservationFilter("MeanStdFilter", get_preprocessor(MIXED).specs, cell=IN_TORCH)
    leaves, presence = observations(np.random.default_rng(0))
    filtered.push(leaves, presence)
    features = get_preprocessor(MIXED).expand([torch.as_tensor(leaf) for leaf in leaves])
    result = filtered.apply(features, [None if there is None else torch.as_tensor(there) for there in presence])
    expected = (leaves[HIDDEN] - leaves[HIDDEN].mean()) / leaves[HIDDEN].std(ddof=1)
    np.testing.assert_allclose(result[HIDDEN], expected, rtol=1e-4, atol=1e-5)


def test_more_batch_dimensions_are_rows_like_others():
    flat, folded = mixed_filter(), mixed_filter()
    leaves, presence = observations(np.random.default_rng(0))
    flat.push(leaves, presence)

    def fold(array):
        return None if array is None else array.reshape(4, 5, *array.shape[1:])

    folded.push([fold(leaf) for leaf in leaves], [fold(there) for there in presence])
    assert flat.state().keys() == folded.state().keys()
    for key, value in flat.state().items():
        np.testing.assert_allclose(folded.state()[key], value)


def test_no_observation_changes_nothing():
    filtered = mixed_filter()
    leaves, presence = observations(np.random.default_rng(0), rows=0)
    filtered.push(leaves, presence)
    assert {int(value) for key, value in filtered.state().items() if key.endswith(".n")} == {0}
    features = get_preprocessor(MIXED).expand(leaves)
    assert [one.shape for one in filtered.apply(features, presence)] == [one.shape for one in features]


def test_pictures_enter_in_small_parts_and_as_they_are_scaled(monkeypatch):
    specs = get_preprocessor(Box(0, 255, (8, 8, 3), np.uint8)).specs
    pictures = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), np.uint8)
    sizes = []

    push = MeanStdFilter.push

    def recorded(self, batch):
        sizes.append(batch.size)
        push(self, batch)

    monkeypatch.setattr(MeanStdFilter, "push", recorded)
    monkeypatch.setattr(observation_filter, "CHUNK", 2000)
    filtered = ObservationFilter("MeanStdFilter", specs)
    filtered.push([pictures], [None])
    assert sum(sizes) == pictures.size
    assert max(sizes) <= 2000
    scaled = pictures / 255
    np.testing.assert_allclose(filtered.affine()[0], [scaled.mean(0), scaled.std(0, ddof=1) + 1e-6], rtol=1e-5)
    (feature,) = get_preprocessor(Box(0, 255, (8, 8, 3), np.uint8)).expand([pictures])
    (result,) = filtered.apply([feature], [None])
    np.testing.assert_allclose(result.std(0, ddof=1), np.ones((8, 8, 3)), rtol=1e-3)


def test_shifted_bytes_are_counted_as_they_are_shifted():
    memory = np.random.default_rng(0).integers(0, 256, (9, 128), np.uint8)
    filtered = ObservationFilter("MeanStdFilter", get_preprocessor(AtariRam()).specs)
    filtered.push([memory], [None])
    np.testing.assert_allclose(filtered.affine()[0][0], (memory.mean(0) - 128) / 128, atol=1e-6)


def test_statistics_survive_by_the_names_of_their_leaves():
    filtered, twin = mixed_filter(), mixed_filter()
    leaves, presence = observations(np.random.default_rng(0))
    filtered.push(leaves, presence)
    state = filtered.state()
    assert {key.rpartition("]")[0] + "]" for key in state} == {'obs["items"][...]["x"]', 'obs["position"]'}
    twin.load_state(state)
    features = get_preprocessor(MIXED).expand(leaves)
    for one, other in zip(twin.apply(features, presence), filtered.apply(features, presence), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(KeyError, match="items"):
        twin.load_state({})
    with pytest.raises(ValueError, match="expected statistics of shape"):
        twin.load_state({key: np.zeros(7) for key in state})


def test_each_statistic_is_kept_once_and_twice_in_earlier_checkpoints():
    filtered = mixed_filter()
    filtered.push(*observations(np.random.default_rng(0)))
    state = filtered.state()
    assert {key.rpartition("]")[2] for key in state} == {f".running_stats.{key}" for key in ("n", "mean", "squares")}
    earlier = {**state, **{key.replace("running_stats", "buffer"): value for key, value in state.items()}}
    others = {key: value for key, value in state.items() if "items" in key}
    assert [filtered.takes(one) for one in (state, earlier, others, {})] == [True, True, False, False]


def test_there_may_be_nothing_to_filter():
    numbers = ObservationFilter("MeanStdFilter", get_preprocessor(Discrete(3)).specs)
    nothing, something = mixed_filter("NoFilter"), mixed_filter()
    assert (numbers.active, nothing.active, something.active) == (False, False, True)
    leaves, presence = observations(np.random.default_rng(0))
    nothing.push(leaves, presence)
    assert nothing.state() == nothing.affine() == {}
    features = get_preprocessor(MIXED).expand(leaves)
    assert all(one is other for one, other in zip(nothing.apply(features, presence), features, strict=True))
    with pytest.raises(ConfigError, match="`observation_filter` is 'MeanStd', but the filters are"):
        ObservationFilter("MeanStd", get_preprocessor(Discrete(3)).specs)
