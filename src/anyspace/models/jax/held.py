"""What a JAX model holds: arrays in its attributes, found once, bound to a step's arguments, and taken over again.

A model may hold dicts, lists and tuples of arrays, modules of Equinox and any other class that is a tree of JAX,
modules and variables of Flax NNX, weights in NumPy (``adopt``), and other models that hold such. Arrays of JAX are
weights; arrays of NumPy elsewhere are constants.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import numpy as np

from anyspace.errors import ModelError
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import ModelV2

Arrays: TypeAlias = dict[str, Array]
"""Arrays by name: the way to them, with dots: ``base.hidden.kernel``."""

_NO_WEIGHTS = {"obs_space", "action_space", "model_config", "view_requirements", "_last_output"}
"""Attributes of every model that hold no weights."""

_TRAINED = "Param"
"""The class of Flax NNX, by name, whose variables take gradients; the others are changed by the model itself."""


@dataclass
class Held:
    """All that a model and the models in it hold."""

    models: list[ModelV2] = field(default_factory=list)
    """The model itself first, each once."""
    parts: list[HeldPart] = field(default_factory=list)
    trained: set[str] = field(default_factory=set)
    """Names of the arrays that gradient steps move."""
    in_numpy: bool = True
    """Whether all that is held was adopted, as NumPy's arrays."""

    def arrays(self) -> Arrays:
        """Return all arrays by name."""
        return {name: array for part in self.parts for name, array in part.read().items()}

    def on_device(self) -> Arrays:
        """Return all arrays by name, as arguments of a compiled call: those that one returned need not be copied."""
        return {name: array for part in self.parts for name, array in part.on_device().items()}

    def variables(self) -> frozenset[int]:
        """Return the ids of the variables of Flax NNX."""
        return frozenset(number for part in self.parts if isinstance(part, NnxObjects) for number in part.ids())

    def write(self, values: Mapping[str, Array]) -> None:
        """Take over arrays, under the names of all that is held, for good."""
        for part in self.parts:
            part.write(values)


class HeldPart:
    """Some of the arrays of one model.

    Args:
        owner: the model.
        prefix: what their names begin with.
    """

    def __init__(self, owner: ModelV2, prefix: str):
        self.owner, self.prefix = owner, prefix

    def read(self) -> Arrays:
        """Return the arrays by name."""
        raise NotImplementedError

    def on_device(self) -> Arrays:
        """Return the arrays by name, as arguments of a compiled call."""
        return self.read()

    def write(self, values: Mapping[str, Array]) -> None:
        """Take over arrays for good."""
        raise NotImplementedError

    def bind(self, values: Mapping[str, Array], fresh_key: Callable[[], Array]) -> Callable[[], Arrays]:
        """Put arrays in the place of those that are there, within a trace; return what reads them later."""
        self.write(values)
        return self.read

    def set_training(self, training: bool) -> None:
        """Switch what behaves differently in training."""


class Adopted(HeldPart):
    """The attribute ``weights``: NumPy's arrays, or within a trace that step's."""

    def __init__(self, owner: ModelV2, prefix: str):
        super().__init__(owner, prefix)
        self._written: dict[str, tuple[Array, Array]] = {}

    def read(self) -> Arrays:
        """Return the arrays by name."""
        return {f"{self.prefix}{name}": array for name, array in vars(self.owner)["weights"].items()}

    def write(self, values: Mapping[str, Array]) -> None:
        """Take over arrays for good."""
        names = vars(self.owner)["weights"]
        given = {name: values[f"{self.prefix}{name}"] for name in names}
        self._written = {name: (np.asarray(array), array) for name, array in given.items()}
        self._set({name: array for name, (array, _) in self._written.items()})

    def on_device(self) -> Arrays:
        """Return the arrays by name; those that are NumPy's view of one of JAX as that one."""
        found = {}
        for name, array in vars(self.owner)["weights"].items():
            view, original = self._written.get(name, (None, None))
            found[f"{self.prefix}{name}"] = original if view is array else array
        return found

    def bind(self, values: Mapping[str, Array], fresh_key: Callable[[], Array]) -> Callable[[], Arrays]:
        """Put a trace's arrays in their place, and return what reads them later."""
        self._set({name: values[f"{self.prefix}{name}"] for name in vars(self.owner)["weights"]})
        return self.read

    def _set(self, weights: Arrays) -> None:
        vars(self.owner)["weights"] = weights


