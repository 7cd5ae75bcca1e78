import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
import torch

from anyspace.maths import xp
from tests.support.frameworks import Framework


def test_importing_the_rooms_imports_no_framework() -> None:
    script = (
        "import sys, anyspace.maths, anyspace.distributions as d, numpy as np; "
        "d.Categorical(np.zeros((1, 2), np.float32)).sample(); "
        "assert not {'torch', 'jax', 'tensorflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("stranger", [[1.0], 1.0, None, torch.nn.Linear(1, 1), np.random.default_rng()])
def test_what_is_no_array_is_named(stranger: object) -> None:
    with pytest.raises(TypeError, match=type(stranger).__qualname__):
        xp(stranger)


def test_one_namespace_serves_all_arrays_of_a_type(framework: Framework) -> None:
    assert xp(framework.array([1.0])) is xp(framework.array([2, 3], np.int32))


def test_subclasses_scalars_and_tracers_have_a_namespace() -> None:
    assert type(xp(torch.nn.Parameter(torch.zeros(1)))) is type(xp(torch.zeros(1)))
    assert type(xp(np.float32(1.0))) is type(xp(np.zeros(1)))
    traced = jax.jit(lambda x: xp(x).one_hot(x, 3))(jax.numpy.array([2]))
    assert np.array_equal(traced, [[0.0, 0.0, 1.0]])


def test_what_there_is_not_is_answered(framework: Framework) -> None:
    with pytest.raises(AttributeError, match=r"^xp\(\) has no 'minimun'.*minimum.*docs/own-algorithm\.md"):
        xp(framework.array([1.0])).minimun  # noqa: B018


def test_shared_functions_agree_with_numpy(framework: Framework) -> None:
    data = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    x, ns = framework.array(data), xp(framework.array(data))
    expected = {
        "exp": (ns.exp(x), np.exp(data)),
        "log": (ns.log(x**2), np.log(data**2)),
        "log1p": (ns.log1p(x**2), np.log1p(data**2)),
        "tanh": (ns.tanh(x), np.tanh(data)),
        "sqrt": (ns.sqrt(x**2), np.abs(data)),
        "square": (ns.square(x), data**2),
        "minimum": (ns.minimum(x, 0.25), np.minimum(data, 0.25)),
        "minimum of arrays": (ns.minimum(x, -x), np.minimum(data, -data)),
        "maximum": (ns.maximum(x, -x), np.abs(data)),
        "var": (ns.var(x), data.var()),
        "var axis": (ns.var(x, axis=-1, keepdims=True), data.var(-1, keepdims=True)),
        "std axis": (ns.std(x, axis=0), data.std(0)),
        "relu": (ns.relu(x), np.maximum(data, 0.0)),
        "softmax": (ns.softmax(x * 30), np.exp(data * 30) / np.exp(data * 30).sum(-1, keepdims=True)),
        "arctanh": (ns.arctanh(ns.tanh(x)), data),
        "where": (ns.where(x > 0, x, 0.0), np.maximum(data, 0.0)),
        "clip": (ns.clip(x, -0.5, 0.5), np.clip(data, -0.5, 0.5)),
        "clip above": (ns.clip(x, None, 0.5), np.minimum(data, 0.5)),
        "clip by arrays": (ns.clip(x, x[0] - 1.0, x[0]), np.clip(data, data[0] - 1.0, data[0])),
        "sum": (ns.sum(x), data.sum()),
        "sum axis": (ns.sum(x, axis=-1, keepdims=True), data.sum(-1, keepdims=True)),
        "mean": (ns.mean(x, axis=0), data.mean(0)),
        "max": (ns.max(x, axis=-1), data.max(-1)),
        "min": (ns.min(x, axis=0, keepdims=True), data.min(0, keepdims=True)),
        "abs": (ns.abs(x), np.abs(data)),
        "reshape": (ns.reshape(x, (2, -1)), data.reshape(2, 6)),
        "broadcast_to": (ns.broadcast_to(x[:1], (3, 4)), np.repeat(data[:1], 3, 0)),
        "swapaxes": (ns.swapaxes(x, 0, 1), data.T),
        "searchsorted": (
            ns.searchsorted(framework.array([1, 3, 5], np.int64), framework.array([[0, 1], [4, 9]], np.int64)),
            [[0, 0], [2, 3]],
        ),
        "take_rows": (ns.take_rows(x, framework.array([[2, 0]], np.int64)), data[[[2, 0]]]),
        "take_columns": (ns.take_columns(x, framework.array([[2], [0]], np.int64)), data[:, [[2], [0]]]),
        "any": (ns.any(x > 1.0, axis=-1, keepdims=True), (data > 1.0).any(-1, keepdims=True)),
        "argmax": (ns.argmax(x, axis=-1), data.argmax(-1)),
        "concatenate": (ns.concatenate([x, x], axis=-1), np.hstack([data, data])),
        "stack": (ns.stack([x, x], axis=-1), np.dstack([data, data])),
        "log_softmax": (ns.log_softmax(x), data - np.log(np.exp(data).sum(-1, keepdims=True))),
        "take": (ns.take_along_axis(x, framework.array([[1], [0], [3]], np.int64), axis=-1)[:, 0],
                 data[[0, 1, 2], [1, 0, 3]]),
        "arange": (ns.arange(3, like=x), np.arange(3)),
        "places": (ns.places(framework.array([[7], [5]], np.int64)), np.arange(2)),
    }  # fmt: skip
    for name, (ours, numpys) in expected.items():
        assert isinstance(ours, (framework.kind, np.generic)), name
        np.testing.assert_allclose(np.asarray(ours), numpys, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32"])
def test_numbers_of_any_type_agree_with_numpy(framework: Framework, dtype: str) -> None:
    data = np.array([[200, 1, 3], [0, 2, 100]]).astype(dtype)
    x, ns = framework.array(data, dtype), xp(framework.array(data, dtype))
    large = framework.array(data > 1, "bool")
    expected = {
        "where": (ns.where(large, x, 0.5), np.where(data > 1, data, 0.5)),
        "where the other way": (ns.where(large, 0.5, x), np.where(data > 1, 0.5, data)),
        "where of numbers": (ns.where(large, 1.5, 0), np.where(data > 1, 1.5, 0)),
        "where of integers": (ns.where(large, 300, -1), np.where(data > 1, 300, -1)),
        "where of both": (
            ns.where(large, x, ns.cast(x, like=framework.array([1.0])) / 4),
            np.where(data > 1, data, data / 4),
        ),
        "sum": (ns.sum(x), data.sum()),
        "mean": (ns.mean(x), data.mean()),
        "mean axis": (ns.mean(x, axis=-1, keepdims=True), data.mean(-1, keepdims=True)),
    }
    if dtype != "bool":
        expected["clip"] = (ns.clip(x, 0.5, 2.5), np.clip(data, 0.5, 2.5))
        expected["clip above"] = (ns.clip(x, None, 1.5), np.minimum(data, 1.5))
    for name, (ours, numpys) in expected.items():
        np.testing.assert_allclose(np.asarray(ours), numpys, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 2), (0, 3))])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_are_what_loops_give(
    framework: Framework, stride: int, padding: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    rng = np.random.default_rng(0)
    pictures, kernels = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 5, 6, 3), (4, 3, 2, 3)))
    padded = np.pad(pictures, ((0, 0), *padding, (0, 0)))
    height, width = ((side - kernel) // stride + 1 for side, kernel in zip(padded.shape[1:3], (3, 2), strict=True))
    expected = np.empty((2, height, width, 4))
    for i in range(height):
        for j in range(width):
            window = padded[:, i * stride : i * stride + 3, j * stride : j * stride + 2]
            expected[:, i, j] = np.einsum("nabc,oabc->no", window, kernels)
    x = framework.array(pictures)
    found = xp(x).convolve(x, framework.array(kernels), stride, padding)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-4)


