"""``Pipeline``: preprocessor, filter, model, distribution and exploration, over encoded observations."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace import tree
from anyspace.distributions import ActionDistribution
from anyspace.errors import CheckpointError
from anyspace.maths.gather import Window
from anyspace.maths.xp import Array
from anyspace.models.action_dists import is_built_in_distribution
from anyspace.models.catalog import is_built_in
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2, is_own
from anyspace.models.runtime import NumpyArray, RandomSource, Runtime
from anyspace.policy.acting import Actor
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.exploration import ALONE, Place, StatefulExploration, exploration_of
from anyspace.policy.exploration.contract import choice_check
from anyspace.policy.history import ModelViews
from anyspace.policy.inputs import Inputs, Leaves, scaled_pictures, stacked
from anyspace.policy.masking import Masking
from anyspace.policy.passes import CompiledPasses
from anyspace.policy.perturbed import Network, Perturbed
from anyspace.policy.plan import CATALOGUE, Plan, require_own_weights
from anyspace.policy.sequences import Sequences
from anyspace.spaces import Decoder, Encoder, ObservationFilter, Preprocessor, describe_images, get_preprocessor
from anyspace.spaces.kinds.registered import equivalent, known_actions
from anyspace.spaces.prepared import prepared
from anyspace.spaces.repeated_values import map_arrays
from anyspace.spaces.uniform import raw_space
from anyspace.tree import Tree


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What one pass through the model gives for N rows."""

    output: Tree
    """[N, num_outputs], or what else the model's ``forward`` returns."""
    distribution: ActionDistribution
    """Of N rows."""
    values: Array | None
    """[N], or None where the value was not asked for."""
    mask: Array | None = None
    """[N, A], which choices are allowed; None: all."""


