"""``TFModelV2``: the base class of every TensorFlow model, built in or custom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import gymnasium as gym
import numpy as np
import tensorflow as tf

from anyspace.errors import ModelError
from anyspace.maths.xp import Array
from anyspace.models.compat import made_of
from anyspace.models.host import changed_in, once_in_a_trace, plain_values
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2, State
from anyspace.models.pure.base import ArrayModel, is_norm
from anyspace.models.runtime import NumpyArray
from anyspace.models.tf.held import Held, Variables, find, holds_variables, plain_variable
from anyspace.models.tf.ways import in_every_pass
from anyspace.spaces.repeated_values import any_array, map_arrays
from anyspace.tree import Tree

NETWORKS = "anyspace.models.tf.networks"
"""The module whose classes run in NumPy as they run in TensorFlow."""

COUNTER = "a tf.Variable(0, trainable=False), by assign_add()"
"""What counts passes."""
DRAW = "tf.random"
"""What draws random numbers in them."""


class Seeds:
    """Gives seeds for stateless draws that were not used before, all from one.

    Args:
        seed: the first one, two integers.
    """

    def __init__(self, seed: Array):
        self._seed = seed

    def fresh(self) -> Array:
        """Return the next seed."""
        self._seed, seed = tf.unstack(tf.random.split(self._seed, 2))
        return seed


SEEDS: ContextVar[Seeds | None] = ContextVar("seeds", default=None)
"""Where draws of the pass that runs on tensors come from; None: all is NumPy's."""


@dataclass(frozen=True, eq=False)
class Pass:
    """A call of a model's ``forward`` on tensors.

    Attributes:
        model: whose it is.
        sequences: how many sequences it is given, and how many steps each of them has, padding included; None: it has
            rows.
    """

    model: TFModelV2
    sequences: tuple[int, int] | None


RUNNING: ContextVar[Pass | None] = ContextVar("running", default=None)
"""The innermost pass that runs: for functions that ``forward`` calls, and that it hands no model."""