def test_a_given_gradient_changes_no_value(framework: Framework) -> None:
    x = framework.array([1, 2, 3])

    def run(x: Any) -> Any:
        cubed = xp(x).with_gradient(
            lambda x: [x * x * x], lambda x: ([x * x * x], [x]), lambda kept, back: [3 * kept[0] * kept[0] * back[0]]
        )
        return cubed(x)[0]

    np.testing.assert_allclose(np.asarray(framework.run(run, x)), [1, 8, 27])


def test_a_scan_carries_states_from_step_to_step(framework: Framework) -> None:
    x = framework.array([[1, 10], [2, 20], [3, 30]])

    def run(x: Any) -> Any:
        def step(state: list[Any], inputs: list[Any]) -> tuple[list[Any], list[Any]]:
            (total, last), (one, weight) = state, inputs
            total = total + one * weight
            return [total, one], [total - last, last]

        forth, back = (xp(x).scan(step, [x[0] * 0.0, x[0]], [x, x * 0.5], reverse=way) for way in (False, True))
        return *forth, *back

    (total, last), (changes, before), (again, first), (backward, _) = framework.run(run, x)
    np.testing.assert_allclose(np.asarray(total), [7, 700])
    np.testing.assert_allclose(np.asarray(last), [3, 30])
    np.testing.assert_allclose(np.asarray(changes), [[-0.5, 40], [1.5, 240], [5, 680]])
    np.testing.assert_allclose(np.asarray(before), [[1, 10], [1, 10], [2, 20]])
    np.testing.assert_allclose(np.asarray(again), [7, 700])
    np.testing.assert_allclose(np.asarray(first), [1, 10])
    np.testing.assert_allclose(np.asarray(backward), [[5, 680], [3.5, 620], [3.5, 440]])


