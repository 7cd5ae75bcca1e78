"""The model interface of Q-learning in any framework: heads for the values of actions, on top of any model.

Letters: N rows, F features of the model beneath, k choices that an action is made of (its branches), A options of all
of them together, Z atoms of a return's distribution (1 where Q values are learnt themselves).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace.config import require
from anyspace.errors import ModelError
from anyspace.maths.branches import Branches
from anyspace.maths.q_values import branched_logits, expected_values, masked_values
from anyspace.maths.xp import Array, Rng, xp
from anyspace.models.config import ActivationSpec
from anyspace.models.modelv2 import ModelV2
from anyspace.models.networks import network
from anyspace.models.number_of_actions import numbers_of_options

Noise = bool | Rng
"""Where noise is drawn from: a source of the framework; True: its own source; False: there is none."""


class HeadLayers(NamedTuple):
    """The layers of a head before its last, linear one."""

    width_in: int
    """F."""
    sizes: tuple[int, ...]
    """Of the dense layers."""
    activation: ActivationSpec | None
    """After each of them."""
    sigma0: float | None
    """Of noisy layers, the last one among them; None: the layers are linear."""
    layer_norm: bool
    """Whether the output of each dense layer is normalised."""


class QDistributions(NamedTuple):
    """The output of the action head: Q values or, with ``dueling``, advantages."""

    scores: Array
    """[N, A]: the values; where Z is above 1, the means of their distributions."""
    logits: Array
    """[N, A, Z]: the distributions' logits; where Z is 1, the values themselves."""
    probs: Array
    """[N, A, Z]: the distributions over ``support``; where Z is 1, ones."""


