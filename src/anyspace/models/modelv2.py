"""The contract of a model: what goes in, what comes out, what a custom model may override."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace.errors import ModelError
from anyspace.maths.xp import Array, Rng, xp
from anyspace.models.config import ModelConfig
from anyspace.models.input_dict import Compute, InputDict, flatten_structured
from anyspace.models.view_requirement import ViewRequirement
from anyspace.spaces.restore import PreprocessedBox, restore_original_dimensions
from anyspace.tree import Tree

State = list[Array]

_NORM = re.compile(r"(^|[^a-z])(layer|rms)?_?norm(\d|[^a-z]|$)", re.IGNORECASE)


def is_own(method: Callable[..., Any], inherited: Callable[..., Any]) -> bool:
    """Return whether a method of an object is not the inherited one, but of its class or set on the object itself."""
    return getattr(method, "__func__", None) is not inherited


class ModelV2:
    """A network that maps an input dict to the parameters of an action distribution, and to a value.

    Subclasses implement :meth:`forward` and, for algorithms with a critic, :meth:`value_function`.

    Args:
        obs_space: the preprocessed observation space; its ``original_space`` is the environment's.
        action_space: the environment's action space.
        num_outputs: width of the output, as the action distribution needs it. ``None`` asks for a feature
            model without an output layer, which sets ``num_outputs`` to the width of its features.
        model_config: every key of the model configuration, as a dict or a :class:`ModelConfig`; kept as a dict.
        name: the model's name.

    Attributes:
        time_major: whether recurrent inputs come as [T, B, ...], and the rows of outputs and values step after step.
        view_requirements: what the model sees beside the present observation, by the name of the input column.
        without_heads: the settings with which a custom model puts out what an algorithm's heads on it would make, for
            messages; empty: there are no heads.
        networks_of: the algorithm whose networks it holds, each of which may be a custom model; None: it holds none.
    """

    framework: str = ""
    without_heads: str = ""
    networks_of: str | None = None

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any] | ModelConfig,
        name: str = "default_model",
    ):
        model_config = model_config.as_dict() if isinstance(model_config, ModelConfig) else model_config
        self.obs_space = obs_space
        self.action_space = action_space
        self.num_outputs = num_outputs
        self.model_config = model_config
        self.name = name
        self.time_major = model_config.get("_time_major") is True
        self.view_requirements: dict[str, ViewRequirement] = {"obs": ViewRequirement(space=obs_space)}
        self._last_output: Array | None = None

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Array, State]:
        """Return ``(output [N, num_outputs], new states)``.

        ``input_dict["obs"]`` is the structured observation, ``input_dict["obs_flat"]`` the flat [N, F] one,
        ``input_dict["is_training"]`` tells a gradient step from acting.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement forward(input_dict, state, seq_lens)")

    def value_function(self) -> Array:
        """Return the value estimates [N] of the latest :meth:`forward`."""
        raise NotImplementedError(f"{type(self).__name__} must implement value_function() to be trained with a critic")

    def action_inputs(self, output: Tree, mask: Array | None) -> Array:
        """Return what the action distribution takes [N, P], made of an output of :meth:`forward`.

        By default that is the output itself. A model whose output means something else says so here: a network of
        values, for one, gives the values of the actions.

        Args:
            output: of the latest :meth:`forward`, [N, num_outputs] or a tree of such arrays.
            mask: [N, A], True where a choice is allowed, or None.
        """
        return output

    def exploring_inputs(self, output: Tree, mask: Array | None, rng: Rng) -> Array:
        """Return what the action distribution takes [N, P] when acting explores.

        By default that is :meth:`action_inputs`. A model that explores by noise in its layers draws that noise here.

        Args:
            output: of the latest :meth:`forward`.
            mask: [N, A], True where a choice is allowed, or None.
            rng: the random source to draw from, the framework's own.
        """
        return self.action_inputs(output, mask)

    def group_of(self, name: str) -> str | None:
        """Return whose loss trains the parameter ``name``: the name of one of the algorithm's groups.

        By default that is None, which stands for the algorithm's first group.
        """
        return None

    def takes_noise(self, name: str) -> bool:
        """Return whether exploration by noise on parameters changes the parameter ``name`` of the network that acts.

        By default it changes all but those of layer normalisations: here what has ``norm`` as a word of its name, as in
        ``blocks.0.norm.weight`` or ``layer_norm/scale``.
        """
        return not _NORM.search(name)

    def get_initial_state(self) -> State:
        """Return the initial recurrent state, one array without batch dimension each; [] means no memory."""
        return []

    def custom_loss(self, policy_loss: list[Array], loss_inputs: dict[str, Any]) -> list[Array]:
        """Return the losses to descend: the algorithm's, with the model's own terms added.

        Args:
            policy_loss: one scalar for each of the algorithm's optimisers.
            loss_inputs: the minibatch by column names ("obs", "actions", "advantages", ...). ``obs`` is preprocessed:
                one array of its own shape, such as a picture [N, H, W, C]; flat [N, F] where it is made of parts.

        Returns:
            As many losses as came, in a list or as one array.
        """
        return policy_loss

    def has_custom_loss(self) -> bool:
        """Return whether :meth:`custom_loss` changes anything, so that it has to be called."""
        return is_own(self.custom_loss, ModelV2.custom_loss)

    def metrics(self) -> dict[str, float]:
        """Return scalars to report with every training result."""
        return {}

    def update_ops(self) -> list[Callable[[], None]]:
        """Return what to call after every gradient step, without gradients: moving averages, say."""
        return []

    def _keep(self, name: str, value: Any) -> None:
        """Set an attribute to what a pass computed, for a later call: ``self._keep("_features", features)``.

        It is ``self._features = features``, past what a framework does whenever an attribute is set.
        """
        setattr(self, name, value)

    def last_output(self) -> Array:
        """Return the output of the latest call."""
        assert self._last_output is not None, "call the model first"
        return self._last_output

    def packs_sequences(self) -> bool:
        """Whether a lane of recurrent inputs may hold several sequences; then ``state_resets`` says where they begin.

        Compiled frameworks, which pad sequences to fixed shapes, compute less that way.
        """
        return False

    def is_time_major(self) -> bool:
        """Whether recurrent inputs come as [T, B, ...]."""
        return self.time_major

    def __call__(
        self,
        input_dict: dict[str, Any] | list[dict[str, Any]],
        state: State | None = None,
        seq_lens: Array | None = None,
    ) -> tuple[Array, State]:
        """Run :meth:`forward` on an input dict, ``[input_dict]`` or ``{"obs": ...}``, and check what it returns.

        Returns:
            The output and the new states; where the model returned no state, the states that came in. States and
            lengths that are not given are looked for in the input dict (``state_in_i``, ``seq_lens``).

        Raises:
            ModelError: if no dict came, or ``forward`` does not return a pair of an output and a list of states, or
                returns no states where :meth:`get_initial_state` gives some, or the other way round.
        """
        columns = input_dict[0] if isinstance(input_dict, list) else input_dict
        inputs = self._own(columns) if isinstance(columns, InputDict) else self._complete(columns)
        inputs.taken = True
        if not state:
            state = _states_among(inputs)
        if seq_lens is None:
            seq_lens = inputs.get("seq_lens")
        result = self._run(inputs, state, seq_lens)
        if not isinstance(result, tuple | list) or len(result) != 2:
            came = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
            raise ModelError(
                f"{type(self).__name__}.forward() must return a tuple of (output, state), but returned {came}. Keep"
                " what else there is in attributes of the model, or report it by metrics()."
            )
        output, state_out = self.floats(result[0]), result[1]
        if not isinstance(state_out, list):
            raise ModelError(
                f"State output is not a list: {type(self).__name__}.forward() returned"
                f" {type(state_out).__name__} as second element; return `state` as it came or a list."
            )
        if state and not state_out and self.get_initial_state():
            raise ModelError(
                f"{type(self).__name__}.forward() returned no states, but get_initial_state() gives some: nothing would"
                " be remembered. Return the states after the last step as the second element."
            )
        if state_out and not state and not self.get_initial_state():
            raise ModelError(
                f"{type(self).__name__}.forward() returned states, but get_initial_state() gives none: nothing would be"
                " remembered. Add it, one array without batch dimension for each state, or return `state` as it came."
            )
        if self.model_config.get("always_check_shapes"):
            self._check_shape(output)
        self._keep("_last_output", output)
        return output, state_out or state

    def floats(self, found: Tree) -> Tree:
        """Return an output of this model, or its values, as formulas take them: floats are float32 at least.

        Layers that compute in float16 or bfloat16 put that out.
        """
        # What runs in NumPy are networks of this library, which are float32.
        if isinstance(found, np.ndarray) or not hasattr(found, "dtype"):
            return found
        return xp(found).widened(found)

    def _run(self, inputs: InputDict, state: State, seq_lens: Array | None) -> tuple[Array, State]:
        return self.forward(inputs, state, seq_lens)

    def _check_shape(self, output: Array) -> None:
        shape = tuple(output.shape)
        if len(shape) != 2 or shape[1] != self.num_outputs:
            raise ModelError(
                f"{type(self).__name__}.forward() gave an output of shape {shape}, but [N, {self.num_outputs}] is"
                f" expected: num_outputs = {self.num_outputs} numbers in each row."
            )

    def _own(self, columns: InputDict) -> InputDict:
        """Return inputs that are this model's to change: the columns themselves, or a view of another model's."""
        if not columns.taken:
            return columns
        return self._complete(columns, columns.scaled()) if columns.owned else columns.view()

    def from_batch(self, train_batch: Mapping[str, Any], is_training: bool = True) -> tuple[Array, State]:
        """Run the model on a batch, with the states and lengths that are among its columns; see :meth:`__call__`."""
        return self({**train_batch, "is_training": is_training})

    def _complete(self, columns: Mapping[str, Any], scaled: Mapping[str, Compute] | None = None) -> InputDict:
        """Return inputs made of what a model hands over: observations may be flat, as they are in batches."""
        if not isinstance(columns, Mapping):
            raise ModelError(
                f"{type(self).__name__} was called with a {type(columns).__name__}: a model takes a dict of its inputs,"
                " of which `obs` holds preprocessed observations [N, ...]. Write model({'obs': obs})."
            )
        if "obs" not in columns:
            came = ", ".join(map(repr, columns)) or "nothing"
            raise ModelError(
                f"{type(self).__name__} was called with a dict of {came}: `obs` is missing, which holds preprocessed"
                " observations [N, ...], flat or nested. Write model({'obs': obs})."
            )
        obs = columns["obs"]
        nested = _nested(obs, self.obs_space)
        lazy: dict[str, Compute] = {}
        if "obs_flat" not in columns or nested is not obs:
            lazy["obs_flat"] = lambda: flatten_structured(obs)
        # A sub-model is in the mode of the model that holds it, whose pass this is part of.
        return InputDict({"is_training": getattr(self, "training", False), **columns, "obs": nested}, lazy, scaled)


def _nested(obs: Tree, space: gym.Space[Any]) -> Tree:
    """Return observations nested as a preprocessed space is, where they come as its flat vectors."""
    is_flat = isinstance(space, PreprocessedBox) and tuple(getattr(obs, "shape", ()))[-1:] == space.shape
    return restore_original_dimensions(obs, space) if is_flat else obs


def _states_among(inputs: InputDict) -> State:
    found: State = []
    while f"state_in_{len(found)}" in inputs:
        found.append(inputs[f"state_in_{len(found)}"])
    return found


METHODS = frozenset(name for name, value in vars(ModelV2).items() if callable(value) and not name.startswith("_"))
"""The names of the methods that every model has."""