class TFModelV2(ArrayModel):
    """A :class:`ModelV2` for TensorFlow: it holds layers and models of Keras, ``tf.Module``, ``tf.Variable``.

    Variables are found in the attributes of the model and of the models in it, and in dicts, lists and tuples there.
    Where :meth:`register_variables` was called, those that were registered are trained, and no others of that model and
    of the models in it.

    ``forward`` gets tensors. It and ``value_function`` are compiled: Python in them runs when a step is compiled, not
    when it is taken. Code that XLA cannot compile runs as a graph, and what no graph can be made of runs eagerly.

    Attributes:
        adopted: the variables of weights that a built-in network drew, by name.
        registered: the variables of :meth:`register_variables`.
        training: whether the pass is part of a gradient step.
    """

    framework = "tf"

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "tf_model",
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.adopted: Variables = {}
        self.registered: list[Any] = []
        self.training = False
        self._counting: str | None = None

    @property
    def weights(self) -> dict[str, Array]:
        """The adopted weights by name: NumPy's, as the variables are now; in a pass on tensors these."""
        if vars(self)["_stale"]:
            self.weights = {name: variable.numpy() for name, variable in self.adopted.items()}
        weights: dict[str, Array] = vars(self)["_weights"]
        return weights

    @weights.setter
    def weights(self, weights: dict[str, Array]) -> None:
        vars(self).update(_weights=weights, _stale=False)

    def adopt(self, weights: Mapping[str, NumpyArray]) -> None:
        """Hold arrays as weights, by name: as variables, and in ``weights`` as NumPy's, which act."""
        super().adopt(weights)
        self.adopted.update({name: tf.Variable(value) for name, value in weights.items()})

    def register_variables(self, variables: Sequence[Any]) -> None:
        """Say which variables of this model are trained, in one call or several; without a call all that are found."""
        self.registered += [plain_variable(variable) for variable in variables]

    def context(self) -> AbstractContextManager[None]:
        """Return a context that does nothing, for old call sites: there are no graphs to enter."""
        return contextlib.nullcontext()

    def import_from_h5(self, h5_file: str) -> None:
        """Refuse to read weights, unless a subclass does it.

        Raises:
            NotImplementedError: always; it says what takes its place.
        """
        raise NotImplementedError(
            f"{type(self).__name__}.import_from_h5({h5_file!r}): files of HDF5 are not read here. Read it in the"
            " constructor, into the model of Keras that this one holds (load_weights), or hand arrays to"
            " algo.set_weights()."
        )

    # ---------------------------------------------------------------------------- what it holds

    def held(self) -> Held:
        """Return what the attributes hold now."""
        return find(self)

    def trained(self) -> Variables:
        """Return the variables that gradient steps move, by name."""
        held = self.held()
        speaking = [one for one in held.models if isinstance(one, TFModelV2) and one.registered]
        # A model speaks for itself and those in it, and not for the weights of heads that were put on it.
        chosen = {id(one) for model in speaking for one in (*model.registered, *model.adopted.values())}
        spoken_of = {id(one) for model in speaking for one in model.held().variables.values()}
        return {name: one for name, one in held.trained().items() if id(one) in chosen or id(one) not in spoken_of}

    def takes_noise(self, name: str) -> bool:
        """Return whether noise on parameters changes ``name``: those of layer normalisations stay."""
        return super().takes_noise(name) and not is_norm(self.held().variables, name)

    def variables(self, as_dict: bool = False) -> list[Any] | Variables:
        """Return all variables that are held, as a list or by name."""
        found = self.held().variables
        return found if as_dict else list(found.values())

    def trainable_variables(self, as_dict: bool = False) -> list[Any] | Variables:
        """Return the variables that gradient steps move, as a list or by name."""
        found = self.trained()
        return found if as_dict else list(found.values())

    @cached_property
    def runs_in_numpy(self) -> bool:
        """Whether all of it is networks of this library, on weights that they adopted, and NumPy runs them quickly."""
        held = self.held()
        return held.all_adopted and not held.convolves and all(made_of(NETWORKS, type(one)) for one in held.models)

    def tried(self, function: Callable[[], Tree]) -> Tree:
        """Call a function that makes a pass twice, eagerly, and note which attribute Python changes each time.

        A first pass makes the variables that a model makes in passes; a second one leaves things as they are.

        Raises:
            ModelError: a second one makes variables as well.
        """
        function()
        once, made = plain_values(self.held().models), []

        def create(creator: Callable[..., Any], **settings: Any) -> Any:
            made.append(creator(**settings))
            return made[-1]

        with tf.variable_creator_scope(create):
            found = function()
        if made:
            raise ModelError(in_every_pass(type(self).__name__))
        self._counting = self._counting or changed_in(once, plain_values(self.held().models))
        return found

    def has_batch_statistics(self) -> bool:
        """Return whether training passes take statistics of a batch, as batch normalisation of Keras does."""
        return any(
            base.__name__ in ("BatchNormalization", "BatchNormalizationBase")
            for layer in self.held().layers()
            for base in type(layer).__mro__
        )

    def set_training(self, training: bool) -> None:
        """Say whether passes are part of a gradient step, to the models in this one as well."""
        if self.training != training:
            for model in self.held().models:
                vars(model)["training"] = training

    @cached_property
    def adopting(self) -> dict[str, TFModelV2]:
        """Return the models that adopted weights, this one and those in it, by what the names of weights begin with."""
        found: dict[str, TFModelV2] = {}
        names = {id(variable): name for name, variable in self.held().variables.items()}
        for model in self.held().models:
            if isinstance(model, TFModelV2) and model.adopted:
                own, variable = next(iter(model.adopted.items()))
                found[names[id(variable)].removesuffix(own)] = model
        return found

    def synchronise(self, weights: Mapping[str, NumpyArray] | None = None) -> None:
        """Let NumPy's weights be what the variables are.

        Args:
            weights: their values by name; None: they are read when one is asked for next.
        """
        for prefix, model in self.adopting.items():
            if weights is None:
                vars(model)["_stale"] = True
            else:
                model.weights = {name: weights[f"{prefix}{name}"] for name in model.adopted}

    # ------------------------------------------------------------------------------------ passes

    def random_source(self) -> Any:
        """Return a seed that was not used before; None, NumPy's own source, where no pass runs on tensors."""
        seeds = SEEDS.get()
        return None if seeds is None else seeds.fresh()

    @contextlib.contextmanager
    def bound(self) -> Iterator[None]:
        """Run on tensors: adopted weights are variables. Nothing of a graph stays in the model afterwards.

        Raises:
            ModelError: passes make layers or variables anew, or a graph is made of Python that changes attributes.
        """
        models = [model for model in self.held().models if isinstance(model, TFModelV2)]
        before = [dict(vars(model)) for model in models]
        try:
            for model in models:
                model.weights = {name: tf.convert_to_tensor(variable) for name, variable in model.adopted.items()}
            with self.remaking_nothing("forward"):
                yield
            if self._counting is not None and not tf.executing_eagerly():
                raise ModelError(once_in_a_trace(self._counting, counter=COUNTER, draw=DRAW))
        finally:
            for model, attributes in zip(models, before, strict=True):
                vars(model).update({name: attributes[name] for name in ("_weights", "_stale", "training")})
                _drop_symbolic(vars(model), attributes)

    @contextlib.contextmanager
    def remaking_nothing(self, method: str) -> Iterator[None]:
        """Require that a method which runs in the context leaves layers and variables that are there.

        Raises:
            ModelError: it does not.
        """
        before = [(model, dict(vars(model))) for model in self.held().models]
        yield
        for model, attributes in before:
            _require_nothing_remade(model, attributes, method)

    def floats(self, found: Tree) -> Tree:
        """Return an output, or values, in float32, also from float64: TensorFlow does not mix them."""
        return tf.cast(found, tf.float32) if isinstance(found, tf.Tensor) and found.dtype.is_floating else found

    def _run(self, inputs: InputDict, state: State, seq_lens: Array | None) -> tuple[Array, State]:
        if SEEDS.get() is None and self.runs_in_numpy:
            return self.forward(inputs, state, seq_lens)
        lens = None if seq_lens is None else as_tensor(seq_lens)
        token = RUNNING.set(Pass(self, _sequences(inputs, lens)))
        try:
            return self.forward(inputs.mapped(partial(map_arrays, as_tensor)), [as_tensor(one) for one in state], lens)
        finally:
            RUNNING.reset(token)