class Leaves(HeldPart):
    """The arrays of JAX in one attribute that is a tree: a dict, a module of Equinox, a single array.

    Args:
        owner: the model.
        prefix: of the model's names.
        attribute: of the model.
    """

    def __init__(self, owner: ModelV2, prefix: str, attribute: str):
        super().__init__(owner, prefix)
        self.attribute = attribute
        try:
            leaves, _ = self._flat()
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"{type(owner).__name__}.{attribute} holds weights in a dict whose keys JAX cannot sort: take texts."
            ) from error
        self._names = [
            _joined(f"{prefix}{attribute}", path) if isinstance(leaf, jax.Array) else None for path, leaf in leaves
        ]
        _require_apart(owner, [name for name in self._names if name is not None])

    def tree(self) -> Any:
        """Return the tree."""
        return vars(self.owner)[self.attribute]

    def _flat(self) -> tuple[list[Any], Any]:
        return jax.tree_util.tree_flatten_with_path(self.tree(), is_leaf=is_own)

    def read(self) -> Arrays:
        """Return the arrays by name."""
        leaves, _ = self._flat()
        if len(leaves) != len(self._names):
            raise ModelError(
                f"{type(self.owner).__name__} changes in a pass how many parts `{self.attribute}` has, which holds"
                " weights: leave its structure as the constructor made it."
            )
        return {name: leaf for name, (_, leaf) in zip(self._names, leaves, strict=True) if name is not None}

    def write(self, values: Mapping[str, Array]) -> None:
        """Take over arrays for good."""
        leaves, structure = self._flat()
        changed = [leaf if name is None else values[name] for name, (_, leaf) in zip(self._names, leaves, strict=True)]
        vars(self.owner)[self.attribute] = jax.tree_util.tree_unflatten(structure, changed)

    def set_training(self, training: bool) -> None:
        """Switch what behaves differently in training."""
        equinox = sys.modules.get("equinox")
        if equinox is not None:
            own = vars(self.owner)
            own[self.attribute] = equinox.nn.inference_mode(own[self.attribute], value=not training)


class NnxObjects(HeldPart):
    """The modules and variables of Flax NNX in the attributes of one model, all together: they may share parts.

    Keys of random streams are no weights: every pass has fresh ones.

    Args:
        owner: the model.
        prefix: of the model's names.
        attributes: the names of the attributes.
    """

    def __init__(self, owner: ModelV2, prefix: str, attributes: list[str]):
        super().__init__(owner, prefix)
        self.attributes = attributes
        nnx = _nnx()
        variables = [
            (".".join([prefix[:-1], *map(str, path)] if prefix else map(str, path)), variable)
            for path, variable in nnx.iter_graph(self._objects())
            if isinstance(variable, nnx.Variable) and not isinstance(variable, nnx.RngState)
        ]
        _require_apart(owner, [name for name, _ in variables])
        self._variables = dict(variables)

    def _objects(self) -> dict[str, Any]:
        return {attribute: vars(self.owner)[attribute] for attribute in self.attributes}

    def ids(self) -> set[int]:
        """Return the id of each variable."""
        return set(map(id, self._variables.values()))

    def trained(self) -> set[str]:
        """Return the names of the variables that take gradients."""
        nnx = _nnx()
        return {name for name, variable in self._variables.items() if isinstance(variable, getattr(nnx, _TRAINED))}

    def has_batch_statistics(self) -> bool:
        """Return whether there are running statistics of batches."""
        return any(isinstance(variable, _nnx().BatchStat) for variable in self._variables.values())

    def read(self) -> Arrays:
        """Return the arrays by name."""
        return {name: _value(variable) for name, variable in self._variables.items()}

    def write(self, values: Mapping[str, Array]) -> None:
        """Take over arrays for good."""
        for name, variable in self._variables.items():
            _set_value(variable, values[name])

    def bind(self, values: Mapping[str, Array], fresh_key: Callable[[], Array]) -> Callable[[], Arrays]:
        """Put a trace's arrays in their place, and return what reads them later."""
        nnx = _nnx()
        definition, state = nnx.split(self._objects())

        def bound(path: tuple[Any, ...], variable: Any) -> Any:
            if not isinstance(variable, nnx.Variable):  # a table of constants
                return variable
            if isinstance(variable, nnx.RngState):
                return variable.replace(fresh_key()) if isinstance(variable, nnx.RngKey) else variable
            return variable.replace(values[self._name(path)])

        flat = [(path, bound(path, variable)) for path, variable in nnx.to_flat_state(state)]
        copies = nnx.merge(definition, nnx.from_flat_state(flat), copy=True)
        vars(self.owner).update(copies)

        def read() -> Arrays:
            found = nnx.to_flat_state(nnx.state(copies))
            return {
                self._name(path): _value(variable)
                for path, variable in found
                if isinstance(variable, nnx.Variable) and not isinstance(variable, nnx.RngState)
            }

        return read

    def _name(self, path: Iterable[Any]) -> str:
        return self.prefix + ".".join(map(str, path))

    def set_training(self, training: bool) -> None:
        """Switch what behaves differently in training."""
        nnx = _nnx()
        modules = [one for _, one in nnx.iter_graph(self._objects()) if isinstance(one, nnx.Module)]
        for module in modules:
            module.train() if training else module.eval()