def test_one_hot_of_an_index_out_of_range_is_zero(framework: Framework) -> None:
    rows = xp(framework.array([0.0])).one_hot(framework.array([2, -1, 3, 0], np.int64), 3)
    assert np.array_equal(np.asarray(rows), [[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]])
    assert np.asarray(rows).dtype == np.float32


def test_one_hot_of_bytes_reaches_beyond_255(framework: Framework) -> None:
    rows = xp(framework.array([0.0])).one_hot(framework.array([255], np.uint8), 300)
    assert np.flatnonzero(np.asarray(rows)).tolist() == [255]


@pytest.mark.parametrize(("dtype", "lent"), [("float32", "float32"), ("float16", "float32"), ("int32", None)])
def test_floats_made_like_an_array_are_never_narrow(framework: Framework, dtype: str, lent: str | None) -> None:
    like = framework.array([1, 2], dtype)
    full = np.asarray(xp(like).full((2, 3), 0.5, like=like))
    assert np.array_equal(full, np.full((2, 3), 0.5))
    assert full.dtype == lent or (lent is None and full.dtype.kind == "f")


def test_casts_and_conversions(framework: Framework) -> None:
    x = framework.array([1.7, 2.2])
    assert np.asarray(xp(x).astype(x, "int64")).tolist() == [1, 2]
    read_only = np.array([1, 2])
    read_only.setflags(write=False)
    for foreign in ([1, 2], read_only, torch.tensor([1, 2]), jax.numpy.array([1, 2])):
        ours = xp(x).asarray(foreign, like=x)
        assert isinstance(ours, framework.kind)
        assert np.asarray(ours).tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_cast_takes_the_very_dtype(framework: Framework, dtype: str) -> None:
    like = framework.array([0.0], dtype)
    for given in (2, 2.5, [1, 2], np.array([1.5, 2.5]), framework.array([1, 2], np.int64)):
        ours = xp(like).cast(given, like=like)
        assert isinstance(ours, framework.kind)
        assert np.asarray(ours).dtype == dtype
        assert np.array_equal(np.asarray(ours), np.asarray(given))


def test_special_functions(framework: Framework) -> None:
    points = np.array([1e-3, 0.3, 1.0, 1.5, 2.0, 7.9, 8.1, 100.0, 1e4])
    x = framework.array(points)
    ns = xp(x)
    reference = torch.tensor(points, dtype=torch.float64)
    for ours, expected in ((ns.lgamma(x), reference.lgamma()), (ns.digamma(x), reference.digamma())):
        assert isinstance(ours, framework.kind)
        assert np.asarray(ours).dtype == np.float32
        np.testing.assert_allclose(np.asarray(ours), expected, rtol=2e-6, atol=1e-6)


