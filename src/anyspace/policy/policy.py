"""``Policy``: preprocessor, filter, model, distribution and exploration in one object."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from anyspace import tree
from anyspace.distributions import ActionDistribution, Categorical, MultiActionDistribution, MultiCategorical
from anyspace.errors import CheckpointError, ModelError, ObservationError
from anyspace.maths.xp import Array, xp
from anyspace.models.catalog import ModelCatalog
from anyspace.models.modelv2 import InputDict, ModelV2, State, flatten_structured
from anyspace.models.runtime import CompiledForward, NumpyArray, Runtime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.exploration import StochasticSampling
from anyspace.spaces import (
    Decoder,
    MeanStdFilter,
    get_filter,
    get_preprocessor,
    require_valid,
    restore_features,
)
from anyspace.spaces.encoding import batch_shape
from anyspace.tree import Tree

Leaves = Sequence[Array]
"""An encoded observation: one array [N, ...] for each leaf of the space (``spaces.encode``)."""

Masks = NumpyArray | list[NumpyArray | None]
"""Allowed actions: bool [N, A]; for Tuple and Dict action spaces a list with one such mask or None per leaf."""


class Evaluation(NamedTuple):
    """What one forward pass gives."""

    dist_inputs: Array
    """[N, num_outputs]."""
    values: Array | None
    """[N], or None where the value was not asked for."""


class Policy:
    """Maps observations to actions, and holds all that this takes.

    Observations enter encoded (``policy.encode``); raw ones through :meth:`compute_actions`. Everything an
    action depends on is in :meth:`state`: weights, filter statistics, the random source.

    Attributes:
        encode: raw stacked observations -> encoded leaves.
        to_env: raw actions [N, ...] -> the environment's: offset, unsquashed, clipped, cast.

    Args:
        observation_space: the environment's (single) observation space.
        action_space: the environment's (single) action space.
        config: how to build it; a user's algorithm configuration is one.
        runtime: the framework and device.
        model: a ready model, in place of the catalogue's.
        seed: of the initial weights and of the random source.

    Raises:
        UnsupportedSpaceError: if a leaf of either space is not supported; it names the leaf.
        ModelError: if the model's output does not fit the action distribution.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        config: PolicyConfig,
        runtime: Runtime,
        model: ModelV2 | None = None,
        seed: int = 0,
    ):
        config.validate()
        self.observation_space = observation_space
        self.action_space = action_space
        self.config = config
        self.runtime = runtime
        self.to_env = Decoder(action_space, normalize=config.normalize_actions, clip=config.clip_actions)
        self.preprocessor = get_preprocessor(observation_space)
        self.encode = self.preprocessor.encode
        self.obs_space = self.preprocessor.observation_space if config.preprocesses else observation_space

        model_config = dataclasses.replace(config.model, _disable_preprocessor_api=not config.preprocesses)
        self.dist_factory, self.num_outputs = ModelCatalog.get_action_dist(action_space, model_config)
        with runtime.initialising(seed):
            if model is None:
                model = ModelCatalog.get_model_v2(
                    self.obs_space, action_space, self.num_outputs, model_config, runtime.framework
                )
        self.model = model
        runtime.place(self.model)
        runtime.seed(seed)
        if len(self.model.get_initial_state()):
            raise ModelError(
                f"{type(self.model).__name__} has a recurrent state (get_initial_state() is not empty), and"
                " recurrent models are not built yet in this version; return [] from it."
            )
        self.exploration = StochasticSampling()
        self._compiled: CompiledForward | None = None
        self._real = [i for i, leaf in enumerate(self.encode.specs) if leaf.kind == "real"]
        self._real_sizes = [self.encode.specs[i].width for i in self._real]
        self.filter = get_filter(config.observation_filter, (sum(self._real_sizes),))
        self._refresh_affine()
        self._check_model()

    # ------------------------------------------------------------------------------------- forward

    def evaluate(self, leaves: Leaves, *, value: bool = True, training: bool = False) -> Evaluation:
        """Run the model on encoded observations: the only place that calls ``forward``.

        Args:
            leaves: tensors [N, ...], one for each leaf of the observation space.
            value: whether to ask for the value as well, in the same trace.
            training: whether this pass belongs to a gradient step.
        """
        self.runtime.set_training(self.model, training)
        dist_inputs, _ = self.model(self.model_inputs(leaves, training))
        return Evaluation(dist_inputs, self.model.value_function() if value else None)

    def model_inputs(self, leaves: Leaves, training: bool = False) -> InputDict:
        """Return the input dict of encoded observations; its columns are computed when touched."""
        if not self.config.preprocesses:
            obs = restore_features(self.observation_space, self._filtered(list(leaves)))
            return InputDict({"obs": obs, "obs_flat": obs, "is_training": training})
        return InputDict(
            {"is_training": training},
            {
                "obs": lambda: restore_features(self.observation_space, self._features(leaves)),
                "obs_flat": lambda: flatten_structured(self._features(leaves)),
            },
        )

    def _features(self, leaves: Leaves) -> list[Array]:
        return self._filtered(self.preprocessor.expand(leaves))

    def distribution(self, dist_inputs: Array, mask: Any = None) -> ActionDistribution:
        """Return the action distribution of a model output [N, num_outputs], masked where a mask is given.

        Raises:
            ValueError: a mask is given, but the distribution takes none.
        """
        if mask is None:
            return self.dist_factory(dist_inputs, self.model)
        if "mask" not in inspect.signature(self.dist_factory).parameters:
            name = type(self._new_distribution(1)).__name__
            raise ValueError(f"a mask was given, but {name} takes none: its constructor has no `mask`.")
        return self.dist_factory(dist_inputs, self.model, mask=mask)

    # -------------------------------------------------------------------------------------- acting

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """Open the context in which :meth:`act` is called; enter it once for a whole rollout."""
        own_distribution = self.config.model.custom_action_dist is not None
        compiled = None if own_distribution else self.runtime.compiled(self.model)
        with self.runtime.acting():
            self._compiled = compiled
            try:
                yield
            finally:
                self._compiled = None

    def draw_noise(self, steps: int, rows: int) -> NumpyArray | None:
        """Draw the exploration noise [steps, rows, W] of calls of :meth:`act`, if that is possible."""
        noise = self._new_distribution(rows).draw_noise(self.runtime.rng(), steps)
        return None if noise is None else self.runtime.numpy(noise)

    def _new_distribution(self, rows: int) -> ActionDistribution:
        return self.distribution(self.runtime.asarray(np.zeros((rows, self.num_outputs), np.float32)))

    def act(
        self,
        leaves: Leaves,
        *,
        explore: bool = True,
        noise: NumpyArray | None = None,
        mask: Masks | None = None,
    ) -> Tree:
        """Return raw actions (as the distribution gives them) for encoded NumPy observations [N, ...].

        Within :meth:`acting`, models with a NumPy twin act through it; samples without noise drawn ahead, whose
        random source is the framework's, and masks go through the framework.
        """
        if self._compiled is not None and mask is None and (noise is not None or not explore):
            outputs = self._compiled(flatten_structured(self._features(leaves)))
            return self.exploration.choose(self.distribution(outputs), explore=explore, rng=None, noise=noise)
        tensors = [self.runtime.asarray(leaf) for leaf in leaves]
        allowed = tree.map_leaves(lambda leaf: None if leaf is None else self.runtime.asarray(leaf), mask)
        distribution = self.distribution(self.evaluate(tensors, value=False).dist_inputs, allowed)
        rng = None if noise is not None else self.runtime.rng()
        drawn = None if noise is None else self.runtime.asarray(noise)
        raw = self.exploration.choose(distribution, explore=explore, rng=rng, noise=drawn)
        return tree.map_leaves(self.runtime.numpy, raw)

    def compute_actions(
        self,
        observations: Tree,
        state: State | None = None,
        *,
        info: dict[str, Any] | None = None,
        mask: Masks | None = None,
        prev_reward: NumpyArray | None = None,
        explore: bool = False,
    ) -> Tree:
        """Return environment actions for stacked raw observations [N, ...], as the rollout would take them.

        Args:
            observations: stacked as a Gymnasium vector environment stacks them.
            state: what the previous call returned; a policy without memory takes and returns none.
            info: the environments' infos of this step; only views read it.
            mask: True where an action is allowed (``Masks``); for distributions that take masks.
            prev_reward: rewards [N] of the previous step; only views read it.
            explore: sample instead of taking the deterministic action.

        Raises:
            ObservationError: if an observation is not in the observation space.
            ValueError: if a mask does not fit the action space, or allows no action.
        """
        leaves = self.encode(observations)
        batch = batch_shape(self.encode.specs[0], leaves[0])
        if len(batch) != 1:
            raise ObservationError(
                f"obs: expected stacked observations [N, ...], got batch dimensions {batch}; compute_single_action"
                " takes one observation."
            )
        require_valid(self.encode.specs, leaves, lambda row: f"observation {row[0]}")
        return self._chosen(leaves, state, self._as_masks(mask), explore)

    def compute_single_action(
        self,
        observation: Tree,
        state: State | None = None,
        *,
        info: dict[str, Any] | None = None,
        mask: Array | None = None,
        prev_reward: float | None = None,
        explore: bool = False,
    ) -> Any:
        """Return the environment action for one raw observation; see :meth:`compute_actions`."""
        leaves = self.encode(observation)
        batch = batch_shape(self.encode.specs[0], leaves[0])
        if batch:
            raise ObservationError(
                f"obs: expected a single observation, got batch dimensions {batch}; compute_actions takes many."
            )
        require_valid(self.encode.specs, leaves, lambda _: "the observation")
        rows = [leaf[None] for leaf in leaves]
        return _unstacked(self.action_space, self._chosen(rows, state, self._as_masks(mask, single=True), explore))

    def _chosen(self, leaves: Sequence[NumpyArray], state: State | None, mask: Masks | None, explore: bool) -> Tree:
        if state:
            raise ValueError("a state was given, but this policy has no memory; leave `state` out.")
        with self.acting():
            return self.to_env(self.act(leaves, explore=explore, mask=mask))

    def _as_masks(self, mask: Any, *, single: bool = False) -> Masks | None:
        if mask is None:
            return None
        distribution = self._new_distribution(1)
        if not isinstance(distribution, MultiActionDistribution):
            return _rows_of_mask(mask, single, distribution)
        children = distribution.children
        if not isinstance(mask, list | tuple) or len(mask) != len(children):
            raise ValueError(
                f"mask: expected a list of {len(children)} masks for {self.action_space}, one or None for each leaf."
            )
        pairs = zip(mask, children, strict=True)
        return [None if leaf is None else _rows_of_mask(leaf, single, child) for leaf, child in pairs]

    # -------------------------------------------------------------------------------------- filter

    def push(self, leaves: Sequence[NumpyArray]) -> None:
        """Add collected observations [N, ...] to the filter's statistics."""
        if isinstance(self.filter, MeanStdFilter) and self._real and len(leaves[0]):
            flat = [np.asarray(leaves[i], np.float64).reshape(len(leaves[i]), -1) for i in self._real]
            self.filter.push(np.concatenate(flat, axis=1))
            self._refresh_affine()

    def _filtered(self, features: list[Array]) -> list[Array]:
        features = list(features)
        clip = self.filter.clip
        affine = self._numpy_affine if isinstance(features[0], np.ndarray) else self._affine
        for i, (mean, deviation) in affine.items():
            feature = (features[i] - mean) / deviation
            features[i] = feature if clip is None else xp(feature).clip(feature, -clip, clip)
        return features

    def _refresh_affine(self) -> None:
        """Lay out mean and deviation of each leaf that is normalised, as NumPy arrays and on the device."""
        self._numpy_affine: dict[int, tuple[NumpyArray, NumpyArray]] = {}
        if isinstance(self.filter, MeanStdFilter) and self._real:
            stops = np.cumsum(self._real_sizes)[:-1]
            means, deviations = (np.split(part, stops) for part in self.filter.affine())
            for i, mean, deviation in zip(self._real, means, deviations, strict=True):
                shape = self.encode.specs[i].shape
                self._numpy_affine[i] = mean.reshape(shape).copy(), deviation.reshape(shape).copy()
        asarray = self.runtime.asarray
        self._affine = {i: (asarray(mean), asarray(deviation)) for i, (mean, deviation) in self._numpy_affine.items()}

    # --------------------------------------------------------------------------------------- state

    def state(self) -> dict[str, NumpyArray]:
        """Return everything an action depends on, by name: weights, filter statistics, random source."""
        weights = {f"model/{name}": value for name, value in self.runtime.parameters(self.model).items()}
        statistics = {f"filter/{name}": value for name, value in self.filter.state().items()}
        return {**weights, **statistics, "rng": self.runtime.rng_state()}

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self.load_weights(state)
        self.runtime.set_rng_state(np.asarray(state["rng"], np.uint8))

    def load_weights(self, state: dict[str, NumpyArray]) -> None:
        """Take over weights and filter statistics, not the random source.

        Raises:
            CheckpointError: if they do not fit the model, or were trained with another kind of filter.
        """
        statistics = _under("filter/", state)
        if statistics.keys() != self.filter.state().keys():
            raise CheckpointError(
                f"the weights were trained {'with' if statistics else 'without'} an observation filter, but"
                f" `observation_filter` is {self.config.observation_filter!r}; set it as it was then."
            )
        self.runtime.load_parameters(self.model, _under("model/", state))
        self.filter.load_state(statistics)
        self._refresh_affine()

    # --------------------------------------------------------------------------------------- build

    def _check_model(self) -> None:
        rows = 2
        leaves = [np.zeros((rows, *leaf.shape), leaf.dtype) for leaf in self.encode.specs]
        name, has_value = type(self.model).__name__, type(self.model).value_function is not ModelV2.value_function
        with self.runtime.acting():
            output, values = self.evaluate([self.runtime.asarray(leaf) for leaf in leaves], value=has_value)
        expected = (rows, self.num_outputs)
        if tuple(output.shape) != expected:
            raise ModelError(
                f"{name}.forward() gave an output of shape {tuple(output.shape)} for {rows} observations, but the"
                f" distribution of {self.action_space} takes {expected}. Make its last layer num_outputs ="
                f" {self.num_outputs} wide."
            )
        if values is not None and tuple(values.shape) != (rows,):
            # One column too many would make [N, N] of the loss, and nobody would see why it does not learn.
            raise ModelError(
                f"{name}.value_function() gave values of shape {tuple(values.shape)} for {rows} observations, but"
                f" one each, {(rows,)}, is expected. Squeeze the last dimension."
            )


def _rows_of_mask(mask: Any, single: bool, distribution: ActionDistribution) -> NumpyArray:
    """Return a user's mask for one leaf as [N, A]."""
    rows = np.asarray(mask)[None] if single else np.asarray(mask)
    width = distribution.inputs.shape[-1]
    if isinstance(distribution, Categorical | MultiCategorical) and rows.shape[1:] != (width,):
        raise ValueError(f"mask: expected {width} values for each action, got shape {np.asarray(mask).shape}.")
    if not rows.any(axis=-1).all():
        raise ValueError(f"mask: it allows no action at all: {np.asarray(mask).tolist()}.")
    return rows


def _unstacked(space: gym.Space[Any], actions: Tree) -> Any:
    """Return the one action of stacked ones; that of a Box is an array even at rank 0, as its samples are."""
    if isinstance(space, spaces.Dict):
        return {key: _unstacked(child, actions[key]) for key, child in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_unstacked(child, part) for child, part in zip(space.spaces, actions, strict=True))
    return actions[0, ...] if isinstance(space, spaces.Box) else actions[0]


def _under(prefix: str, state: dict[str, NumpyArray]) -> dict[str, NumpyArray]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
