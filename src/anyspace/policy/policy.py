"""``Policy``: preprocessor, filter, model, distribution and exploration in one object."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.distributions import ActionDistribution
from anyspace.errors import CheckpointError, ConfigError, ObservationError
from anyspace.maths.gather import Gathered, Window
from anyspace.maths.xp import Array
from anyspace.models.action_dists import is_bounded
from anyspace.models.catalog import ModelCatalog
from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import InputDict, ModelV2, State
from anyspace.models.runtime import CompiledForward, NumpyArray, RandomSource, Runtime
from anyspace.policy import outside
from anyspace.policy.check import check_model
from anyspace.policy.config import PolicyConfig
from anyspace.policy.exploration import StochasticSampling
from anyspace.policy.history import Acted, Columns, History, PolicyState, Views
from anyspace.policy.inputs import Inputs, Leaves, together
from anyspace.policy.masking import Masking
from anyspace.policy.sequences import Padding, Sequences
from anyspace.spaces import Decoder, LeafSpec, ObservationFilter, bounded, get_preprocessor, require_valid
from anyspace.spaces.images import describe_images
from anyspace.tree import Tree


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
        views: what the model sees beside the present observation, its states among it.
        max_seq_len: longest sequence, in steps, that models with states learn from.
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
        _require_scaling(config)
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

        model_config = dataclasses.replace(config.model, _disable_preprocessor_api=not config.preprocesses)
        self.dist_factory, self.num_outputs = ModelCatalog.get_action_dist(action_space, model_config)
        custom = model is not None or model_config.custom_model is not None
        self.masking = Masking(
            observation_space,
            action_space,
            self.encode,
            key=config.action_mask_key,
            distribution=self.dist_factory,
            custom_model=custom,
        )
        self.model = self._placed(model, model_config, seed)
        self.views = Views(self.model, runtime, action_space, self._any_action)
        if self.views.depth.get("obs"):
            # Views look at whole observations, of which those before a trajectory are kept as they were.
            self.stacks = {}
        self.max_seq_len = config.model.max_seq_len
        self.exploration = StochasticSampling()
        self._compiled: CompiledForward | None = None
        self._source: RandomSource = "acting"
        self.filter = self._new_filter()
        self._inputs = Inputs(
            self.preprocessor,
            self.filter,
            self.masking,
            self.views,
            runtime,
            self.obs_space,
            config.preprocesses,
            copies=custom,
        )
        check_model(self)

    def _placed(self, model: ModelV2 | None, model_config: ModelConfig, seed: int) -> ModelV2:
        """Return the given model, or the catalogue's, on its device, with the random source restarted."""
        runtime = self.runtime
        with runtime.initialising(seed):
            if model is None:
                model = ModelCatalog.get_model_v2(
                    self.obs_space, self.action_space, self.num_outputs, model_config, runtime.framework
                )
        runtime.place(model)
        runtime.seed(seed)
        return model

    def _new_filter(self) -> ObservationFilter:
        specs = self.preprocessor.specs
        return ObservationFilter(
            self.config.observation_filter,
            specs if self.config.preprocesses else _unscaled(specs),
            exclude=frozenset([*self.masking.positions, *self._given_embeddings()]),
            to_device=self.runtime.asarray,
        )

    def _given_embeddings(self) -> list[int]:
        """Return which leaf of the observation holds embeddings of actions: their slots have to stay comparable."""
        model = self.config.model
        name = model.action_embedding_key if model.parametric_actions == "given" else None
        return [i for i, leaf in enumerate(self.encode.specs) if leaf.path == (name,)]

    # ------------------------------------------------------------------------------------- forward

    def evaluate(self, batch: Mapping[str, Any], *, value: bool = True, training: bool = False) -> Evaluation:
        """Run the model on N rows: with `act`, the only place that calls ``forward``.

        Args:
            batch: ``obs``, encoded leaves [N, ...]; ``views``, a `Window` for each view of the model; ``sequences``,
                how the rows are the steps of sequences, where the model has states.
            value: whether to ask for the value as well, in the same trace.
            training: whether this pass belongs to a gradient step.
        """
        inputs = self.model_inputs(batch["obs"], batch.get("views", {}), training)
        sequences: Sequences | None = batch.get("sequences")
        if sequences is None:
            dist_inputs, _, values = self._forward(inputs, [], None, value=value)
            return Evaluation(dist_inputs, values)
        padding = Padding(sequences.lens, self.runtime, time_major=self.model.is_time_major())
        dist_inputs, _, values = self._forward(
            padding.of_inputs(inputs), sequences.state, padding.seq_lens, value=value
        )
        return Evaluation(padding.take_out(dist_inputs), None if values is None else padding.take_out(values))

    def _forward(
        self, inputs: InputDict, state: State, seq_lens: Array | None, *, value: bool
    ) -> tuple[Array, State, Array | None]:
        """Return the model's outputs, its new states and, if asked for, its values."""
        self.runtime.set_training(self.model, inputs.is_training)
        dist_inputs, state_out = self.model(inputs, state, seq_lens)
        return dist_inputs, state_out, self.model.value_function() if value else None

    def model_inputs(
        self, leaves: Leaves, views: Mapping[str, Window] | None = None, training: bool = False
    ) -> InputDict:
        """Return the input dict of encoded observations [N, ...]; its columns are computed when touched.

        ``action_mask`` [N, A], booleans, is among them where a mask comes with the observation.

        Args:
            leaves: the observations, and the mask beside them if there is one.
            views: what the model's views look at.
            training: whether the pass belongs to a gradient step.
        """
        return self._inputs.of(leaves, views or {}, training)

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
    def acting(self, source: RandomSource = "evaluation") -> Iterator[None]:
        """Open the context in which :meth:`act` is called, drawing from ``source``; enter it once for a rollout."""
        custom = self.config.model.custom_action_dist
        # The twin takes features; without preprocessing the model sees what is stored.
        has_twin = self.config.preprocesses and (custom is None or is_bounded(custom))
        compiled = self.runtime.compiled(self.model) if has_twin else None
        with self.runtime.acting():
            self._compiled, self._source = compiled, source
            try:
                yield
            finally:
                self._compiled = None

    def draw_noise(self, steps: int, rows: int) -> NumpyArray | None:
        """Draw the exploration noise [steps, rows, W] of calls of :meth:`act`, if that is possible."""
        noise = self._new_distribution(rows).draw_noise(self.runtime.rng(self._source), steps)
        return None if noise is None else self.runtime.numpy(noise)

    def _any_action(self) -> Tree:
        """Return a sample [1, ...] of the action distribution."""
        with self.runtime.acting():
            return tree.map_leaves(self.runtime.numpy, self._new_distribution(1).deterministic_sample())

    def _new_distribution(self, rows: int) -> ActionDistribution:
        return self.distribution(self.runtime.asarray(np.zeros((rows, self.num_outputs), np.float32)))

    def to_device(self, rows: Any) -> Any:
        """Return rows of NumPy arrays, plain, `Gathered` or in a `Window`, as those of tensors on the device."""
        if isinstance(rows, Window):
            missing = None if rows.missing is None else self.runtime.asarray(rows.missing)
            return Window([self.to_device(leaf) for leaf in rows.stored], self.runtime.asarray(rows.index), missing)
        if isinstance(rows, Gathered):
            return Gathered(self.runtime.asarray(rows.stored), self.runtime.asarray(rows.index))
        return self.runtime.asarray(rows)

    def begin(self, leaves: Sequence[NumpyArray]) -> History:
        """Return the history of episodes that begin with encoded NumPy observations [B, ...]."""
        return History.before(self.views, self.masking.observation(leaves))

    def columns(self, leaves: Sequence[NumpyArray], acted: Acted, rewards: NumpyArray) -> Columns:
        """Return what views look at of one step, leaves [B, ...].

        Args:
            leaves: the encoded observations that were acted on.
            acted: what `act` returned.
            rewards: [B] as the environments gave them.
        """
        return self.views.columns(self.masking.observation(leaves), acted.raw, rewards, acted.state_out)

    def follow(
        self, history: History, step: Columns, begun: npt.NDArray[np.bool_], leaves: Sequence[NumpyArray]
    ) -> History:
        """Return the history one step later.

        Args:
            history: the steps before.
            step: what `columns` returned of this one.
            begun: bool [B], where an episode begins after it.
            leaves: the encoded observations that it led to.
        """
        return history.after(step, begun, self.masking.observation(leaves))

    def act(
        self,
        leaves: Sequence[NumpyArray],
        history: History | None = None,
        *,
        explore: bool = True,
        noise: NumpyArray | None = None,
    ) -> Acted:
        """Return raw actions (as the distribution gives them) for encoded NumPy observations [N, ...].

        Within :meth:`acting`, models with a NumPy twin act through it; samples without noise drawn ahead, whose
        random source is the framework's, go through the framework.

        Args:
            leaves: the observations, and the mask beside them if there is one.
            history: the steps before; None: these are first observations.
            explore: sample instead of taking the deterministic action.
            noise: what to sample from, if it was drawn ahead (`draw_noise`).
        """
        compiled = self._compiled if noise is not None or not explore else None
        inputs, states = self._act_inputs(leaves, history, in_numpy=compiled is not None)
        mask = inputs.get("action_mask")
        if compiled is not None:
            outputs, state_out = compiled(inputs, states)
            distribution = self.distribution(outputs, mask)
            return Acted(self.exploration.choose(distribution, explore=explore, rng=None, noise=noise), state_out)
        seq_lens = self.runtime.asarray(np.ones(len(leaves[0]), np.int32)) if self.views.recurrent else None
        dist_inputs, new, _ = self._forward(inputs, states, seq_lens, value=False)
        distribution = self.distribution(dist_inputs, mask)
        rng = None if noise is not None else self.runtime.rng(self._source)
        drawn = None if noise is None else self.runtime.asarray(noise)
        with self.runtime.own_randomness(self._source) if explore and noise is None else contextlib.nullcontext():
            raw = self.exploration.choose(distribution, explore=explore, rng=rng, noise=drawn)
        return Acted(tree.map_leaves(self.runtime.numpy, raw), [self.runtime.numpy(state) for state in new])

    def _act_inputs(
        self, leaves: Sequence[NumpyArray], history: History | None, *, in_numpy: bool
    ) -> tuple[InputDict, State]:
        """Return the model's inputs and states for one step, as NumPy arrays or on the device."""
        place = _as_they_are if in_numpy else self.to_device
        rows = [place(leaf) for leaf in leaves]
        if not self.views.depth:
            return self.model_inputs(rows), []
        history = self.begin(leaves) if history is None else history
        views = {name: place(window) for name, window in history.seen(self.masking.observation(leaves)).items()}
        return self.model_inputs(rows, views), [place(state) for state in history.states(own=not in_numpy)]

    def compute_actions(
        self,
        observations: Tree,
        state: PolicyState | None = None,
        *,
        info: dict[str, Any] | None = None,
        mask: Any = None,
        prev_reward: NumpyArray | None = None,
        explore: bool = False,
    ) -> Any:
        """Return environment actions for stacked raw observations [N, ...], as the rollout would take them.

        A policy whose model has memory, or looks at earlier steps, returns ``(actions, state)``.

        Args:
            observations: stacked as a Gymnasium vector environment stacks them.
            state: what the previous call returned, None for first observations. Where some episodes begin anew, give
                ``state.restarted(rows)``. A policy without memory takes and returns none.
            info: the environments' infos of this step, as a vector environment gives them; masks are read from it.
            mask: nonzero where a choice is allowed, in any form that ``spaces.ActionMasks`` takes; goes before the mask
                of the observation or of ``info``.
            prev_reward: rewards [N] of the previous step; needed where the model looks at them.
            explore: sample instead of taking the deterministic action.

        Raises:
            ObservationError: if an observation is not in the observation space.
            ValueError: if a mask does not fit the action space, or allows no action.
        """
        return outside.compute_actions(self, observations, state, info, mask, prev_reward, explore)

    def compute_single_action(
        self,
        observation: Tree,
        state: PolicyState | None = None,
        *,
        info: dict[str, Any] | None = None,
        mask: Any = None,
        prev_reward: float | None = None,
        explore: bool = False,
    ) -> Any:
        """Return the environment action for one raw observation; see :meth:`compute_actions`."""
        return outside.compute_single_action(self, observation, state, info, mask, prev_reward, explore)

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

    # -------------------------------------------------------------------------------------- filter

    def push(self, leaves: Leaves) -> None:
        """Add collected observations [N, ...] to the filter's statistics."""
        if self.filter.active and len(leaves[0]):
            own = self.masking.observation(together(leaves))
            self.filter.push(own, self.encode.presence(own))

    # --------------------------------------------------------------------------------------- state

    def state(self) -> dict[str, NumpyArray]:
        """Return everything an action depends on, by name: weights, filter statistics, random source."""
        weights = tree.prefixed("model", self.runtime.parameters(self.model))
        statistics = tree.prefixed("filter", self.filter.state())
        return {**weights, **statistics, **tree.prefixed("rng", self.runtime.rng_state())}

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self.load_weights(state)
        self.runtime.set_rng_state(tree.under("rng", state))

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


def _require_scaling(config: PolicyConfig) -> None:
    if not config.normalize_actions and is_bounded(config.model.custom_action_dist):
        raise ConfigError(
            f"custom_action_dist={config.model.custom_action_dist!r} draws actions between -1 and 1, which"
            " `normalize_actions` scales to the bounds; switch that on."
        )


def _unscaled(specs: Sequence[LeafSpec]) -> list[LeafSpec]:
    """Return the leaves as a model sees them that takes them as they are stored."""
    return [dataclasses.replace(leaf, shift=0.0, scale=1.0) for leaf in specs]


def _as_they_are(rows: Any) -> Any:
    return rows
