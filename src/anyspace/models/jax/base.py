"""``JaxModelV2``: the base class of every JAX model, built in or custom."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import numpy.typing as npt

from anyspace.errors import ModelError
from anyspace.maths.xp import Array, Rng
from anyspace.models.compat import made_of
from anyspace.models.host import for_a_file
from anyspace.models.jax.held import Arrays, Held, Leaves, NnxObjects, find, is_own, modules_in
from anyspace.models.modelv2 import ModelV2
from anyspace.models.pure.base import ArrayModel, is_norm

NETWORKS = "anyspace.models.jax.networks"
"""The module whose classes run in NumPy as they run in JAX."""


class Keys:
    """Gives keys that were not used before, all from one.

    Args:
        key: the first one.
    """

    def __init__(self, key: Array):
        self._key = key

    def fresh(self) -> Array:
        """Return the next key."""
        self._key, key = jax.random.split(self._key)
        return key


KEYS: ContextVar[Keys | None] = ContextVar("keys", default=None)
"""Where draws of the pass that is being traced come from; None: no pass is traced."""


class JaxModelV2(ArrayModel):
    """A :class:`ModelV2` for JAX: it holds modules of ``flax.nnx`` or Equinox, trees of ``jax.Array``, or other models.

    Make all of them in the constructor, after ``super().__init__``. Floating arrays of JAX and ``nnx.Param`` are
    trained. Other variables of NNX, such as batch statistics, and trees that ``forward`` assigns anew, such as
    Equinox's ``State``, are kept as training passes leave them. Arrays of NumPy are constants.

    ``forward`` and ``value_function`` are traced by ``jax.jit``: they take arrays of fixed shapes, and Python in them
    runs when a step is compiled, not when it is taken. What they keep on ``self`` is there until the pass ends.

    Attributes:
        weights: arrays that a built-in network adopted, by name.
        seed: depends on the algorithm's ``seed``: ``nnx.Rngs(self.seed)``, ``jax.random.key(self.seed)``.
        training: whether the pass is part of a gradient step.
    """

    framework = "jax"

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "jax_model",
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.seed = random.getrandbits(31)
        self.training = False
        self._held: Held | None = None

    def random_key(self) -> Array:
        """Return a key for a draw in ``forward``, a new one in every pass: for dropout, for noise.

        Raises:
            ModelError: no pass is running.
        """
        keys = KEYS.get()
        if keys is None:
            raise ModelError(
                f"{type(self).__name__}.random_key() gives keys while forward() is traced; elsewhere make one by"
                " jax.random.key(self.seed)."
            )
        return keys.fresh()

    # ---------------------------------------------------------------------------- what it holds

    def held(self) -> Held:
        """Return what the constructor left: looked for once, for later passes leave arrays of their own.

        Raises:
            ModelError: the constructor of a subclass did not call this one's.
        """
        if "_held" not in vars(self):
            raise ModelError(
                f"{type(self).__name__} cannot be built: its constructor has to begin with"
                " super().__init__(obs_space, action_space, num_outputs, model_config, name)."
            )
        if self._held is None:
            self._held = find(self)
        return self._held

    @functools.cached_property
    def runs_in_numpy(self) -> bool:
        """Whether all of it is networks of this library, on weights that they adopted, without convolutions.

        NumPy takes long for these.
        """
        held = self.held()
        return held.in_numpy and not self.convolves and all(made_of(NETWORKS, type(one)) for one in held.models)

    @functools.cached_property
    def convolves(self) -> bool:
        """Whether there are kernels of convolutions over pictures among the arrays."""
        return any(len(array.shape) > 3 for array in self.held().arrays().values())

    def random_source(self) -> Rng:
        """Return a source for the draws of a training pass: a new key while one is traced, else None."""
        keys = KEYS.get()
        return None if keys is None else keys.fresh()

    def has_batch_statistics(self) -> bool:
        """Return whether training passes take statistics of a batch, so that repeated rows would change them.

        It is found for batch normalisation of ``flax.nnx`` and of Equinox. A model that computes its own overrides it.
        """
        held = self.held()
        nnx = any(part.has_batch_statistics() for part in held.parts if isinstance(part, NnxObjects))
        trees = [part.tree() for part in held.parts if isinstance(part, Leaves)]
        return nnx or any(map(_is_state, jax.tree_util.tree_leaves(trees, is_leaf=_is_state)))

    def set_training(self, training: bool) -> None:
        """Switch modules that behave differently in training, those of the models in it as well."""
        held = self.held()
        for model in held.models:
            vars(model)["training"] = training
        for part in held.parts:
            part.set_training(training)

    @contextlib.contextmanager
    def bound(self, values: Mapping[str, Array]) -> Iterator[Callable[[], Arrays]]:
        """Run with these arrays, within a trace, and be as before afterwards: nothing of a trace stays in the model.

        Outside of an algorithm's own traces, what passes draw follows ``seed``.

        Yields:
            What returns all arrays as passes have left them.

        Raises:
            ModelError: a pass made modules.
        """
        held = self.held()
        before = [dict(vars(model)) for model in held.models]
        keys = KEYS.get() or Keys(jax.random.key(self.seed))
        token = KEYS.set(keys)
        try:
            readers = [part.bind(values, keys.fresh) for part in held.parts]
            with self.making_nothing("forward"):
                yield lambda: {name: array for read in readers for name, array in read().items()}
        finally:
            KEYS.reset(token)
            for model, attributes in zip(held.models, before, strict=True):
                vars(model).clear()
                vars(model).update(attributes)

    @contextlib.contextmanager
    def making_nothing(self, method: str) -> Iterator[None]:
        """Require that a method which runs in the context makes no modules.

        Raises:
            ModelError: it does.
        """
        models = self.held().models
        there = [modules_in(model) for model in models]
        yield
        for model, known in zip(models, there, strict=True):
            _require_nothing_made(model, known, method)

    def takes_noise(self, name: str) -> bool:
        """Return whether noise on parameters changes ``name``: those of layer normalisations stay."""
        return super().takes_noise(name) and not is_norm(self.held().arrays(), name)

    def variables(self, as_dict: bool = False) -> list[Array] | dict[str, Array]:
        """Return all arrays that are held, as a list or by name."""
        arrays = self.held().arrays()
        return arrays if as_dict else list(arrays.values())

    def trainable_variables(self, as_dict: bool = False) -> list[Array] | dict[str, Array]:
        """Return the arrays that gradient steps move, as a list or by name."""
        held = self.held()
        arrays = {name: array for name, array in held.arrays().items() if name in held.trained}
        return arrays if as_dict else list(arrays.values())

    def _keep(self, name: str, value: Any) -> None:
        self.__dict__[name] = value


def _is_state(value: object) -> bool:
    """Whether a value is Equinox's ``State``."""
    return type(value).__name__ == "State" and type(value).__module__.startswith("equinox")


def _require_nothing_made(model: ModelV2, before: Sequence[tuple[str, object]], method: str) -> None:
    """Require that a method made no modules. One of Equinox may take the place of another: it holds changed state."""
    attributes, known = {name for name, _ in before}, {id(module) for _, module in before}
    for name, module in modules_in(model):
        if id(module) not in known and (is_own(module) or name not in attributes):
            raise ModelError(
                f"{type(model).__name__}.{method}() makes `{name}`, a {type(module).__name__}, which would be made anew"
                " in every pass and never be trained: make it in the constructor."
            )


def jax_base(model: ModelV2) -> JaxModelV2:
    """Return a model as what JAX's runtime works with.

    Raises:
        ModelError: it is no JaxModelV2.
    """
    if not isinstance(model, JaxModelV2):
        raise ModelError(f"{type(model).__name__} is no JAX model; derive it from JaxModelV2.")
    return model


def as_numpy(array: Array) -> npt.NDArray[Any]:
    """Return an array as NumPy's, for a file; a key as the integers it is made of."""
    if isinstance(array, jax.Array) and jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(array))
    return for_a_file(np.asarray(array))
