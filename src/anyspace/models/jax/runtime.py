"""The JAX runtime: compiled passes, random sources, parameters. Outside of compiled calls all arrays are NumPy's."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import jax
import numpy as np
import numpy.typing as npt

from anyspace.errors import ConfigError, ModelError
from anyspace.maths.xp import Array
from anyspace.models.host import HostRuntime, changed_in, layers_of, once_in_a_trace, plain_values, require_fit
from anyspace.models.jax.base import KEYS, JaxModelV2, Keys, as_numpy, jax_base
from anyspace.models.jax.failures import explained
from anyspace.models.jax.held import is_nnx, is_parameter
from anyspace.models.jax.reach import depending, reached_by
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import Device, Layer, NumpyArray, RandomSource
from anyspace.models.whereabouts import ways_to

_LOG = logging.getLogger("anyspace")

COUNTER = "an array (jnp.zeros(())), which a pass assigns anew"
"""What counts passes."""
DRAW = "jax.random, with self.random_key()"
"""What draws random numbers in them."""


class JaxRuntime(HostRuntime):
    """JAX on one device; see :class:`anyspace.models.runtime.Runtime`.

    Args:
        device: ``auto`` is JAX's default device.

    Attributes:
        cells: every cell that was made; compiled passes take their values as arguments.

    Raises:
        ConfigError: JAX has no such device.
    """

    framework = "jax"

    def __init__(self, device: Device = "auto"):
        super().__init__()
        self._device = _device(device)
        self.device: str = "cuda" if self._device.platform == "gpu" else self._device.platform
        self._drawing: RandomSource = "evaluation"

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        raise TypeError(
            "passes that JAX has compiled hold the model that they were made for, so what runs on JAX is not copied."
            " Load the policy once more: Policy.load(path)."
        )

    # ---------------------------------------------------------------------------- models and passes

    def own(self, model: ModelV2) -> JaxModelV2:
        """Return a model as one of JAX."""
        return jax_base(model)

    def in_a_pass(self) -> bool:
        """Return whether a pass or a step is traced."""
        return KEYS.get() is not None

    def place(self, model: ModelV2) -> None:
        """Look for what the model holds; modules of users are in evaluation mode until a gradient step."""
        jax_base(model).set_training(False)

    def compile(self, model: ModelV2, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` compiled; weights, cells and random numbers are arguments."""
        own = jax_base(model)

        def traced(weights: Any, cells: Any, key: Array, *arrays: Any) -> Any:
            with self.tracing(cells, key), own.bound(weights):
                return function(*arrays)

        def tried(weights: Any, cells: Any, key: Array, *arrays: Any) -> Any:
            with self.tracing(cells, key), own.bound(weights) as read:
                function(*arrays)
                once = plain_values(own.held().models)
                found = function(*arrays)
                name = changed_in(once, plain_values(own.held().models))
                if name is not None:
                    raise ModelError(once_in_a_trace(name, counter=COUNTER, draw=DRAW))
                left = {name: new for name, new in read().items() if name in own.held().trained}
                return found, {name: new for name, new in left.items() if new is not weights[name]}

        def shapes(*values: Any) -> Any:
            operations, (found, changed) = jax.make_jaxpr(tried, return_shape=True)(*values)
            _require_computed(type(own).__name__, sorted(changed), operations.jaxpr)
            return found

        compiled = jax.jit(traced)

        def run(*arrays: Any) -> Any:
            values = own.held().on_device(), self.cell_values(), self.keys(1, self._drawing)[0], *arrays
            with explained(type(own).__name__), jax.default_device(self._device):
                if self.is_trial:
                    return jax.tree.map(lambda one: np.zeros(one.shape, one.dtype), shapes(*values))
                return jax.tree.map(np.asarray, compiled(*values))

        return run

    @contextlib.contextmanager
    def tracing(self, cells: Sequence[Array], key: Array) -> Iterator[None]:
        """Let cells have these values and draws come from this key, as long as a pass or a step is traced."""
        for cell, value in zip(self.cells, cells, strict=True):
            cell.bind(value)
        token = KEYS.set(Keys(jax.random.wrap_key_data(key)))
        try:
            yield
        finally:
            KEYS.reset(token)
            for cell in self.cells:
                cell.bind(None)

    def cell_values(self) -> list[NumpyArray]:
        """Return the present value of every cell."""
        return [cell.host for cell in self.cells]

    def on_device(self) -> AbstractContextManager[object]:
        """Return a context whose compiled steps run on the device."""
        context: AbstractContextManager[object] = jax.default_device(self._device)
        return context

    def asarray(self, array: NumpyArray) -> Array:
        """Return the array as it is; within a trace as one of JAX."""
        return jax.numpy.asarray(array) if self.in_a_pass() else array

    def native(self, array: Array) -> Array:
        """Return an array of JAX, for a distribution of the user's."""
        return array if self.in_a_pass() else jax.device_put(array, self._device)

    def numpy(self, tensor: Array) -> Any:
        """Return an array of JAX as NumPy's; on the CPU they share memory. One that is traced comes back as it is."""
        return tensor if isinstance(tensor, jax.core.Tracer) else np.asarray(tensor)

    # ------------------------------------------------------------------------------------ randomness

    def rng(self, source: RandomSource, like: Array = None) -> np.random.Generator | Array:
        """Return NumPy's generator; within a trace, and for arrays of JAX, a key that was not used before."""
        keys = KEYS.get()
        if keys is not None:
            return keys.fresh()
        if isinstance(like, jax.Array):
            return jax.random.wrap_key_data(self.keys(1, source)[0])
        return self.generators[source]

    def keys(self, count: int, source: RandomSource = "learning") -> npt.NDArray[np.uint32]:
        """Draw the keys of compiled steps or passes, [count, 2]."""
        return self.generators[source].integers(2**32, size=(count, 2), dtype=np.uint32)

    @contextlib.contextmanager
    def own_randomness(self, source: RandomSource) -> Iterator[None]:
        """Let the keys of compiled passes come from ``source``: JAX has no global one."""
        before, self._drawing = self._drawing, source
        try:
            yield
        finally:
            self._drawing = before

    # ------------------------------------------------------------------------------------ parameters

    def explaining(self, where: str) -> AbstractContextManager[object]:
        """Return the context in which JAX's errors are told of ``where``."""
        return explained(where)

    def set_training(self, model: ModelV2, training: bool) -> None:
        """Switch modules that behave differently in training, where the mode differs."""
        own = jax_base(model)
        if own.training != training:
            own.set_training(training)

    def holders(self, model: ModelV2) -> frozenset[int]:
        """Return the ids of the variables of Flax NNX; arrays are exchanged, and nobody shares them."""
        return jax_base(model).held().variables()

    def trained(self, model: ModelV2) -> frozenset[str]:
        """Return the names of the arrays that gradient steps move."""
        return frozenset(jax_base(model).held().trained)

    def frozen(self, model: ModelV2) -> frozenset[str]:
        """Return no names: what is trained is settled by what a model is made of."""
        return frozenset()

    def freeze(self, model: ModelV2, names: frozenset[str]) -> None:
        """Leave everything as it is."""

    def narrow(self, model: ModelV2) -> frozenset[str]:
        """Return the names of the trained arrays of fewer than 32 bits."""
        held = jax_base(model).held()
        return frozenset(name for name, one in held.arrays().items() if name in held.trained and one.dtype.itemsize < 4)

    def reached(self, model: ModelV2, compute: Callable[[], Sequence[Array]]) -> list[frozenset[str]]:
        """Return to which arrays gradients go, by the operations of a trace."""
        own = jax_base(model)
        values, held = own.held().arrays(), own.held().trained

        def traced(trained: dict[str, Array], cells: Any, key: Array) -> list[Array]:
            with self.tracing(cells, key), own.bound({**values, **trained}):
                return list(compute())

        trained = {name: value for name, value in values.items() if name in held}
        with explained(type(own).__name__):
            found, constants = reached_by(traced, trained, self.cell_values(), np.zeros(2, np.uint32))
        _tell_of_constants(own, constants)
        return found

    def parameters(self, model: ModelV2) -> dict[str, NumpyArray]:
        """Return copies of all arrays by name."""
        return {name: as_numpy(value) for name, value in jax_base(model).held().arrays().items()}

    def load_parameters(self, model: ModelV2, values: dict[str, NumpyArray]) -> None:
        """Set all arrays by name; see the protocol."""
        held = jax_base(model).held()
        own = {name: as_numpy(value).shape for name, value in held.arrays().items()}
        require_fit(own, {name: value.shape for name, value in values.items()})
        held.write({name: _like(old, np.array(values[name])) for name, old in held.arrays().items()})

    def layers(self, model: ModelV2) -> list[Layer]:
        """Return what holds parameters, in order."""
        return layers_of({name: as_numpy(value).shape for name, value in jax_base(model).held().arrays().items()})


