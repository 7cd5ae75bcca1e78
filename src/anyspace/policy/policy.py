"""``Policy``: preprocessor, filter, model, distribution and exploration in one object."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.distributions import ActionDistribution
from anyspace.errors import CheckpointError, ConfigError, ModelError, ObservationError
from anyspace.maths.gather import Gathered
from anyspace.maths.xp import Array
from anyspace.models.action_dists import is_bounded
from anyspace.models.catalog import ModelCatalog
from anyspace.models.modelv2 import InputDict, ModelV2, State
from anyspace.models.runtime import CompiledForward, NumpyArray, Runtime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.exploration import StochasticSampling
from anyspace.policy.masking import Masking
from anyspace.spaces import Decoder, LeafSpec, ObservationFilter, bounded, get_preprocessor, require_valid
from anyspace.spaces.decoding import one_action
from anyspace.spaces.encoding import batch_shape
from anyspace.spaces.images import describe_images
from anyspace.tree import Tree

Leaves = Sequence[Array | Gathered]
"""An encoded observation: one array [N, ...] for each leaf of the space (``spaces.encode``), and the mask [N, A] where
the environment gives one beside the observation."""


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
        masking: finds the mask that comes with an observation.
        stacks: for each leaf that is a stack of frames, by its position, their number.
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
        self.observation_space = observation_space = bounded(observation_space, config.max_len)
        self.action_space = action_space
        self.config = config
        self.runtime = runtime
        self.to_env = Decoder(action_space, normalize=config.normalize_actions, clip=config.clip_actions)
        self.preprocessor = get_preprocessor(observation_space, scale_images=config.scale_images)
        self.encode = self.preprocessor.encode
        for sentence in describe_images(self.encode.specs):
            logging.getLogger("anyspace").warning(sentence)
        self.stacks = {i: leaf.stack for i, leaf in enumerate(self.encode.specs) if leaf.stack > 1}
        self.obs_space = self.preprocessor.observation_space if config.preprocesses else observation_space

        if not config.normalize_actions and is_bounded(config.model.custom_action_dist):
            raise ConfigError(
                f"custom_action_dist={config.model.custom_action_dist!r} draws actions between -1 and 1, which"
                " `normalize_actions` scales to the bounds; switch that on."
            )
        model_config = dataclasses.replace(config.model, _disable_preprocessor_api=not config.preprocesses)
        self.dist_factory, self.num_outputs = ModelCatalog.get_action_dist(action_space, model_config)
        self.masking = Masking(
            observation_space,
            action_space,
            self.encode,
            key=config.action_mask_key,
            distribution=self.dist_factory,
            custom_model=model is not None or model_config.custom_model is not None,
        )
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
        self.filter = ObservationFilter(
            config.observation_filter,
            self.preprocessor.specs if config.preprocesses else _unscaled(self.preprocessor.specs),
            exclude=frozenset(self.masking.positions),
            to_device=runtime.asarray,
        )
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
        """Return the input dict of encoded observations; its columns are computed when touched.

        ``action_mask`` [N, A], booleans, is among them where a mask comes with the observation.
        """
        arrays = [leaf.put_together() if isinstance(leaf, Gathered) else leaf for leaf in leaves]
        own, mask = self.masking.observation(arrays), self.masking.find(arrays)
        masks = {} if mask is None else {"action_mask": mask}
        if not self.config.preprocesses:
            obs = self.preprocessor.restore(self._filtered(own, own))
            return InputDict({"obs": obs, "obs_flat": obs, "is_training": training, **masks})
        return InputDict(
            {"is_training": training, **masks},
            {
                "obs": lambda: self.preprocessor.restore(self._features(own)),
                "obs_flat": lambda: self.preprocessor.flatten_features(self._features(own)),
            },
        )

    def _features(self, leaves: Sequence[Array]) -> Sequence[Array]:
        return self._filtered(self.preprocessor.expand(leaves), leaves)

    def _filtered(self, features: Sequence[Array], leaves: Sequence[Array]) -> Sequence[Array]:
        return self.filter.apply(features, self.encode.presence(leaves)) if self.filter.active else features

    def mask(self, leaves: Leaves) -> Array | None:
        """Return the mask [N, A] that comes with encoded observations: True where a choice is allowed, or None."""
        return self.masking.find(leaves)

    def distribution(self, dist_inputs: Array, mask: Array | None = None) -> ActionDistribution:
        """Return the action distribution of a model output [N, num_outputs].

        Args:
            dist_inputs: of any framework.
            mask: [N, A] as :meth:`mask` returns it. A distribution that takes no mask gets none: a custom model heeds
                it then.
        """
        if mask is None or not self.masking.takes_mask:
            return self.dist_factory(dist_inputs, self.model)
        return self.dist_factory(dist_inputs, self.model, mask=self.masking.split(mask))

    # -------------------------------------------------------------------------------------- acting

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """Open the context in which :meth:`act` is called; enter it once for a whole rollout."""
        custom = self.config.model.custom_action_dist
        # The twin takes features; without preprocessing the model sees what is stored.
        has_twin = self.config.preprocesses and (custom is None or is_bounded(custom))
        compiled = self.runtime.compiled(self.model) if has_twin else None
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

    def act(self, leaves: Sequence[NumpyArray], *, explore: bool = True, noise: NumpyArray | None = None) -> Tree:
        """Return raw actions (as the distribution gives them) for encoded NumPy observations [N, ...].

        Within :meth:`acting`, models with a NumPy twin act through it; samples without noise drawn ahead, whose
        random source is the framework's, go through the framework.
        """
        if self._compiled is not None and (noise is not None or not explore):
            outputs = self._compiled(
                self.preprocessor.flatten_features(self._features(self.masking.observation(leaves)))
            )
            distribution = self.distribution(outputs, self.mask(leaves))
            return self.exploration.choose(distribution, explore=explore, rng=None, noise=noise)
        tensors = [self.runtime.asarray(leaf) for leaf in leaves]
        distribution = self.distribution(self.evaluate(tensors, value=False).dist_inputs, self.mask(tensors))
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
        mask: Any = None,
        prev_reward: NumpyArray | None = None,
        explore: bool = False,
    ) -> Tree:
        """Return environment actions for stacked raw observations [N, ...], as the rollout would take them.

        Args:
            observations: stacked as a Gymnasium vector environment stacks them.
            state: what the previous call returned; a policy without memory takes and returns none.
            info: the environments' infos of this step, as a vector environment gives them; masks are read from it.
            mask: nonzero where a choice is allowed, in any form that ``spaces.ActionMasks`` takes; goes before the mask
                of the observation or of ``info``.
            prev_reward: rewards [N] of the previous step; only views read it.
            explore: sample instead of taking the deterministic action.

        Raises:
            ObservationError: if an observation is not in the observation space.
            ValueError: if a mask does not fit the action space, or allows no action.
        """
        leaves = self.encode(observations, "observation {}".format)
        batch = batch_shape(self.encode.specs[0], leaves[0])
        if len(batch) != 1:
            raise ObservationError(
                f"obs: expected stacked observations [N, ...], got batch dimensions {batch}; compute_single_action"
                " takes one observation."
            )
        self.require_valid(leaves, lambda row: f"observation {row[0]}")
        return self._chosen([*leaves], state, self.masking.given(mask, info, batch[0]), explore)

    def compute_single_action(
        self,
        observation: Tree,
        state: State | None = None,
        *,
        info: dict[str, Any] | None = None,
        mask: Any = None,
        prev_reward: float | None = None,
        explore: bool = False,
    ) -> Any:
        """Return the environment action for one raw observation; see :meth:`compute_actions`."""
        leaves = self.encode.single(observation)
        self.require_valid(leaves, lambda _: "the observation")
        rows = [leaf[None] for leaf in leaves]
        given = self.masking.given(mask, info, 1, single=True)
        return one_action(self.action_space, self._chosen(rows, state, given, explore), 0)

    def require_valid(self, leaves: Sequence[NumpyArray], where: Callable[[tuple[int, ...]], str]) -> None:
        """Raise :class:`ObservationError` on the first value of encoded observations that is outside its space.

        Args:
            leaves: one array [N, ...] each, NumPy.
            where: spells a row's position in N.
        """
        require_valid(self.encode, self.masking.observation(leaves), where)

    def require_choice(
        self, leaves: Sequence[NumpyArray], used: npt.NDArray[np.bool_], where: Callable[[tuple[int, ...]], str]
    ) -> None:
        """Raise :class:`ObservationError` if a mask allows nothing in a row whose action is used.

        Args:
            leaves: encoded observations [N, ...].
            used: bool [N], False for rows on which no action is taken.
            where: spells a row's position in N.
        """
        mask = self.mask(leaves)
        if mask is None:
            return
        stuck = np.argwhere(self.masking.unusable(mask) & used)
        if len(stuck):
            row = tuple(map(int, stuck[0]))
            raise ObservationError(
                f"{where(row)}: the mask allows no action at all: {self.masking.layout.describe_empty(mask[row])}."
                " Allow at least one, or end the episode."
            )

    def _chosen(self, leaves: list[NumpyArray], state: State | None, given: NumpyArray | None, explore: bool) -> Tree:
        if state:
            raise ValueError("a state was given, but this policy has no memory; leave `state` out.")
        if given is not None:
            leaves = [*self.masking.observation(leaves), given]
        self.require_choice(leaves, np.ones(len(leaves[0]), np.bool_), lambda row: f"observation {row[0]}")
        with self.acting():
            return self.to_env(self.act(leaves, explore=explore))

    # -------------------------------------------------------------------------------------- filter

    def push(self, leaves: Leaves) -> None:
        """Add collected observations [N, ...] to the filter's statistics."""
        if self.filter.active and len(leaves[0]):
            arrays = [leaf.put_together() if isinstance(leaf, Gathered) else leaf for leaf in leaves]
            own = self.masking.observation(arrays)
            self.filter.push(own, self.encode.presence(own))

    # --------------------------------------------------------------------------------------- state

    def state(self) -> dict[str, NumpyArray]:
        """Return everything an action depends on, by name: weights, filter statistics, random source."""
        weights = tree.prefixed("model", self.runtime.parameters(self.model))
        statistics = tree.prefixed("filter", self.filter.state())
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
        statistics = tree.under("filter", state)
        if statistics.keys() != self.filter.state().keys():
            raise CheckpointError(
                f"the weights were trained {'with' if statistics else 'without'} an observation filter, but"
                f" `observation_filter` is {self.config.observation_filter!r}; set it as it was then."
            )
        self.runtime.load_parameters(self.model, tree.under("model", state))
        self.filter.load_state(statistics)

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


def _unscaled(specs: Sequence[LeafSpec]) -> list[LeafSpec]:
    """Return the leaves as a model sees them that takes them as they are stored."""
    return [dataclasses.replace(leaf, shift=0.0, scale=1.0) for leaf in specs]
