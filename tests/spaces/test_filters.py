import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anyspace.errors import ConfigError
from anyspace.spaces import MeanStdFilter, NoFilter, RunningStat, get_filter

BATCHES = st.lists(
    st.integers(0, 5).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.floats(-1e3, 1e3))), max_size=5
)


def seen(*values, shape=()):
    stat = RunningStat(shape)
    for value in values:
        stat.push(value)
    return stat


@pytest.mark.spec(40)
def test_the_numbers_of_a_sequence():
    filtered = MeanStdFilter((2,))
    results = [filtered(np.array(x, np.float64)) for x in ([1, 10], [2, 30], [4, 20])]
    np.testing.assert_allclose(results, [[0, 0], [0.7071, 0.7071], [1.0911, 0]], atol=1e-4)
    np.testing.assert_allclose(filtered.running_stats.mean, [7 / 3, 20])
    np.testing.assert_allclose(filtered.running_stats.var, [7 / 3, 100])


@pytest.mark.spec(41)
def test_clipping():
    bare, configured = MeanStdFilter(()), get_filter("MeanStdFilter", ())
    concurrent = get_filter("ConcurrentMeanStdFilter", ())
    for one in (bare, configured, concurrent):
        one.push(np.array([-1.0, 0, 1]))
    far = np.array(100.0)
    assert (bare(far, update=False), concurrent(far, update=False)) == (10, 10)
    assert bare.apply(-far) == -10
    assert configured(far, update=False) == pytest.approx(100, rel=1e-5)
    assert (bare.clip, configured.clip, concurrent.clip) == (10, None, 10)


@pytest.mark.spec(42)
def test_merging():
    stat = seen(1, 2, 3)
    stat.merge(seen(10, 20))
    assert stat.n == 5
    assert stat.mean == pytest.approx(7.2)
    assert stat.var == pytest.approx(63.7)
    stat.merge(RunningStat(()))
    assert stat.n == 5


def test_a_scalar_statistic_can_be_pushed_after_a_merge():
    stat = seen(1, 2)
    stat.merge(seen(3))
    stat.push(4)
    assert (stat.n, stat.mean, stat.var) == (4, 2.5, pytest.approx(5 / 3))


def test_before_two_observations_the_squared_mean_is_the_variance():
    assert (seen(3).var, seen(3).std, seen().var) == (9, 3, 0)
    assert MeanStdFilter((), demean=False)(4.0) == pytest.approx(1, abs=1e-6)


@pytest.mark.spec(45)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_integers_are_filtered_as_floats(dtype):
    filtered = MeanStdFilter((1,))
    results = [filtered(np.array([x], dtype)) for x in (1, 2, 0)]
    assert {result.dtype for result in results} == {np.dtype(np.float32)}
    np.testing.assert_allclose(results, [[0], [0.7071], [-1]], atol=1e-4)
    assert filtered.apply(np.array([[0]], dtype)).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_keep_their_dtype(dtype):
    filtered = MeanStdFilter((2,))
    assert filtered(np.ones(2, dtype)).dtype == dtype
    assert filtered.apply(np.ones((3, 2), dtype)).dtype == dtype


@pytest.mark.spec(46)
def test_frozen_statistics():
    filtered = MeanStdFilter(())
    filtered.push(np.array([0.0, 2.0]))
    assert filtered(5.0, update=False) == pytest.approx(4 / 2**0.5, rel=1e-5)
    filtered.apply(np.array([5.0]))
    assert (filtered.running_stats.n, filtered.running_stats.mean) == (2, 1)


def test_a_batch_counts_row_by_row_before_any_row_is_normalised():
    one, many = MeanStdFilter((2,)), MeanStdFilter((2,))
    rows = np.random.default_rng(0).normal(3, 2, (5, 2))
    for row in rows:
        one(row)
    np.testing.assert_allclose(many(rows), one(rows, update=False))
    assert many.running_stats.n == 5


