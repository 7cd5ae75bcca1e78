"""The networks of soft actor-critic in any framework: a policy, one or two Q networks and the temperatures.

Letters: N rows, S sequences, H width of a memory, K joint options of the discrete parts of an action (1 where there are
none), d numbers in its continuous parts (0 where there are none).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from anyspace import tree
from anyspace.config import require
from anyspace.distributions.joint import DrawnActions
from anyspace.errors import ModelError
from anyspace.maths.xp import Array, xp
from anyspace.models.catalog import ModelCatalog
from anyspace.models.config import completed
from anyspace.models.input_dict import of_network
from anyspace.models.modelv2 import ModelV2, State, is_own
from anyspace.models.soft_actor_critic import (
    ON_TOP,
    given_targets,
    is_vector,
    joint_actions,
    require_no_more_than_observations,
    soft_actor_critic,
    sub_config,
    vector,
)
from anyspace.models.view_requirement import ViewRequirement
from anyspace.models.wrapping import joined_views
from anyspace.spaces.restore import restore_original_dimensions
from anyspace.tree import Tree

_MEMORIES = ("use_lstm", "use_gru", "use_attention")

_GROUPS = {"action_model": "actor", "q_net": "q", "q_memory": "q", "log_alphas": "alpha"} | {
    f"twin_{part}": "twin_q" for part in ("q_net", "q_memory")
}
"""Whose loss trains the parameters of each part."""


class SACNetworks(ModelV2):
    """Policy, Q networks and temperatures; each network is built by the catalogue and has weights of its own.

    A framework's class comes before its base class, and holds the temperatures. It is built by
    ``ModelCatalog.get_model_v2(..., default_model=SACTorchModel, twin_q=True)``. A custom model in its place derives
    from it; `build_policy_model` and `build_q_model` are there to be overridden. Each network is configured by the
    model configuration, under the keys of its own sub-configuration; `custom_model` and `custom_model_config` are not
    handed on. Its value is not asked for.

    Actions are what their space holds: the discrete parts (Discrete, MultiDiscrete, MultiBinary, integer Box), wherever
    they are in a Tuple or Dict, are enumerated jointly, and a Q network gives one value to each of the K joint options.
    It sees the numbers of the continuous parts (float Box, Simplex), if there are any, beside the observation: beside
    one vector, through dense layers; beside any other as ``Tuple(observation, numbers)``, through the network for
    observations of several parts. There `post_fcnet_hiddens` are `fcnet_hiddens` if they are empty: without a layer on
    both, Q would be a sum of one term for each, and the same action the best in all states.

    Without memory ``forward`` passes the observation on, restored to its structure; the methods below take it as
    ``model_out``. With `use_lstm` or `use_gru` in both sub-configurations, policy and Q networks have a memory of their
    own. The model's states are the policy's; those of Q networks are zero before each sequence, with the burn-in ahead
    of it. A Q network then is dense layers (`post_fcnet_hiddens`, or `fcnet_hiddens` if they are empty) on what its
    memory remembers and the numbers of the action. What ``forward`` returns holds what these methods take; when acting,
    it computes the policy alone.

    Source: Haarnoja et al., "Soft actor-critic algorithms and applications", 2018, https://arxiv.org/abs/1812.05905;
    for discrete actions, Christodoulou, "Soft actor-critic for discrete action settings", 2019,
    https://arxiv.org/abs/1910.07207; both kinds together as Delalleau et al., "Discrete and continuous action
    representation for practical RL in video games", 2019, https://arxiv.org/abs/1912.11077.

    Attributes:
        joint: what is enumerated of an action, and what is sampled.
        action_model: the policy.
        q_net: the first Q network.
        twin_q_net: the second one, or None.
        q_memory: the memory beneath the first Q network, or None.
        twin_q_memory: that beneath the second one, or None.
        log_alphas: logarithms of the temperatures, learnt, scalars by kind: "discrete", "continuous", or both.

    Args:
        obs_space: as for every model.
        action_space: any, with at most 1,024 joint options.
        num_outputs: what the action distribution takes; the width of the policy's output.
        model_config: as for every model.
        name: as for every model.
        policy_model_config: keys of the model configuration for the policy.
        q_model_config: keys of the model configuration for the Q networks.
        twin_q: build two Q networks.
        initial_alpha: the first temperature, above 0, of each kind.
        target_entropy: None or "auto": 0.98 log K for the choices, of rows with a mask 0.98 times the logarithm of how
            many joint options it allows, and -d for the numbers. Else a number, or numbers by kind.

    Raises:
        UnsupportedSpaceError: the actions have more joint options, or nothing to choose.
        ConfigError: ``initial_alpha`` is not above 0, or the target entropy is not as it must be.
        ModelError: a memory is not where it must be, or a network needs other views.
    """

    networks_of = "SAC"

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
        policy_model_config: Mapping[str, Any] | None = None,
        q_model_config: Mapping[str, Any] | None = None,
        twin_q: bool = True,
        initial_alpha: float = 1.0,
        target_entropy: float | str | Mapping[str, float] | None = None,
    ):
        if num_outputs is None:
            raise ModelError(
                f"{type(self).__name__} puts out actions, but features were asked for (num_outputs=None), as a memory"
                " asks the model beneath it. Its networks have memories of their own: set `use_lstm` or `use_gru` in"
                " `policy_model_config` and in `q_model_config`, and leave them off here."
            )
        require(initial_alpha > 0, "initial_alpha", initial_alpha, "a temperature is above 0")
        config = completed(model_config)
        super().__init__(obs_space, action_space, num_outputs, config, name)
        policy_config = sub_config(config, policy_model_config)
        # A Q network's output is no distribution, whose deviations could be free.
        q_config = sub_config(config, {"free_log_std": False, **(q_model_config or {})})
        self.joint = joint_actions(action_space)
        policy = self.build_policy_model(obs_space, num_outputs, policy_config, "policy_model")
        self.action_model = self._checked(policy)
        self.has_memory = bool(len(self.action_model.get_initial_state()))
        self._require_memories(q_config)
        names = ("q", "twin_q") if twin_q else ("q",)
        memories: list[ModelV2 | None] = [self._new_memory(q_config, each) for each in names]
        q_space = obs_space if memories[0] is None else vector(memories[0].num_outputs)
        self._is_vector = is_vector(q_space)
        nets = [self._new_q(q_space, q_config, each) for each in names]
        self.q_memory, self.twin_q_memory = [*memories, None][:2]
        self.q_net: ModelV2 = nets[0]
        self.twin_q_net: ModelV2 | None = [*nets, None][1]
        self._add_temperatures(math.log(initial_alpha))
        self._targets = given_targets(target_entropy, self.joint.kinds)
        if self.q_memory is not None:
            self.time_major = self.action_model.is_time_major()
            self.view_requirements = self._views(obs_space)

    # ----------------------------------------------------------------------------------------- parts

    def _add_temperatures(self, start: float) -> None:
        """Add `log_alphas`, a learnt scalar for each of ``self.joint.kinds`` that starts at ``start``."""
        raise NotImplementedError

    def _acts(self) -> bool:
        """Return whether this pass is one that acts, which needs the policy alone."""
        raise NotImplementedError

    def _checked(self, model: ModelV2) -> ModelV2:
        if model.framework != self.framework:
            raise ModelError(
                f"{type(model).__name__} is a model of framework {model.framework!r}, but lies in one of"
                f" {self.framework!r}: build it of that framework."
            )
        return model

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
        config, framework = policy_model_config, self.framework
        return ModelCatalog.get_model_v2(obs_space, self.action_space, num_outputs, config, framework, name)

    def build_q_model(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int,
        q_model_config: dict[str, Any],
        name: str,
    ) -> ModelV2:
        """Return a Q network, called once for each.

        Its input is ``{"obs": ...}``: without continuous parts the observation; with them a vector of observation and
        numbers [N, F + d], or, where the observation is no vector, a list of the observation and the numbers [N, d].
        With a memory the observation is what that remembers.

        Args:
            obs_space: the preprocessed observation space; a vector, where there is a memory.
            action_space: the environment's action space.
            num_outputs: K.
            q_model_config: every key of the model configuration; it asks for no memory.
            name: of the network.
        """
        width = self.joint.width
        if width and self._is_vector:
            assert obs_space.shape is not None
            obs_space = vector(obs_space.shape[0] + width)
        elif width:
            observation = getattr(obs_space, "original_space", obs_space)
            obs_space = spaces.Tuple((observation, vector(width)))
            if not q_model_config["post_fcnet_hiddens"]:
                shared = {f"post_fcnet_{key}": q_model_config[f"fcnet_{key}"] for key in ("hiddens", "activation")}
                q_model_config = {**q_model_config, **shared}
        return ModelCatalog.get_model_v2(obs_space, action_space, num_outputs, q_model_config, self.framework, name)

    def _new_memory(self, q_config: dict[str, Any], name: str) -> ModelV2 | None:
        """Return the memory beneath a Q network."""
        if not self.has_memory:
            return None
        config = {**q_config, "parametric_actions": None, "_time_major": self.action_model.is_time_major()}
        both, name = (self.obs_space, self.action_space), f"{name}_memory"
        return self._checked(ModelCatalog.get_model_v2(*both, None, config, self.framework, name))

    def _new_q(self, q_space: gym.Space[Any], q_config: dict[str, Any], name: str) -> ModelV2:
        config = q_config
        if self.has_memory:
            behind = q_config["post_fcnet_hiddens"] or q_config["fcnet_hiddens"]
            on_top = (*ON_TOP, "custom_model", "custom_model_config", "post_fcnet_hiddens")
            config = completed({key: value for key, value in q_config.items() if key not in on_top})
            config["fcnet_hiddens"] = behind
        model = self._checked(self.build_q_model(q_space, self.action_space, self.joint.choices, config, name))
        require_no_more_than_observations(model, "q_model_config")
        return model

    def _require_memories(self, q_config: dict[str, Any]) -> None:
        """Refuse a memory of one kind of networks alone, and attention."""
        if self.action_model.model_config.get("use_attention") or q_config["use_attention"]:
            raise ModelError(
                f"{type(self).__name__}: `use_attention` gives a Q network a memory of all earlier steps, which starts"
                " empty with every sequence that is drawn from replay, and which a short burn-in does not fill. Take"
                " `use_lstm` or `use_gru`, or an on-policy algorithm, such as PPO."
            )
        if self.has_memory != any(q_config[key] for key in _MEMORIES):
            one, other = ("policy_model_config", "q_model_config")[:: 1 if self.has_memory else -1]
            raise ModelError(
                f"{type(self).__name__}: `{one}` gives a memory and `{other}` gives none. Set `use_lstm` or `use_gru`"
                " in both: the value of what a policy does from memory depends on what it remembers."
            )
        if not self.has_memory:
            require_no_more_than_observations(self.action_model, "policy_model_config")

    def _views(self, obs_space: gym.Space[Any]) -> dict[str, ViewRequirement]:
        """Return the views of all memories."""
        views = dict(self.action_model.view_requirements)
        for memory in (self.q_memory, self.twin_q_memory):
            if memory is not None:
                views = joined_views(memory, {name: view for name, view in views.items() if name != "obs"})
        return {**views, "obs": ViewRequirement(space=obs_space)}

    # ---------------------------------------------------------------------------------------- passes

    def get_initial_state(self) -> State:
        """Return the policy's states before an episode; [] without memory."""
        return self.action_model.get_initial_state()

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Tree, State]:
        """Return ``(what the other methods take as model_out, the policy's new states)``.

        Without memory that is the observation, restored to its structure. With a memory it is the policy's output [N,
        num_outputs] by the name "policy" and what the Q networks' memories remember [N, H] by "q" and "twin_q"; these
        are left out where policies act.
        """
        if self.q_memory is None:
            return restore_original_dimensions(of_network(input_dict, "obs"), self.obs_space), state
        output, state_out = self.action_model(input_dict, state, seq_lens)
        found = {"policy": output}
        if not self._acts():
            assert seq_lens is not None
            ns, sequences = xp(output), seq_lens.shape[0]
            for name, memory in (("q", self.q_memory), ("twin_q", self.twin_q_memory)):
                if memory is not None:
                    zeros = [
                        ns.broadcast_to(ns.asarray(part, like=output), (sequences, *part.shape))
                        for part in memory.get_initial_state()
                    ]
                    found[name] = memory(input_dict, zeros, seq_lens)[0]
        return found, state_out

    def _check_shape(self, output: Tree) -> None:
        """Check nothing: the output is no distribution's. With `always_check_shapes` each network checks its own."""

    def action_inputs(self, output: Tree, mask: Array | None) -> Array:
        """Return the parameters [N, num_outputs] of the action distribution, for what ``forward`` returned."""
        return self.get_action_model_outputs(output)

    def get_action_model_outputs(self, model_out: Tree) -> Array:
        """Return the parameters [N, num_outputs] of the action distribution."""
        return model_out["policy"] if self.has_memory else self.action_model({"obs": model_out})[0]

    def get_q_values(self, model_out: Tree, actions: Array | None = None) -> Array:
        """Return the values of the first Q network.

        Args:
            model_out: what ``forward`` returned for N observations.
            actions: the numbers of actions, raw samples [N, ...] of the distribution of their continuous parts, the
                parts side by side [N, d]; None without continuous parts.

        Returns:
            [N, K]: for each joint option its value; [N, 1] where nothing is discrete.

        Raises:
            ModelError: numbers are missing, or came although there are no continuous parts.
        """
        return self._q_of("q", self.q_net, model_out, actions)

    def get_twin_q_values(self, model_out: Tree, actions: Array | None = None) -> Array:
        """Return the values of the second Q network; arguments are as for :meth:`get_q_values`.

        Raises:
            ModelError: there is none, or the actions are wrong.
        """
        if self.twin_q_net is None:
            raise ModelError(f"{type(self).__name__} has one Q network; build it with twin_q=True.")
        return self._q_of("twin_q", self.twin_q_net, model_out, actions)

    def _q_of(self, name: str, net: ModelV2, model_out: Tree, actions: Array | None) -> Array:
        width = self.joint.width
        if (actions is None) != (width == 0):
            raise ModelError(
                f"{type(self).__name__}: {'no actions' if width else 'actions'} came, but the action space is"
                f" {self.action_space}. Discrete parts get one value each and none is given; of continuous parts give"
                " those whose value is asked for."
            )
        obs = model_out[name] if self.has_memory else model_out
        if actions is not None:
            ns = xp(actions)
            numbers = ns.reshape(ns.astype(actions, "float32"), (actions.shape[0], width))
            obs = ns.concatenate([ns.astype(obs, "float32"), numbers], axis=1) if self._is_vector else [obs, numbers]
        return net({"obs": obs})[0]

    # ----------------------------------------------------------------------------------- temperatures

    @property
    def log_alpha(self) -> Array:
        """Logarithm of the temperature, a scalar; that of the continuous parts, where there are two."""
        return soft_actor_critic(self).log_alphas[self.joint.kinds[-1]]

    @property
    def target_entropy(self) -> float:
        """The entropy in nats that the temperature holds the policy at, without a mask; see :attr:`log_alpha`."""
        kind = self.joint.kinds[-1]
        automatic = -float(self.joint.width) if self.joint.width else 0.98 * math.log(self.joint.choices)
        return self._targets.get(kind, automatic)

    def entropy_targets(self, drawn: DrawnActions) -> dict[str, Any]:
        """Return the entropy in nats that each kind of parts is held at: a number, or [N] where masks decide."""
        return {**self.joint.entropy_targets(drawn), **self._targets}

    # --------------------------------------------------------------------------------------- training

    def group_of(self, name: str) -> str | None:
        """Return "actor", "q", "twin_q" or "alpha"; None for what a derived class adds."""
        return _GROUPS.get(name.partition(".")[0])

    def takes_noise(self, name: str) -> bool:
        """Return what the network says whose parameter it is."""
        part, _, within = name.partition(".")
        network = self._networks().get(part)
        return super().takes_noise(name) if network is None else network.takes_noise(within)

    def custom_loss(self, policy_loss: list[Array], loss_inputs: dict[str, Any]) -> list[Array]:
        """Return the losses of actor, first Q, second Q and temperatures after each network has added its own terms.

        Each is given all losses. A parameter of a network gets the gradient of that network's loss alone.
        """
        for network in self._networks().values():
            policy_loss = network.custom_loss(policy_loss, loss_inputs)
        return policy_loss

    def has_custom_loss(self) -> bool:
        """Return whether a network adds losses, or a derived class does."""
        own = is_own(self.custom_loss, SACNetworks.custom_loss)
        return own or any(network.has_custom_loss() for network in self._networks().values())

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the networks: the policy's, and the others' as ``q_net/name`` and so on."""
        others = {part: network.metrics() for part, network in self._networks().items() if part != "action_model"}
        found = [tree.prefixed(part, metrics) for part, metrics in others.items()]
        return reduce(or_, found, self.action_model.metrics())

    def update_ops(self) -> list[Callable[[], None]]:
        """Return what the networks want to be called after every gradient step."""
        return [update for network in self._networks().values() for update in network.update_ops()]

    def _networks(self) -> dict[str, ModelV2]:
        """Return the networks that there are by the name of their attribute, the policy first."""
        parts = ("action_model", "q_memory", "q_net", "twin_q_memory", "twin_q_net")
        found: dict[str, ModelV2 | None] = {part: getattr(self, part) for part in parts}
        return {part: network for part, network in found.items() if network is not None}
