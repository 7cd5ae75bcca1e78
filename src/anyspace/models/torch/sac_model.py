"""The model of soft actor-critic: a policy, one or two Q networks and the temperature.

Letters: N rows, A actions of a Discrete space, d numbers in a continuous action.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import nn

from anyspace.config import require
from anyspace.errors import ModelError, UnsupportedSpaceError
from anyspace.models.catalog import ModelCatalog
from anyspace.models.config import MODEL_DEFAULTS
from anyspace.models.input_dict import of_network
from anyspace.models.modelv2 import ModelV2, State
from anyspace.models.torch.base import TorchModelV2
from anyspace.spaces import Simplex
from anyspace.spaces.leaves import LeafSpec
from anyspace.spaces.restore import restore_original_dimensions, structure_of
from anyspace.tree import Tree


class SACTorchModel(TorchModelV2):
    """Policy, Q networks and temperature; each network is built by the catalogue and has weights of its own.

    ``forward`` passes the observation on, restored to its structure; the methods below take it as ``model_out``. It is
    built by ``ModelCatalog.get_model_v2(..., default_model=SACTorchModel, twin_q=True)``. A custom model in its place
    derives from it; `build_policy_model` and `build_q_model` are there to be overridden.

    Each network is configured by the model configuration, under the keys of its own sub-configuration; `custom_model`
    and `custom_model_config` are not handed on. Its value is not asked for. It must have no memory, nor views of
    anything but the present observation.

    For discrete actions a Q network gives one value to each action. For continuous ones it sees the action as well:
    beside an observation that is one vector, through dense layers; beside any other as ``Tuple(observation, action)``,
    through the network for observations of several parts. There `post_fcnet_hiddens` are `fcnet_hiddens` if they are
    empty: without a layer on both parts, Q would be a sum of one term for each, and the same action the best in all
    states.

    Source: Haarnoja et al., "Soft actor-critic algorithms and applications", 2018; for discrete actions, Christodoulou,
    "Soft actor-critic for discrete action settings", 2019.

    Attributes:
        action_model: the policy.
        q_net: the first Q network.
        twin_q_net: the second one, or None.
        log_alpha: logarithm of the temperature, learnt, a scalar.
        target_entropy: the entropy that the temperature holds the policy at, in nats.

    Args:
        obs_space: as for every model.
        action_space: Discrete, float Box or Simplex.
        num_outputs: what the action distribution takes: A, 2d, or d of a Simplex; the width of the policy's output.
        model_config: as for every model.
        name: as for every model.
        policy_model_config: keys of the model configuration for the policy.
        q_model_config: keys of the model configuration for the Q networks.
        twin_q: build two Q networks.
        initial_alpha: the first temperature, above 0.
        target_entropy: None or "auto": -d, and 0.98 log A for discrete actions.

    Raises:
        UnsupportedSpaceError: the action space is another one.
        ConfigError: ``initial_alpha`` is not above 0.
        ModelError: there is a memory on this model or in one of its networks.
    """

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
        *,
        policy_model_config: Mapping[str, Any] | None = None,
        q_model_config: Mapping[str, Any] | None = None,
        twin_q: bool = True,
        initial_alpha: float = 1.0,
        target_entropy: float | str | None = None,
    ):
        if num_outputs is None:
            raise ModelError(
                f"{type(self).__name__} puts out actions, but features were asked for (num_outputs=None), as a memory"
                " asks the model beneath it. SAC has none: leave `use_lstm`, `use_gru` and `use_attention` off."
            )
        require(initial_alpha > 0, "initial_alpha", initial_alpha, "a temperature is above 0")
        config = {**MODEL_DEFAULTS, **model_config}
        super().__init__(obs_space, action_space, num_outputs, config, name)
        # A Q network's output is no distribution, whose deviations could be free.
        policy_config = _sub_config(config, policy_model_config)
        q_config = _sub_config(config, {"free_log_std": False, **(q_model_config or {})})
        self.discrete, self._action_width = _kind_of(action_space)
        self._is_vector = _is_vector(obs_space)
        outputs = self._action_width if self.discrete else 1

        def q_net(q_name: str) -> TorchModelV2:
            model = self.build_q_model(obs_space, action_space, outputs, q_config, q_name)
            return _without_memory(model, "q_model_config")

        policy = self.build_policy_model(obs_space, num_outputs, policy_config, "policy_model")
        self.action_model = _without_memory(policy, "policy_model_config")
        self.q_net = q_net("q")
        self.twin_q_net = q_net("twin_q") if twin_q else None
        self.log_alpha = nn.Parameter(torch.tensor(math.log(initial_alpha)))
        self.target_entropy = self._entropy_of(target_entropy)

    def _entropy_of(self, target: float | str | None) -> float:
        if target is None or target == "auto":
            return 0.98 * math.log(self._action_width) if self.discrete else -float(self._action_width)
        require(not isinstance(target, str), "target_entropy", target, "it is a number, 'auto' or None")
        return float(target)

    def build_policy_model(
        self, obs_space: gym.Space[Any], num_outputs: int, policy_model_config: dict[str, Any], name: str
    ) -> ModelV2:
        """Return the policy: observations of ``obs_space`` to ``num_outputs`` parameters of the action distribution.

        Args:
            obs_space: the preprocessed observation space.
            num_outputs: as the constructor got it.
            policy_model_config: every key of the model configuration.
            name: of the network.
        """
        return ModelCatalog.get_model_v2(obs_space, self.action_space, num_outputs, policy_model_config, name=name)

    def build_q_model(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int,
        q_model_config: dict[str, Any],
        name: str,
    ) -> ModelV2:
        """Return a Q network, called once for each.

        Its input is ``{"obs": ...}``: for discrete actions the observation; for continuous ones a vector of observation
        and action [N, F + d], or, where the observation is no vector, a list of the observation and the action [N, d].

        Args:
            obs_space: the preprocessed observation space.
            action_space: the environment's action space.
            num_outputs: A for discrete actions, 1 for continuous ones.
            q_model_config: every key of the model configuration.
            name: of the network.
        """
        if not self.discrete and self._is_vector:
            assert obs_space.shape is not None
            obs_space = _vector(obs_space.shape[0] + self._action_width)
        elif not self.discrete:
            observation = getattr(obs_space, "original_space", obs_space)
            obs_space = spaces.Tuple((observation, _vector(self._action_width)))
            if not q_model_config["post_fcnet_hiddens"]:
                shared = {f"post_fcnet_{key}": q_model_config[f"fcnet_{key}"] for key in ("hiddens", "activation")}
                q_model_config = {**q_model_config, **shared}
        return ModelCatalog.get_model_v2(obs_space, action_space, num_outputs, q_model_config, name=name)

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None) -> tuple[Tree, State]:
        """Return ``(the observation, restored to its structure; the state as it came)``."""
        return restore_original_dimensions(of_network(input_dict, "obs"), self.obs_space), state

    def _check_shape(self, output: Tree) -> None:
        """Check nothing: the output is the observation. With `always_check_shapes` each network checks its own."""

    def get_action_model_outputs(self, model_out: Tree) -> torch.Tensor:
        """Return the parameters [N, num_outputs] of the action distribution."""
        output: torch.Tensor = self.action_model({"obs": model_out})[0]
        return output

    def get_q_values(self, model_out: Tree, actions: torch.Tensor | None = None) -> torch.Tensor:
        """Return the values of the first Q network.

        Args:
            model_out: what ``forward`` returned for N observations.
            actions: of a continuous space, raw samples [N, ...] of the action distribution; None for a discrete one.

        Returns:
            [N, A] for discrete actions; [N, 1] for continuous ones.

        Raises:
            ModelError: actions are missing, or came although every action has a value.
        """
        return self._q_of(self.q_net, model_out, actions)

    def get_twin_q_values(self, model_out: Tree, actions: torch.Tensor | None = None) -> torch.Tensor:
        """Return the values of the second Q network; arguments are as for :meth:`get_q_values`.

        Raises:
            ModelError: there is none, or the actions are wrong.
        """
        if self.twin_q_net is None:
            raise ModelError(f"{type(self).__name__} has one Q network; build it with twin_q=True.")
        return self._q_of(self.twin_q_net, model_out, actions)

    def _q_of(self, net: TorchModelV2, model_out: Tree, actions: torch.Tensor | None) -> torch.Tensor:
        if (actions is None) != self.discrete:
            raise ModelError(
                f"{type(self).__name__}: {'actions' if self.discrete else 'no actions'} came, but the action space is"
                f" {self.action_space}. Discrete actions get one value each and none is given; of continuous ones give"
                " those whose value is asked for."
            )
        obs = model_out
        if actions is not None:
            numbers = actions.float().reshape(len(actions), self._action_width)
            obs = torch.cat([model_out.float(), numbers], dim=1) if self._is_vector else [model_out, numbers]
        values: torch.Tensor = net({"obs": obs})[0]
        return values

    def policy_variables(self) -> list[nn.Parameter]:
        """Return the parameters of the policy."""
        return list(self.action_model.parameters())

    def q_variables(self) -> list[nn.Parameter]:
        """Return the parameters of the Q networks, first network first."""
        twin = [] if self.twin_q_net is None else self.twin_q_net.parameters()
        return [*self.q_net.parameters(), *twin]


def _sub_config(model_config: dict[str, Any], overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the configuration of one network."""
    # A second stack for a value that no algorithm asks for would never be trained.
    handed_on: dict[str, Any] = {"custom_model": None, "custom_model_config": {}, "vf_share_layers": True}
    return {**model_config, **handed_on, **(overrides or {})}