def test_the_error_function(framework: Framework) -> None:
    points = np.array([-1e9, -3.0, -0.5, -1e-4, 0.0, 1e-4, 0.5, 3.0, 1e9])
    x = framework.array(points)
    ours = xp(x).erf(x)
    assert isinstance(ours, framework.kind)
    assert np.asarray(ours).dtype == np.float32
    np.testing.assert_allclose(np.asarray(ours), torch.tensor(points).erf(), rtol=1e-6, atol=2e-7)


def test_digamma_of_numpy_is_exact() -> None:
    points = np.concatenate([np.geomspace(1e-7, 1e7, 200), np.linspace(1, 12, 200)]).reshape(20, 20)
    expected = torch.tensor(points).digamma().numpy()
    np.testing.assert_allclose(xp(points).digamma(points), expected, rtol=1e-11, atol=1e-13)
    lgamma = torch.tensor(points).lgamma().numpy()
    np.testing.assert_allclose(xp(points).lgamma(points), lgamma, rtol=1e-11, atol=1e-13)


def test_softplus_is_exact_far_out(framework: Framework) -> None:
    x = framework.array([-1000.0, -80.0, -30.0, -1.0, 0.0, 1.0, 30.0, 1000.0])
    expected = [0.0, np.exp(-80.0), np.exp(-30.0), 0.31326169, np.log(2.0), 1.31326169, 30.0, 1000.0]
    ours = xp(x).softplus(x)
    assert np.asarray(ours).dtype == np.float32
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=2e-6)


def test_softplus_has_the_gradient_of_its_tail() -> None:
    x = torch.tensor([-50.0, 0.0, 50.0], dtype=torch.float64, requires_grad=True)
    xp(x).softplus(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.sigmoid(x.detach()), rtol=1e-12, atol=0.0)


def test_stop_gradient() -> None:
    x = torch.ones(2, requires_grad=True)
    assert not xp(x).stop_gradient(x).requires_grad
    square = jax.grad(lambda x: (x * xp(x).stop_gradient(x)).sum())
    assert np.array_equal(square(jax.numpy.array([3.0])), [3.0])
    data = np.ones(2)
    assert xp(data).stop_gradient(data) is data


@pytest.mark.parametrize(("draw", "mean", "std"), [("normal", 0.0, 1.0), ("gumbel", 0.57722, 1.28255)])
def test_noise_is_seeded_standard_and_finite(framework: Framework, draw: str, mean: float, std: float) -> None:
    like = framework.array([0.0])
    function = getattr(xp(like), draw)
    first = np.asarray(function(framework.rng(0), (200, 100), like=like))
    assert first.dtype == np.float32
    assert first.shape == (200, 100)
    assert np.isfinite(first).all()
    assert abs(first.mean() - mean) < 4 * std / 20_000**0.5
    assert abs(first.std() - std) < 0.03
    assert np.array_equal(first, np.asarray(function(framework.rng(0), (200, 100), like=like)))
    assert not np.array_equal(first, np.asarray(function(framework.rng(1), (200, 100), like=like)))


def test_gamma_draws_are_seeded_and_have_their_moments(framework: Framework) -> None:
    concentration = framework.array(np.tile([1.0, 2.5, 40.0], (20_000, 1)))
    draw = xp(concentration).gamma
    first = np.asarray(draw(framework.rng(0), concentration))
    assert first.dtype == np.float32
    assert (first > 0).all()
    scale = np.sqrt([1.0, 2.5, 40.0])
    assert (np.abs(first.mean(0) - scale**2) < 4 * scale / 20_000**0.5).all()
    assert (np.abs(first.std(0) / scale - 1) < 0.04).all()
    assert np.array_equal(first, np.asarray(draw(framework.rng(0), concentration)))
    assert not np.array_equal(first, np.asarray(draw(framework.rng(1), concentration)))