class Pipeline:
    """What turns encoded observations into action distributions and values, and all that this takes.

    Attributes:
        observation_space: the environment's, without what is ignored; registered classes give way to built-in spaces.
        action_space: what the distribution is over: built-in spaces.
        env_action_space: what the environment takes, which differs where a registered class translates.
        encode: raw stacked observations -> encoded leaves.
        preprocessor: of whole observations.
        shown: the preprocessor of what the model sees of them: without the mask where that is no feature.
        obs_space: the space of what the model sees, preprocessed.
        masking: finds the mask that comes with an observation.
        views: what the model sees beside the present observation, its states among it.
        max_seq_len: longest sequence, in steps, that models with states learn from.
        stacks: for each leaf that is a stack of frames, by its position, their number.
        to_env: raw actions [N, ...] -> the environment's: offset, unsquashed, clipped, cast.
        num_outputs: how many numbers of the model an action distribution takes.
        siblings: the pipelines that :meth:`sibling` returned, in order.
        timestep: environment steps sampled so far, by which exploration goes.
        version: how often the weights or the filter's statistics changed.
        replaced_at: the version since which they have gone on from what :meth:`load_weights` brought.
        knows_distribution: whether the action distribution is built in; a user's may read what the model has kept.
        inputs_decide: whether the action distribution of a user was found to depend on its inputs and mask alone.
        has_values: whether the model has a value function of its own, of its class or of itself.

    Args:
        observation_space: the environment's (single) observation space.
        action_space: the environment's (single) action space.
        config: how to build it; a user's algorithm configuration is one.
        runtime: the framework and device.
        plan: what the algorithm asks for.
        seed: of the initial weights and of the random sources.
        place: which of several collecting processes it is for.

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
        plan: Plan = CATALOGUE,
        seed: int = 0,
        place: Place = ALONE,
    ):
        config.validate()
        observation_space = prepared(observation_space, max_len=config.max_len, ignore=config.ignore)
        self.observation_space, self.env_action_space = observation_space, known_actions(action_space)
        self.action_space = action_space = equivalent(self.env_action_space)
        self.config, self.runtime, self.plan, self.max_seq_len = config, runtime, plan, config.model.max_seq_len
        self.to_env = Decoder(self.env_action_space, normalize=config.normalize_actions, clip=config.clip_actions)
        self._is_custom = custom = plan.custom or config.model.custom_model is not None
        raw = custom and config.scale_images == "auto"
        scales = bool(config.scale_images) and not raw
        self.preprocessor = get_preprocessor(observation_space, scale_images=scales)
        clips = config.out_of_bounds == "clip"
        self.encode = Encoder(observation_space, clip=True) if clips else self.preprocessor.encode
        for sentence in describe_images(self.encode.specs):
            logging.getLogger("anyspace").warning(sentence)
        self._model_config = dataclasses.replace(config.model, _disable_preprocessor_api=not config.preprocesses)
        self.dist_factory, self.num_outputs = plan.distribution(action_space, self._model_config)
        # A twin takes features; without preprocessing the model sees what is stored.
        self.knows_distribution = is_built_in_distribution(self.dist_factory)
        self._may_have_twin = config.preprocesses and self.knows_distribution
        self.masking = self._new_masking(custom)
        self.shown, self.obs_space = self._shown(observation_space, scales)
        drawn = raw_space(action_space, normalize=config.normalize_actions)
        self.exploration = exploration_of(plan.exploration, config.exploration_config, drawn, place)
        self._choices = choice_check(self.exploration, self.action_space)
        self.timestep, self.version, self.replaced_at, self.inputs_decide, self._seed = 0, 0, 0, False, seed
        self.example = [np.zeros((2, *leaf.shape), leaf.dtype) for leaf in self.encode.specs]
        self.siblings: list[Pipeline] = []
        with runtime.initialising(seed):
            self.model = self._new_model()
        self.has_values = is_own(self.model.value_function, ModelV2.value_function)
        runtime.place(self.model)
        runtime.seed(seed)
        self.views = ModelViews(self.model, runtime, action_space, self.any_action)
        # Views look at whole observations, and the ones before a trajectory are kept whole as well.
        looks_back = bool(self.views.depth.get("obs"))
        self.stacks = {i: leaf.stack for i, leaf in enumerate(self.encode.specs) if leaf.stack > 1 and not looks_back}
        self.filter = self._new_filter()
        self._inputs = Inputs(
            self.shown,
            self.filter,
            self.masking,
            self.views,
            runtime,
            self.obs_space,
            config.preprocesses,
            copies=custom,
            scaled=self._scaled_for_networks() if raw and config.preprocesses else None,
        )
        self._passes: CompiledPasses | None = None
        self._perturbed: Perturbed | None = None

    def _compiled(self) -> CompiledPasses | None:
        """Return the model's passes, made when they are first asked for, where they are to be compiled."""
        if not self.runtime.compiles(self.model):
            return None
        if self._passes is None:
            self._passes = CompiledPasses(self.model, self.runtime, self._inputs, self._forward, self.max_seq_len)
        return self._passes

    def _new_masking(self, custom: bool) -> Masking:
        own = self.plan.custom or not is_built_in(self._model_config, self.runtime.framework)
        return Masking(
            self.observation_space,
            self.action_space,
            self.encode,
            key=self.config.action_mask_key,
            distribution=self.dist_factory,
            custom_model=custom,
            is_feature=self._model_config.mask_as_feature or own,
        )

    def _shown(self, observation_space: gym.Space[Any], scales: bool) -> tuple[Preprocessor, gym.Space[Any]]:
        """Return the preprocessor of what the model sees of an observation, and the space of what comes of it."""
        config, shown = self.config, self.preprocessor
        seen = self.masking.seen_space(observation_space, keep=config.model.parametric_actions == "given")
        if seen is not observation_space:
            shown = get_preprocessor(seen, scale_images=scales)
        return shown, shown.observation_space if config.preprocesses else equivalent(seen)

    def _scaled_for_networks(self) -> Preprocessor | None:
        """Return what scales pictures for the networks in a custom model; None: a filter does, or nothing has to."""
        specs, custom = self.preprocessor.specs, self.config.model.custom_model
        return None if self.filter.active else scaled_pictures(specs, self.observation_space, self.model, custom)

    def _new_model(self) -> ModelV2:
        wanted = (self.obs_space, self.action_space, self.num_outputs, self._model_config)
        return self.plan.build(*wanted, self.runtime.framework)

    def _new_filter(self) -> ObservationFilter:
        model, specs = self.config.model, self.masking.of_model(self.preprocessor.specs)
        # The slots of embeddings have to stay comparable, and the zeros and ones of a mask what they are.
        embeddings = model.action_embedding_key if model.parametric_actions == "given" else None
        left_alone = {(embeddings,), *(self.encode.specs[i].path for i in self.masking.positions)}
        return ObservationFilter(
            self.config.observation_filter,
            # A model that takes leaves as they are stored sees them unscaled.
            specs if self.config.preprocesses else [dataclasses.replace(leaf, shift=0.0, scale=1.0) for leaf in specs],
            exclude=frozenset(i for i, leaf in enumerate(specs) if leaf.path in left_alone),
            cell=self.runtime.cell,
        )

    def sibling(self) -> Pipeline:
        """Return a pipeline that shares all with this one but the model's weights, which start equal: a target network.

        Raises:
            ModelError: the plan has one ready model and builds no other.
        """
        other = self._copy()
        other.siblings = []
        self.siblings.append(other)
        return other

    def _try(self, other: Pipeline) -> None:
        """Run the model of a copy, where layers make their weights when they are first called."""

    def _copy(self) -> Pipeline:
        other = copy.copy(self)
        with self.runtime.initialising(self._seed):  # for constants that are no weights
            other.model = self._new_model()
        self.runtime.place(other.model)
        require_own_weights(self.runtime, self.model, other.model)
        other._passes = None
        self._try(other)
        self.runtime.load_parameters(other.model, self.runtime.parameters(self.model))
        return other

    def _network(self) -> Network:
        twin = self.runtime.numpy_pass(self.model) if self._may_have_twin else None
        return Network(self.model, self.distribution, twin, self._compiled())

    # ------------------------------------------------------------------------------------- forward

    def evaluate(self, batch: Batch, *, value: bool = True, training: bool = False) -> Evaluation:
        """Run the model on N rows.

        Args:
            batch: ``obs``, and ``action_mask``, ``views`` and ``sequences`` where there are any.
            value: whether to ask for the value as well, in the same trace.
            training: whether this pass belongs to a gradient step.
        """
        output, values = self.forward(batch, value=value, training=training)
        return Evaluation(output, self.distribution_of(output, batch.mask), values, batch.mask)

    def forward(self, batch: Batch, *, value: bool, training: bool = False) -> tuple[Tree, Array | None]:
        """Return the model's output, and its values [N] or None, for N rows; see :meth:`evaluate`."""
        passes = None if training else self._compiled()
        return self._forward(batch, value, training) if passes is None else passes.forward(batch, value=value)

    def _forward(self, batch: Batch, value: bool, training: bool = False) -> tuple[Tree, Array | None]:
        inputs = self.model_inputs(batch["obs"], batch.mask, batch.get("views", {}), training)
        self.runtime.set_training(self.model, training)
        sequences: Sequences | None = batch.get("sequences")
        if sequences is None:
            output, _ = self.model(inputs, [], None)
            return output, self.model.floats(self.model.value_function()) if value else None
        padding = sequences.padding(self.runtime, time_major=self.model.is_time_major())
        padded = padding.of_inputs(inputs)
        padded.add_states(sequences.state, padding.seq_lens, padding.resets)
        output, _ = self.model(padded, sequences.state, padding.seq_lens)
        values = padding.take_out(self.model.floats(self.model.value_function())) if value else None
        return map_arrays(padding.take_out, output), values

    def model_inputs(
        self,
        leaves: Leaves,
        mask: Array | None = None,
        views: Mapping[str, Window] | None = None,
        training: bool = False,
    ) -> InputDict:
        """Return the input dict of encoded observations [N, ...]; its columns are computed when touched.

        Args:
            leaves: the observations.
            mask: which choices are allowed [N, A]; it becomes ``action_mask``.
            views: what the model's views look at.
            training: whether the pass belongs to a gradient step.
        """
        return self._inputs.of(leaves, mask, views or {}, training)

    def distribution_of(self, output: Tree, mask: Array | None) -> ActionDistribution:
        """Return the action distribution that a model's output stands for."""
        return self.distribution(self.model.action_inputs(output, mask), mask)

    def distribution(self, dist_inputs: Array, mask: Array | None = None) -> ActionDistribution:
        """Return the action distribution of its inputs [N, num_outputs].

        Args:
            dist_inputs: of any framework.
            mask: [N, A], True where a choice is allowed. A distribution that takes no mask gets none; a custom model
                respects it then.
        """
        given = dist_inputs if self.knows_distribution else self.runtime.native(dist_inputs)
        masks = {"mask": self.masking.split(mask)} if mask is not None and self.masking.takes_mask else {}
        made = self.dist_factory(given, self.model, **masks)
        if self.inputs_decide:
            made.depends_on_model = False
        return made

    def new_distribution(self, rows: int) -> ActionDistribution:
        """Return a distribution of ``rows`` rows whose inputs are zero."""
        return self.distribution(self.runtime.asarray(np.zeros((rows, self.num_outputs), np.float32)))

    def entropy(self, distribution: ActionDistribution) -> Array:
        """Return the entropy of a distribution [N], nats; one that is an estimate draws its sample for learning."""
        return distribution.entropy_from(lambda: self.runtime.rng("learning", distribution.inputs))

    # -------------------------------------------------------------------------------------- acting

    @contextlib.contextmanager
    def acting(self, source: RandomSource = "evaluation") -> Iterator[Actor]:
        """Open a context that gives what acts: the model's NumPy twin where there is one, else the model.

        Enter it once for a whole rollout. Weights must not change within it.

        Args:
            source: where samples draw from.
        """
        network = self._network()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.runtime.acting())
            if network.twin is None and (self._is_custom or network.passes is not None):
                # A user's model may draw from the framework's global source; a compiled pass draws its key, always.
                drawing: RandomSource = "models that act" if source == "acting" else "models that evaluate"
                stack.enter_context(self.runtime.own_randomness(drawing))
            yield Actor(network, self.runtime, self._inputs, self.exploration, source, self._choices, self._perturbed)

    def any_action(self) -> Tree:
        """Return a sample [1, ...] of the action distribution."""
        with self.runtime.acting():
            return tree.map_leaves(self.runtime.numpy, self.new_distribution(1).deterministic_sample())

    # ------------------------------------------------------------------------------- what it learns

    def push(self, leaves: Leaves) -> None:
        """Add collected observations [N, ...] to the filter's statistics."""
        if self.filter.active and len(leaves[0]):
            own = self.masking.of_model(self.masking.observation(stacked(leaves)))
            self.filter.push(own, self.shown.encode.presence(own))

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far: exploration goes by it."""
        for one in (self, *self.siblings):  # these share the exploration, and are saved with it
            one.timestep = timestep
        self.exploration.at(timestep)

    def weights(self) -> dict[str, NumpyArray]:
        """Return what another process needs to act alike, by name: weights, filter statistics, and two counts."""
        weights = tree.prefixed("model", self.runtime.parameters(self.model))
        counts = {"timestep": np.asarray(self.timestep), "version": np.asarray(self.version)}
        return {**weights, **tree.prefixed("filter", self.filter.state()), **counts}

    def load_weights(self, weights: Mapping[str, NumpyArray]) -> None:
        """Take over what :meth:`weights` returned, as a new version, siblings too; random sources stay as they are.

        Raises:
            CheckpointError: if the weights do not fit the model, or were trained with another kind of filter.
        """
        self._take(weights)
        for one in self.siblings:
            self.runtime.load_parameters(one.model, tree.under("model", weights))

    def _take(self, given: Mapping[str, NumpyArray]) -> None:
        statistics = tree.under("filter", given)
        if not self.filter.takes(statistics):
            raise CheckpointError(
                f"the weights were trained {'with' if statistics else 'without'} an observation filter, but"
                f" `observation_filter` is {self.config.observation_filter!r}; set it as it was then"
                f" ({'MeanStdFilter' if statistics else 'NoFilter'!r})."
            )
        self.runtime.load_parameters(self.model, tree.under("model", given))
        self.filter.load_state(statistics)
        self.version = self.replaced_at = self.version + 1  # whatever it is elsewhere: workers go by this one
        self.at(int(given.get("timestep", self.timestep)))

    def state(self) -> dict[str, NumpyArray]:
        """Return everything an action depends on, by name: weights, random sources, exploration's state."""
        remembered = self.exploration.state() if isinstance(self.exploration, StatefulExploration) else {}
        # Copies: an exploration of a user's may return the arrays that it counts in.
        own = tree.prefixed("exploration", {name: np.array(value) for name, value in remembered.items()})
        return {**self.weights(), **tree.prefixed("rng", self.runtime.rng_state()), **own}

    def load_state(self, state: Mapping[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned; siblings have states of their own."""
        self._take(state)
        self.version = self.replaced_at = int(state.get("version", self.version))
        if self._perturbed is not None:
            self._perturbed.forget()
        self.runtime.set_rng_state(tree.under("rng", state))
        remembered = tree.under("exploration", state)
        if remembered and isinstance(self.exploration, StatefulExploration):
            self.exploration.load_state(remembered)