@given(BATCHES, BATCHES)
@settings(deadline=None, max_examples=60)
def test_batches_and_merges_equal_all_values_at_once(first, second):
    stat, other = RunningStat((2,)), RunningStat((2,))
    for batch in first:
        stat.push_batch(batch)
    for batch in second:
        other.push_batch(batch)
    stat.merge(other)
    everything = np.concatenate([np.zeros((0, 2)), *first, *second])
    assert stat.n == len(everything)
    if stat.n > 1:
        np.testing.assert_allclose(stat.mean, everything.mean(0), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(stat.var, everything.var(0, ddof=1), rtol=1e-9, atol=1e-9)


def test_apply_is_the_identity_until_two_observations_are_in():
    filtered, x = MeanStdFilter((2,)), np.array([[3.0, -4.0]])
    for _ in range(2):
        np.testing.assert_array_equal(filtered.apply(x), x)
        np.testing.assert_array_equal(filtered.affine(), [[0, 0], [1, 1]])
        filtered.push(np.array([[1.0, 2.0]]) * (filtered.running_stats.n + 1))
    assert not np.allclose(filtered.apply(x), x)


@pytest.mark.parametrize(("demean", "destd"), [(True, True), (True, False), (False, True), (False, False)])
def test_affine_is_apply(demean, destd):
    filtered = MeanStdFilter((2,), demean, destd, clip=None)
    rows = np.random.default_rng(0).normal(3, 2, (50, 2)).astype(np.float32)
    filtered.push(rows)
    mean, deviation = filtered.affine()
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose((rows - mean) / deviation, filtered.apply(rows), rtol=1e-5, atol=1e-6)
    expected = (rows - rows.mean(0) * demean) / (rows.std(0, ddof=1) if destd else 1)
    np.testing.assert_allclose(filtered.apply(rows), expected, rtol=1e-4, atol=1e-5)


def test_a_constant_slot_divides_by_a_millionth():
    filtered = MeanStdFilter((1,), clip=None)
    filtered.push(np.full((2, 1), 5.0))
    np.testing.assert_allclose(filtered.affine(), [[5], [1e-6]])
    np.testing.assert_allclose(filtered.apply(np.array([5.0 + 3e-6])), [3], rtol=1e-3)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_state_survives(shape):
    filtered, twin = MeanStdFilter(shape), MeanStdFilter(shape)
    rows = np.random.default_rng(0).standard_normal((7, *shape))
    filtered.push(rows)
    twin.load_state(filtered.state())
    assert all(isinstance(value, np.ndarray) for value in filtered.state().values())
    for one in (filtered, twin):
        one.push(rows[:2])
    np.testing.assert_array_equal(twin.apply(rows), filtered.apply(rows))
    assert twin.running_stats.n == 9
    with pytest.raises(ValueError, match="expected statistics of shape"):
        MeanStdFilter((9,)).load_state(filtered.state())


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((4, 3)), np.float64(1)])
def test_another_shape_is_refused(x):
    with pytest.raises(ValueError, match=r"expected .*2,"):
        MeanStdFilter((2,))(x)
    with pytest.raises(ValueError, match=r"expected .* shape \(2,\), got"):
        RunningStat((2,)).push(x)


@pytest.mark.parametrize("x", [np.zeros(1), np.zeros((2, 1)), np.zeros((2, 3)), np.zeros(())])
def test_another_shape_is_refused_without_statistics_too(x):
    filtered = MeanStdFilter((2,))
    filtered.push(np.arange(6.0).reshape(3, 2))
    for normalise in (filtered.apply, lambda given: filtered(given, update=False)):
        with pytest.raises(ValueError, match=r"expected observations of shape \(2,\), got"):
            normalise(x)
    assert filtered.apply(np.zeros((4, 5, 2))).shape == (4, 5, 2)


def test_merging_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        RunningStat((2,)).merge(RunningStat((3,)))


def test_no_filter_leaves_everything():
    nothing = NoFilter((2,))
    for value in (np.zeros(2), {"a": 1}, (1, 2)):
        assert nothing(value) is value
    assert isinstance(nothing([1, 2]), np.ndarray)
    with pytest.raises(ValueError, match="inhomogeneous"):
        nothing([[1], [1, 2]])
    nothing.push(np.ones((3, 2)))
    nothing.load_state(nothing.state())
    batch = np.ones((3, 2), np.float32)
    assert nothing.apply(batch) is batch
    assert nothing.clip is None
    np.testing.assert_array_equal(nothing.affine(), [[0, 0], [1, 1]])


def test_filters_by_name():
    assert isinstance(get_filter("NoFilter", (2,)), NoFilter)
    assert isinstance(get_filter("MeanStdFilter", (2,)), MeanStdFilter)
    with pytest.raises(ConfigError, match=r"`observation_filter` is 'MeanStd', but .* Did you mean"):
        get_filter("MeanStd", (2,))
    made = get_filter(lambda shape: MeanStdFilter(shape, clip=3.0), (2,))
    assert (made.shape, made.clip) == ((2,), 3.0)
    with pytest.raises(ConfigError, match="`observation_filter` is None"):
        get_filter(None, (2,))


@pytest.mark.parametrize("shape", [{"a": (2,), "b": None}, ((2,), (3,)), 2, None])
def test_statistics_are_of_one_array(shape):
    with pytest.raises(ConfigError, match=r"of one array, by its shape.* a filter for each part"):
        MeanStdFilter(shape)
    assert MeanStdFilter(np.array([2, 3])).shape == RunningStat([2, 3]).shape == (2, 3)