def _require_computed(name: str, changed: Sequence[str], operations: Any) -> None:
    """Require that weights which a pass sets are computed from something: from earlier ones, from inputs, from a key.

    Args:
        name: whose pass it is.
        changed: the names of such weights, which are the last outputs.
        operations: of the pass.
    """
    computed = depending(operations, operations.invars)
    for weight, is_computed in zip(changed, computed[len(computed) - len(changed) :], strict=True):
        if not is_computed:
            raise ModelError(
                f"{name}.forward() makes `{weight}` anew in every pass, so that it would never be trained: make it in"
                " the constructor alone."
            )


def _tell_of_constants(model: JaxModelV2, constants: Sequence[Array]) -> None:
    """Say of arrays that a model has somewhere, and computes with, that they are no weights; they may be meant so.

    Raises:
        ModelError: it is of an ``nnx.Param``, which is meant to be trained.
    """
    name = type(model).__name__
    floating = [one for one in constants if one.ndim and jax.numpy.issubdtype(one.dtype, np.inexact)]
    ways = list(ways_to(model, floating).values())
    for way in ways:
        if is_parameter(way.holders[-1]):
            raise ModelError(
                f"{name} computes with {name}.{way.path.rpartition('.')[0]} as it is now: {_NOT_FOUND}. {_HOLD}; hold a"
                " module that is to stay as it is as an attribute as well, and use jax.lax.stop_gradient there."
            )
    # A table in a module of Flax NNX, which says what it trains, is meant so.
    told = [way.path for way in ways if not is_nnx(way.holders[-1])]
    if told:
        more = f", and with {len(told) - 1} more," if len(told) > 1 else ""
        _LOG.warning(
            f"{name} computes with {name}.{told[0]}{more} as it is now: {_NOT_FOUND}. {_HOLD}; what is to stay as it"
            " is, keep as an array of NumPy."
        )


_NOT_FOUND = "it is none of the arrays that are trained and saved"
_HOLD = (
    "What is to learn, hold as an attribute of the model, or in dicts, lists and modules there, and read it there in"
    " every pass"
)


def _like(old: Array, new: NumpyArray) -> Array:
    """Return an array as the kind that it takes the place of."""
    if isinstance(old, np.ndarray):
        return new.astype(old.dtype)
    if jax.numpy.issubdtype(old.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jax.numpy.asarray(new), impl=jax.random.key_impl(old))
    return jax.numpy.asarray(new, old.dtype)


def _device(name: Device) -> Any:
    if name == "auto":
        return jax.devices()[0]
    platform = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}[name]
    try:
        return jax.devices(platform)[0]
    except RuntimeError as error:
        raise ConfigError(f"config key `device` is {name!r}, but JAX finds no such device; use 'auto'.") from error