def as_tensor(value: Any) -> Any:
    """Return a NumPy array as a tensor; anything else as it is."""
    return tf.convert_to_tensor(value) if isinstance(value, np.ndarray) else value


def _sequences(inputs: InputDict, seq_lens: Array | None) -> tuple[int, int] | None:
    rows = None if seq_lens is None else any_array(inputs["obs"])
    if seq_lens is None or rows is None:
        return None
    count = int(seq_lens.shape[0])
    return count, int(rows.shape[0]) // max(count, 1)


def _require_nothing_remade(model: ModelV2, before: Mapping[str, Any], method: str) -> None:
    """Require that a method left layers and variables that were there; a first pass may make some."""
    for name, value in vars(model).items():
        old = before.get(name)
        if value is not old and holds_variables(value) and holds_variables(old):
            raise ModelError(
                f"{type(model).__name__}.{method}() makes `{name}`, a {type(value).__name__}, which would be made anew"
                " in every pass and never be trained: make it in the constructor."
            )


def _drop_symbolic(attributes: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Put back what attributes were that are tensors of a graph now."""
    for name, value in list(attributes.items()):
        if value is not before.get(name) and _is_symbolic(value):
            if name in before:
                attributes[name] = before[name]
            else:
                del attributes[name]


def _is_symbolic(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_symbolic, dict.values(value)))
    if isinstance(value, list | tuple):
        return any(map(_is_symbolic, value))
    return bool(tf.is_symbolic_tensor(value))


def tf_base(model: object) -> TFModelV2:
    """Return a model as what TensorFlow's runtime works with.

    Raises:
        ModelError: it is no TFModelV2.
    """
    if not isinstance(model, TFModelV2):
        raise ModelError(f"{type(model).__name__} is no TensorFlow model; derive it from TFModelV2.")
    return model
