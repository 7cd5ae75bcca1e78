"""``Policy``: a pipeline that takes raw observations, with the memory in the caller's hands."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn, Unpack

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.answers import Explains, ExplainsOnClass
from anyspace.errors import ObservationError
from anyspace.foreign_names import POLICY
from anyspace.models.runtime import NumpyArray, Runtime
from anyspace.policy.check import check_model
from anyspace.policy.config import PolicyConfig
from anyspace.policy.exploration import ALONE, PerturbingExploration, Place
from anyspace.policy.exporting import Exported, ExportOptions
from anyspace.policy.history import PolicyState
from anyspace.policy.masking import ORIGINS
from anyspace.policy.perturbed import Perturbed
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.plan import CATALOGUE, Plan
from anyspace.policy.rating import Rates
from anyspace.policy.seeing import ROW, ActingOptions
from anyspace.spaces.decoding import one_by_one
from anyspace.tree import Tree


class Policy(Rates, Explains, metaclass=ExplainsOnClass):
    """Maps observations to actions, and holds all that this takes.

    Everything an action depends on is in :meth:`state`: weights, filter statistics, the random sources. The model is
    run on zeros when the policy is built, so that one that does not fit is found then.

    See :class:`Pipeline` for arguments and errors.
    """

    _foreign = POLICY

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
        super().__init__(observation_space, action_space, config, runtime, plan, seed, place)
        check_model(self)
        self._frozen_by_model = runtime.frozen(self.model)
        self._perturbed = self._new_perturbed()  # of weights that the first pass may have made

    def __repr__(self) -> str:
        return f"<Policy of {self.env_action_space}: {type(self.model).__name__}, {self.config.framework}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Policy holds what its framework has compiled, so it is not pickled. Save the algorithm, and load the"
            " policy in each process: Policy.load(path)."
        )

    def __copy__(self) -> Policy:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Policy:
        other = object.__new__(type(self))
        memo[id(self)] = other
        vars(other).update(copy.deepcopy(vars(self), memo))
        return other

    def _new_perturbed(self) -> Perturbed | None:
        if not isinstance(self.exploration, PerturbingExploration):
            return None
        runtime, other = self.runtime, self._copy()
        return Perturbed(other.model, self.model, runtime, self.exploration, other._network, lambda: self.version)

    def _try(self, other: Pipeline) -> None:
        if self.runtime.parameters(self.model).keys() != self.runtime.parameters(other.model).keys():
            check_model(other)

    @staticmethod
    def load(path: str | os.PathLike[str], *, config: Mapping[str, Any] | None = None, trust: bool = False) -> Policy:
        """Return the policy of a checkpoint, ready to act. What the checkpoint says of environments is left alone.

        Args:
            path: a run folder, or a folder that an algorithm's ``save`` wrote.
            config: keys to change, and code in place of what is recorded.
            trust: import and call the code that the checkpoint names. Only for checkpoints whose author you trust.

        Raises:
            CheckpointError: the checkpoint is missing or damaged, or it names code that is neither trusted nor handed
                over: the message lists all of it.
        """
        # The algorithm says which model and distribution its policy has, and algorithms are built on policies: so the
        # one that loads is looked up when it is called.
        policies = import_module("anyspace.algorithms.saving.policies")
        loaded: Policy = policies.load_policy(path, config=config, trust=trust)
        return loaded

    def export(self, path: str | os.PathLike[str], **options: Unpack[ExportOptions]) -> Exported:
        """Write an ONNX file from raw observation to environment action, and a JSON contract beside it.

        The file holds preprocessing, filter statistics, model, memory, masks, action distribution and decoding. It is
        compared with this policy before it takes its place; it needs onnxruntime and nothing of this library. The page
        `docs/deploying.md` says how it is fed.

        Args:
            path: of the file, which ends in ``.onnx``; the contract is called the same but for ``.json``.
            options: of :class:`ExportOptions`.

        Raises:
            ExportError: the file cannot be written; a custom model cannot be traced (the message names the operation);
                the written file does not act as this policy does.
        """
        # Writing files is built on policies: so what writes is looked up when it is called.
        written: Exported = import_module("anyspace.deploy").export_policy(self, path, **options)
        return written

    def compute_actions(
        self, observations: Tree, state: PolicyState | None = None, **options: Unpack[ActingOptions]
    ) -> Any:
        """Return environment actions for stacked raw observations [N, ...], as the rollout would take them.

        A policy whose model has memory, or looks at earlier steps, returns ``(actions, state)``.

        Args:
            observations: stacked as a Gymnasium vector environment stacks them.
            state: what the previous call returned, None for first observations. Where some episodes begin anew, give
                ``state.restarted(rows)``. A policy without memory takes and returns none.
            options: of :class:`ActingOptions`: ``info``, the environments' infos of this step, as a vector environment
                gives them or a list of N infos, from which masks are read; ``mask``, which takes precedence over the
                mask of the observation or of ``info``, and is needed where the environment has a method
                ``action_masks()``; ``prev_reward``, rewards [N] of the previous step, where the model looks at them;
                ``ended``, booleans [N], ``terminated | truncated`` of a vector environment that starts the next episode
                by itself in the following step: the mask of an observation where one ended may allow nothing;
                ``explore``, sample instead of taking the deterministic action.

        Raises:
            ObservationError: if an observation is not in the observation space; if a mask does not fit the action
                space, or allows no action; if something is missing by which a rollout would choose the action: the mask
                of a policy that was trained with masks, the previous reward of one that looks at rewards.
        """
        return self._several(self._encoded(self.encode, observations, ROW), state, options)

    def compute_single_action(
        self, observation: Tree, state: PolicyState | None = None, **options: Unpack[ActingOptions]
    ) -> Any:
        """Return the environment action for one raw observation; see :meth:`compute_actions`."""
        return self._one(self._encoded(self.encode.single, observation), state, options)

    def compute_either(
        self,
        observation: Tree,
        state: PolicyState | None = None,
        *,
        episode_start: Any = None,
        mask_name: str = "mask",
        **options: Unpack[ActingOptions],
    ) -> Any:
        """Return the action for one raw observation, or actions for several that are stacked, by their shapes.

        Args:
            observation: one, or several as a Gymnasium vector environment stacks them.
            state: see :meth:`compute_actions`.
            episode_start: whether an episode begins with the observation, one boolean each; None: with none of them,
                but where there is no ``state``.
            mask_name: what the caller's users call the mask, for messages.
            options: see :meth:`compute_actions`.

        Raises:
            ObservationError: see :meth:`compute_actions`; or ``episode_start`` has another length.
        """
        leaves, is_one = self._encoded(self.encode.either, observation, ROW)
        if isinstance(state, PolicyState) and episode_start is not None:
            state = state.restarted(_starts(episode_start, len(state.begun)))
        elif episode_start is not None:
            _starts(episode_start, 1 if is_one else len(leaves[0]))
        return (self._one if is_one else self._several)(leaves, state, options, mask_name)

    def _several(
        self, leaves: Sequence[NumpyArray], state: PolicyState | None, options: ActingOptions, mask_name: str = "mask"
    ) -> Any:
        actions, new_state = self._act(self._stacked(leaves), state, options, mask_name, single=False)
        return (actions, new_state) if self.views.remembers else actions

    def _one(
        self, leaves: Sequence[NumpyArray], state: PolicyState | None, options: ActingOptions, mask_name: str = "mask"
    ) -> Any:
        self.require_valid(leaves, lambda _: "the observation")
        actions, new_state = self._act([leaf[None] for leaf in leaves], state, options, mask_name, single=True)
        (action,) = one_by_one(self.env_action_space, actions, 1)
        return (action, new_state) if self.views.remembers else action

    def _act(
        self,
        leaves: list[NumpyArray],
        state: PolicyState | Sequence[Any] | None,
        options: ActingOptions,
        mask_name: str,
        *,
        single: bool,
    ) -> tuple[Tree, PolicyState]:
        """Return the environment actions for encoded observations, and the state for the next call."""
        leaves, history = self._seen(leaves, state, options, mask_name, single=single)
        count = len(leaves[0])
        with self.runtime.threads_for(count), self.acting() as act:
            acted = act(leaves, history, explore=options.get("explore", False))
            # An environment may write its next observation into the same arrays.
            kept = [np.array(leaf) for leaf in leaves] if self.views.remembers else leaves
            return self.to_env(acted.raw), PolicyState(history, kept, acted, np.zeros(count, np.bool_))

    def state(self) -> dict[str, NumpyArray]:
        """Return everything an action depends on, by name, and what else a policy that is learnt on has.

        That is the position in `ORIGINS` of where its masks come from, and what was frozen (True) or released (False)
        since the model was built.
        """
        origin, now = self.masking.origin, self.runtime.frozen(self.model)
        origins = {} if origin is None else {"mask_origin": np.asarray(ORIGINS.index(origin))}
        frozen = {name: np.asarray(name in now) for name in sorted(now ^ self._frozen_by_model)}
        return {**super().state(), **origins, **tree.prefixed("frozen", frozen)}

    def load_state(self, state: Mapping[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned. Of what was saved by earlier versions the masks' origin is not known."""
        super().load_state(state)
        if "mask_origin" in state:
            self.masking.trained_with(ORIGINS[int(state["mask_origin"])])
        changed = tree.under("frozen", state)
        frozen = {name for name, is_frozen in changed.items() if is_frozen}
        self.runtime.freeze(self.model, (self._frozen_by_model - changed.keys()) | frozen)
        trained = sorted(frozen - self.runtime.frozen(self.model))
        if trained:
            logging.getLogger("anyspace").warning(
                f"the checkpoint froze {', '.join(trained)}, but framework={self.runtime.framework!r} has no way to"
                " freeze them: they are trained on. Load it with framework='torch' to keep them frozen."
            )


def _starts(given: Any, count: int) -> npt.NDArray[np.bool_]:
    starts = np.asarray(given, np.bool_).reshape(-1)
    if len(starts) != count:
        raise ObservationError(
            f"episode_start: expected one boolean for each of {count} observations, but {len(starts)} came: {given!r}."
        )
    return starts