def find(model: ModelV2, prefix: str = "", found: Held | None = None) -> Held:
    """Return all that a model holds.

    Raises:
        ModelError: it holds a module of another framework.
    """
    found = Held() if found is None else found
    found.models.append(model)
    nnx_attributes: list[str] = []
    for attribute, value in vars(model).items():
        if attribute in _NO_WEIGHTS:
            continue
        if attribute == "weights" and _is_adopted(value):
            part = Adopted(model, prefix)
            found.parts.append(part)
            found.trained |= _trained(part)
            continue
        leaves = list(_leaves(value))
        _require_own_framework(model, attribute, leaves)
        for path, leaf in leaves:
            if isinstance(leaf, ModelV2) and all(leaf is not one for one in found.models):
                find(leaf, _joined(f"{prefix}{attribute}", path) + ".", found)
        if any(map(is_nnx, (leaf for _, leaf in leaves))):
            nnx_attributes.append(attribute)
        elif any(isinstance(leaf, jax.Array) for _, leaf in leaves):
            tree_part = Leaves(model, prefix, attribute)
            found.parts.append(tree_part)
            found.trained |= _trained(tree_part)
            found.in_numpy = False
    if nnx_attributes:
        objects = NnxObjects(model, prefix, nnx_attributes)
        if objects.ids() & found.variables():
            raise ModelError(
                f"{type(model).__name__} and a model in it hold the same modules of Flax NNX, each of which would train"
                " copies of its own: let one of them hold a module, and hand over what it computes."
            )
        found.parts.append(objects)
        found.trained |= objects.trained()
        found.in_numpy = False
    return found


def is_nnx(value: object) -> bool:
    """Return whether a value is a module or a variable of Flax NNX."""
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(value, nnx.Pytree | nnx.Variable)


def is_parameter(value: object) -> bool:
    """Return whether a value is a variable of Flax NNX that takes gradients."""
    return is_nnx(value) and isinstance(value, getattr(_nnx(), _TRAINED))


def _nnx() -> Any:
    return sys.modules["flax.nnx"]


def _value(variable: Any) -> Array:
    """Return what a variable of NNX holds, which is an attribute of it up to Flax 0.12.0."""
    read = getattr(variable, "get_raw_value", None)
    return variable.raw_value if read is None else read()


def _set_value(variable: Any, value: Array) -> None:
    """Let a variable of NNX hold another array."""
    write = getattr(variable, "set_raw_value", None)
    if write is None:
        variable.raw_value = value
    else:
        write(value)


def _is_adopted(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(array, np.ndarray | jax.Array) for array in value.values())


def is_own(value: object) -> bool:
    """Return whether a part of a tree is looked into apart from it: another model, a module or a variable of NNX."""
    return isinstance(value, ModelV2) or is_nnx(value)


def modules_in(model: ModelV2) -> list[tuple[str, object]]:
    """Return the modules of NNX and Equinox and the models in the attributes of one model, with the attribute."""
    return [
        (attribute, leaf)
        for attribute, value in vars(model).items()
        if attribute not in _NO_WEIGHTS
        for _, leaf in _leaves(value, _is_module)
        if _is_module(leaf)
    ]


def _is_module(value: object) -> bool:
    # What a user derives from Equinox's own may be anything, a distribution say; its parts are looked into.
    return is_own(value) or type(value).__module__.startswith("equinox")


def _leaves(value: object, is_leaf: Callable[[object], bool] = is_own) -> Iterator[tuple[Any, Any]]:
    try:
        yield from jax.tree_util.tree_flatten_with_path(value, is_leaf=is_leaf)[0]
    except (TypeError, ValueError):  # a dict whose keys JAX cannot sort: 1 and "1", say
        for key, part in value.items() if isinstance(value, dict) else ():
            for path, leaf in _leaves(part, is_leaf):
                yield (jax.tree_util.DictKey(key), *path), leaf


def _joined(start: str, path: Iterable[Any]) -> str:
    return ".".join(
        [start, *(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path)]
    )


def _require_apart(owner: ModelV2, names: list[str]) -> None:
    """Require that weights have names of their own."""
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ModelError(f"{type(owner).__name__} has two weights that are called `{twice[0]}`: rename a key.")


def _trained(part: HeldPart) -> set[str]:
    """Return the names of the arrays of a part that gradient steps move: floats of any width."""
    arrays = part.read()
    return {name for name, array in arrays.items() if jax.numpy.issubdtype(array.dtype, np.inexact)}


def _require_own_framework(model: ModelV2, attribute: str, leaves: list[tuple[Any, Any]]) -> None:
    for _, leaf in leaves:
        homes = {base.__module__.partition(".")[0] for base in type(leaf).__mro__}
        other = homes & {"torch", "tensorflow", "keras", "tf_keras"}
        if other or (isinstance(leaf, ModelV2) and leaf.framework != "jax"):
            raise ModelError(
                f"{type(model).__name__}.{attribute} is a {type(leaf).__name__}, which is of another framework and"
                " would not be trained; make it with flax.nnx, Equinox or arrays of JAX."
            )
