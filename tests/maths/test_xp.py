import subprocess
import sys

import jax
import numpy as np
import pytest
import torch

from anyspace.maths import xp
from maths.frameworks import Framework


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


def test_shared_functions_agree_with_numpy(framework: Framework) -> None:
    data = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    x, ns = framework.array(data), xp(framework.array(data))
    expected = {
        "exp": (ns.exp(x), np.exp(data)),
        "where": (ns.where(x > 0, x, 0.0), np.maximum(data, 0.0)),
        "clip": (ns.clip(x, -0.5, 0.5), np.clip(data, -0.5, 0.5)),
        "clip above": (ns.clip(x, None, 0.5), np.minimum(data, 0.5)),
        "sum": (ns.sum(x), data.sum()),
        "sum axis": (ns.sum(x, axis=-1, keepdims=True), data.sum(-1, keepdims=True)),
        "mean": (ns.mean(x, axis=0), data.mean(0)),
        "max": (ns.max(x, axis=-1), data.max(-1)),
        "any": (ns.any(x > 1.0, axis=-1, keepdims=True), (data > 1.0).any(-1, keepdims=True)),
        "argmax": (ns.argmax(x, axis=-1), data.argmax(-1)),
        "concatenate": (ns.concatenate([x, x], axis=-1), np.hstack([data, data])),
        "stack": (ns.stack([x, x], axis=-1), np.dstack([data, data])),
        "log_softmax": (ns.log_softmax(x), data - np.log(np.exp(data).sum(-1, keepdims=True))),
        "take": (ns.take_along_axis(x, framework.array([[1], [0], [3]], np.int64), axis=-1)[:, 0],
                 data[[0, 1, 2], [1, 0, 3]]),
        "arange": (ns.arange(3, like=x), np.arange(3)),
    }  # fmt: skip
    for name, (ours, numpys) in expected.items():
        assert isinstance(ours, (framework.kind, np.generic)), name
        np.testing.assert_allclose(np.asarray(ours), numpys, rtol=1e-5, atol=1e-6, err_msg=name)


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


@pytest.mark.parametrize("draw", ["normal", "gumbel"])
def test_noise_without_a_source(framework: Framework, draw: str) -> None:
    like = framework.array([0.0])
    function = getattr(xp(like), draw)
    if framework.name == "jax":
        with pytest.raises(TypeError, match="key"):
            function(None, (2,), like=like)
    else:
        assert not np.array_equal(function(None, (2,), like=like), function(None, (2,), like=like))


def test_split_sources_are_independent(framework: Framework) -> None:
    like = framework.array([0.0])
    first, second = xp(like).split(framework.rng(0), 2)
    draws = [np.asarray(xp(like).normal(rng, (4,), like=like)) for rng in (first, second)]
    assert not np.array_equal(*draws)