def test_gamma_draws_carry_the_gradient_of_their_concentration() -> None:
    """The mean of a draw is its concentration, so that the mean of its derivative is 1."""
    concentration = torch.full((20_000,), 2.5, requires_grad=True)
    xp(concentration).gamma(torch.Generator().manual_seed(0), concentration).mean().backward()
    assert abs(float(concentration.grad.sum()) - 1.0) < 0.03
    gradients = jax.grad(lambda x: xp(x).gamma(jax.random.key(0), x).mean())(jax.numpy.full(20_000, 2.5))
    assert abs(float(gradients.sum()) - 1.0) < 0.03


@pytest.mark.parametrize("draw", ["normal", "gumbel"])
def test_noise_without_a_source(framework: Framework, draw: str) -> None:
    like = framework.array([0.0])
    function = getattr(xp(like), draw)
    if framework.name == "jax":
        with pytest.raises(TypeError, match="key"):
            function(None, (2,), like=like)
    else:
        assert not np.array_equal(function(None, (2,), like=like), function(None, (2,), like=like))


def test_gamma_draws_without_a_source(framework: Framework) -> None:
    concentration = framework.array([1.0, 2.0])
    draw = xp(concentration).gamma
    if framework.name == "jax":
        with pytest.raises(TypeError, match="key"):
            draw(None, concentration)
    else:
        assert not np.array_equal(draw(None, concentration), draw(None, concentration))


def test_split_sources_are_independent(framework: Framework) -> None:
    like = framework.array([0.0])
    first, second = xp(like).split(framework.rng(0), 2)
    draws = [np.asarray(xp(like).normal(rng, (4,), like=like)) for rng in (first, second)]
    assert not np.array_equal(*draws)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
@pytest.mark.filterwarnings("ignore:The use of `x.T`")
@pytest.mark.parametrize("shape", [(4,), (4, 3), (0, 4), (4, 2, 3)])
def test_rows_and_columns_of_any_type_are_picked(shape: tuple[int, ...], convert: Any) -> None:
    numbers = np.arange(np.prod(shape)).reshape(shape)
    for dtype in ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int64", "float16", "float64"):
        for index in ([2, 0, 2], [[2, 1], [0, 0]], []):
            data, places = numbers.astype(dtype), np.array(index, np.int64)
            for x in (convert(data), convert(np.ascontiguousarray(data.T)).T):  # strided, the second one
                if len(data):
                    np.testing.assert_equal(np.asarray(xp(x).take_rows(x, convert(places))), data[places])
                holds = np.arange(len(data)) % 2 == 0
                np.testing.assert_equal(np.asarray(xp(x).take_rows(x, convert(holds))), data[holds])
                columns = np.asarray(xp(x).take_columns(x, convert(places)))
                np.testing.assert_equal(columns, data[..., places])
                assert columns.dtype == dtype


def test_columns_are_put_where_they_belong(framework: Framework) -> None:
    x, values = framework.array(np.zeros((2, 3, 2))), framework.array([[1, 2], [3, 4], [5, 6]])
    put = xp(x).put_columns(x, framework.array([True, False, True], np.bool_), values)
    np.testing.assert_array_equal(np.asarray(put), [[[1, 2], [0, 0], [5, 6]]] * 2)


def test_sums_that_cancel_and_shares_are_exact_to_a_step_of_float32(framework: Framework) -> None:
    rng = np.random.default_rng(0)
    scale, offset = rng.uniform(0.5, 2, 64), rng.uniform(-1, 1, 64)
    data = (-offset / scale).astype(np.float32)[None]
    affine, expected = xp(framework.array(data)).affine(framework.array(data), scale, offset), offset + data * scale
    assert (np.abs(np.asarray(affine) - expected) <= np.spacing(np.abs(expected).astype(np.float32))).all()
    parts = np.float32([[3e38, 3e38, 1e30], [1, 2, 4], [0, -1, -2], [1e-30, 2e-30, 1e-37]])
    shares, positive = (
        np.asarray(xp(framework.array(parts)).shares(framework.array(parts))),
        np.maximum(parts.astype(np.float64), 1e-300),
    )
    expected = positive / positive.sum(-1, keepdims=True)
    assert (np.abs(shares - expected) <= np.maximum(np.spacing(np.float32(expected)), 1e-37)).all()