def _kind_of(action_space: gym.Space[Any]) -> tuple[bool, int]:
    """Return whether actions are discrete, and A or d."""
    match action_space:
        case spaces.Discrete():
            return True, int(action_space.n)
        case Simplex():
            return False, math.prod(action_space.shape)
        case spaces.Box() if action_space.dtype.kind == "f":
            return False, math.prod(action_space.shape)
    raise UnsupportedSpaceError(
        f"action: SAC takes Discrete, float Box and Simplex actions, but the action space is {action_space}. Enumerate"
        " the actions, or take an algorithm for any space, such as PPO."
    )


def _is_vector(obs_space: gym.Space[Any]) -> bool:
    """Whether observations are one vector, and not several parts side by side."""
    one_leaf = isinstance(structure_of(obs_space), LeafSpec)
    return one_leaf and isinstance(obs_space, spaces.Box) and len(obs_space.shape) == 1


def _vector(width: int) -> spaces.Box:
    return spaces.Box(-math.inf, math.inf, (width,))


def _without_memory(model: ModelV2, key: str) -> TorchModelV2:
    """Return a network; refuse one that needs more than the present observation."""
    assert isinstance(model, TorchModelV2)
    more = [name for name, view in model.view_requirements.items() if name != "obs" or view.offsets != (0,)]
    if len(model.get_initial_state()):
        more.append("a state")
    if more:
        raise ModelError(
            f"{type(model).__name__} of `{key}` needs {', '.join(more)} beside the present observation, but SAC's"
            " networks see that alone. Switch memory and previous actions off, or give a model without such views."
        )
    return model