class QNetworks(ModelV2):
    """Values of discrete actions, from the features that the model beneath puts out.

    An action is one choice (Discrete), or several: MultiDiscrete, MultiBinary, integer Box, and Tuples and Dicts of
    these. The options of all choices lie side by side, in the order of `spaces.ActionMasks`: each choice is a branch
    with values of its own, Q(s, a) is the mean of Q_i(s, a_i), and so the best action is the best option of each.

    ``ModelCatalog.get_model_v2(..., model_interface=DQNTorchModel, dueling=True)`` puts it on the default model or a
    custom one, memory included. ``features, state = model(inputs, state, seq_lens)``, and then ``q_values(features)``.

    There are three cases. With heads, the model beneath is built with ``num_outputs=None``, and sets ``num_outputs`` to
    the width of its features. Without heads (no ``q_hiddens``, and not ``dueling``), the model beneath is built with
    ``num_outputs`` A Z, and its outputs are the Q values or the logits; such values may be masked in the model itself
    by large negative numbers, or come from `parametric_actions`, but distributions may not. A class that derives from
    this one has no model beneath: its own ``forward`` gives ``num_outputs`` numbers for each row, which go to the heads
    if there are any. It may have its own :meth:`get_q_value_distributions` and :meth:`get_state_value`, of the features
    alone.

    Heads are dense layers with an activation and a linear one: weights Xavier uniform, biases 0, or `NoisyLinear`,
    whose noise is drawn anew in every pass. Each method that runs heads takes ``noise``: False leaves it out, as
    evaluation wants it.

    Sources: Mnih et al. 2015 (DQN), Wang et al. 2016 (dueling), Bellemare et al. 2017 (distributional), Fortunato et
    al. 2018 (noisy), Tavakoli et al. 2018 (branches; the paper fits each of them, here their mean is fitted).

    Attributes:
        branches: where the options of each choice lie among A.
        num_atoms: Z.
        support: the returns [Z] that the atoms stand for, v_min + i (v_max - v_min) / (Z - 1); None where Z is 1.
        advantage_head: features to advantages or, without ``dueling``, to Q values; None where there are no heads.
        state_head: features to the value of the state; None without ``dueling``.
        learns_values: whether its heads are learnt; another algorithm takes what a derived class puts out.

    Args:
        obs_space: as for every model.
        action_space: Discrete, MultiDiscrete, MultiBinary, integer Box, or a Tuple or Dict of them.
        num_outputs: the width of a derived class's output; not read where a model lies beneath.
        model_config: as for every model. Beneath heads `vf_share_layers` is on, for no value is computed there.
        name: as for every model.
        q_hiddens: sizes of each head's dense layers, each at least 1.
        dueling: value and advantages in heads of their own.
        dueling_activation: activation of the heads' dense layers, with ``dueling`` or without.
        num_atoms: Z, at least 1; above 1, distributions are learnt.
        use_noisy: noisy layers in the heads.
        v_min: the smallest return that a distribution covers.
        v_max: the largest one, above ``v_min``.
        sigma0: see `NoisyLinear`.
        add_layer_norm: normalise the output of each dense layer, for noise on parameters.

    Raises:
        UnsupportedSpaceError: some part of the actions is continuous.
        ConfigError: a setting is out of range, or has no effect here.
        ModelError: the model beneath does not say how wide its features are, or puts out another number of values.
    """

    support: Array | None
    advantage_head: Any
    state_head: Any
    learns_values = False
    without_heads = "hiddens=[] and dueling=False"

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
        *,
        q_hiddens: Sequence[int] = (256,),
        dueling: bool = False,
        dueling_activation: ActivationSpec | None = "relu",
        num_atoms: int = 1,
        use_noisy: bool = False,
        v_min: float = -10.0,
        v_max: float = 10.0,
        sigma0: float = 0.5,
        add_layer_norm: bool = False,
    ):
        branches = Branches(numbers_of_options(action_space))
        count = branches.total
        require(all(size >= 1 for size in q_hiddens), "q_hiddens", q_hiddens, "layer sizes are at least 1")
        require(num_atoms >= 1, "num_atoms", num_atoms, "it must be at least 1")
        require(num_atoms == 1 or v_min < v_max, "v_max", v_max, f"it must be above `v_min`, which is {v_min!r}")
        require(sigma0 >= 0, "sigma0", sigma0, "the size of noise is at least 0")
        has_heads = dueling or len(q_hiddens) > 0
        require(has_heads or not use_noisy, "use_noisy", use_noisy, "without `q_hiddens` no layer is there to be noisy")
        if _lies_on_a_model(type(self)):
            num_outputs = _features_asked_for(model_config) if has_heads else count * num_atoms
            # A separate stack for a value that no algorithm asks for would never be trained.
            model_config = {**model_config, "vf_share_layers": True}
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        _require_free_names(self)
        width = _width_of(self, None if has_heads else count * num_atoms)
        self.num_atoms, self.branches = num_atoms, branches
        noisy = sigma0 if use_noisy else None
        layers = HeadLayers(width, tuple(q_hiddens), dueling_activation, noisy, add_layer_norm)
        self._add_q_heads(
            np.linspace(v_min, v_max, num_atoms, dtype=np.float32) if num_atoms > 1 else None,
            layers if has_heads else None,
            layers if dueling else None,
        )

    def _add_q_heads(
        self, support: npt.NDArray[np.float32] | None, advantages: HeadLayers | None, state: HeadLayers | None
    ) -> None:
        """Set `support`, `advantage_head` (to A Z numbers) and `state_head` (to Z), each None where there is none."""
        raise NotImplementedError

    def _run_q_head(self, head: Any, features: Array, noise: Noise) -> Array:
        """Return the output of a head [N, out]."""
        raise NotImplementedError

    def get_q_value_distributions(self, features: Array, *, noise: Noise = True) -> QDistributions:
        """Return the output of the action head for features [N, F]; with ``dueling`` these are advantages.

        Raises:
            ModelError: the features are not F wide.
        """
        logits = self.__head_logits(features, noise)
        return QDistributions(_means(logits, self.support), logits, xp(logits).softmax(logits))

    def get_state_value(self, features: Array, *, noise: Noise = True) -> Array:
        """Return the values of the states [N, Z] of features [N, F], as logits where Z is above 1.

        Raises:
            ModelError: the model is not dueling.
        """
        if self.state_head is None:
            raise ModelError(
                f"{type(self).__name__} has no state values; build it with dueling=True, or ask q_values()."
            )
        return self._run_q_head(self.state_head, features, noise)

    def q_logits(self, features: Array, mask: Array | None = None, *, noise: Noise = True) -> Array:
        """Return the logits [N, A, Z] of the options' returns, value and advantages put together; where Z is 1, Q.

        Args:
            features: [N, F].
            mask: [N, A] of booleans or 0/1, what is allowed; a choice that allows nothing counts as one that allows
                everything. A forbidden option counts as one whose logits (with ``dueling``, advantages) are 0: the
                head's output for it changes nothing, and the mean of ``dueling`` leaves it out.
            noise: where noisy layers draw their noise from, see `Noise`.

        Raises:
            ModelError: the features are not F wide.
        """
        advantages, values = self.__action_logits(features, noise), None
        if self.state_head is not None:
            given = {} if _overrides(self, "get_state_value") else {"noise": noise}
            values = self.get_state_value(features, **given)
        return branched_logits(self.branches, values, advantages, mask)

    def q_values(self, features: Array, mask: Array | None = None, *, noise: Noise = True) -> Array:
        """Return Q [N, A], the expected returns of the options; options that ``mask`` forbids have -inf.

        Pick values by index: a product of 0 and -inf is no number. A model that masks itself keeps its own large
        negative numbers. Arguments and errors are as for :meth:`q_logits`.
        """
        return masked_values(self.branches, _means(self.q_logits(features, mask, noise=noise), self.support), mask)

    def value_function(self) -> Array:
        """Return the value [N] of what the latest pass saw: Q of the best action, without a mask and without noise."""
        q = self.branches.split(self.q_values(self.last_output(), noise=False))
        ns = xp(q)
        return ns.mean(ns.max(q, axis=-1), axis=-1)

    def action_inputs(self, output: Array, mask: Array | None) -> Array:
        """Return the values of the options [N, A], without noise: what the distribution of the actions takes.

        Of a class that derives from this one it is what its ``forward`` puts out, as for every model, unless its heads
        are learnt.
        """
        return self.q_values(output, mask, noise=False) if self.__has_values() else output

    def exploring_inputs(self, output: Array, mask: Array | None, rng: Rng) -> Array:
        """Return the values of the options [N, A] with the noise of noisy layers, drawn from ``rng``."""
        return self.q_values(output, mask, noise=rng) if self.__has_values() else output

    def __has_values(self) -> bool:
        """Return whether the values of the options are something else than the output."""
        has_heads = self.advantage_head is not None or _overrides(self, "get_q_value_distributions")
        return _lies_on_a_model(type(self)) or (self.learns_values and has_heads)

    # Two underscores, or names that say whose they are, for the model beneath may have a method of any name.
    def __action_logits(self, features: Array, noise: Noise) -> Array:
        """Return what a derived class has in place of the action head, or the output of that, [N, A, Z]."""
        if not _overrides(self, "get_q_value_distributions"):
            return self.__head_logits(features, noise)
        # RLlib's for PyTorch are scores, logits and probabilities; with atoms, those for TensorFlow have five parts.
        found = self.get_q_value_distributions(features)
        return found[0][..., None] if self.num_atoms == 1 else found[2 if len(found) == 5 else 1]

    def __head_logits(self, features: Array, noise: Noise) -> Array:
        """Return the output of the action head, [N, A, Z]."""
        if len(features.shape) != 2 or features.shape[1] != self.num_outputs:
            is_value = tuple(features.shape[1:]) == (self.branches.total * self.num_atoms,)
            raise ModelError(
                f"{type(self).__name__}: features of shape {tuple(features.shape)} came, but its num_outputs says"
                f" [N, {self.num_outputs}]. Give what forward() returned, and let the model set `self.num_outputs` to"
                f" the width of that.{_WITHOUT_HEADS if is_value else ''}"
            )
        flat = features if self.advantage_head is None else self._run_q_head(self.advantage_head, features, noise)
        return xp(flat).reshape(flat, (flat.shape[0], flat.shape[1] // self.num_atoms, self.num_atoms))


_WITHOUT_HEADS = (
    " Or are these the values of the actions already? Then leave the heads out: DQN(..., hiddens=[], dueling=False)."
)


def _means(logits: Array, support: Array | None) -> Array:
    """Return values [N, A] of logits [N, A, Z]."""
    return logits[..., 0] if support is None else expected_values(logits, xp(logits).asarray(support, like=logits))


_MISSING = object()


def _require_free_names(model: QNetworks) -> None:
    """Require that the model beneath has no attribute under a name that the heads need."""
    kind = type(model)
    for name in ("advantage_head", "state_head", "support", "branches", "num_atoms"):
        if getattr(model, name, _MISSING) is not getattr(kind, name, _MISSING):
            raise ModelError(
                f"{kind.__name__}: the model beneath has an attribute `{name}`, and {_interface(model)}, which lies on"
                " it, needs that name for a part of its own. Rename the attribute."
            )


def _interface(model: QNetworks) -> str:
    return network("q values", model.framework).__name__


def _width_of(model: QNetworks, wanted: int | None) -> int:
    """Return F, the width of the features, or of the outputs where there are no heads; ``wanted``: what it must be."""
    kind = type(model).__name__
    if not model.num_outputs:
        interface = _interface(model)
        raise ModelError(
            f"{kind}: num_outputs is {model.num_outputs!r} after it was built. A model under the heads of {interface}"
            " has to say how wide its features are: leave `self.num_outputs` as it came, or set it to the width."
            f" A class that derives from {interface} has to be given a number."
        )
    if wanted is not None and model.num_outputs != wanted:
        raise ModelError(
            f"{kind}: without `q_hiddens` and `dueling` the model itself puts out {wanted} numbers to a row, one for"
            f" each action and atom, but its num_outputs is {model.num_outputs}. Correct its last layer, or give"
            " `q_hiddens`."
        )
    return model.num_outputs


def _features_asked_for(model_config: Mapping[str, Any]) -> int | None:
    """Return how many features a custom model under the heads is asked for.

    A built-in network, or a memory on a model, is asked for None: it gives its features as they come.
    """
    remembers = any(model_config.get(f"use_{memory}") for memory in ("lstm", "gru", "attention"))
    if model_config.get("custom_model") is None or remembers:
        return None
    return width_of_features(model_config.get("fcnet_hiddens", ()))


def width_of_features(fcnet_hiddens: Sequence[int]) -> int:
    """Return how wide the features of a user's class are asked to be, as in RLlib: the last of these sizes, or 256."""
    return [256, *fcnet_hiddens][-1]


def _overrides(model: QNetworks, name: str) -> bool:
    """Return whether a derived class has a method of its own in place of one that runs a head."""
    return getattr(type(model), name) is not getattr(QNetworks, name)


def _lies_on_a_model(kind: type[QNetworks]) -> bool:
    """Whether the interface is on top of another model, and not the base class of one."""
    order = kind.__mro__
    return order[order.index(QNetworks) + 1] is not network("base class", kind.framework)
