"""The networks of soft actor-critic, for every observation."""

import math

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from torch import nn

from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import (
    ComplexInputNetwork,
    FullyConnectedNetwork,
    ModelCatalog,
    TorchModelV2,
    ViewRequirement,
    VisionNetwork,
)
from anyspace.models.torch import SACTorchModel
from anyspace.spaces import Image, Simplex, get_preprocessor
from tests.support.catalogue import OBSERVATION_SPACES, UNSTACKED, stacked
from tests.support.thinned import thinned
from tests.support.torch_nets import draw, shuffled

OBS, PUSH, THREE, SHARES = Box(-1, 1, (3,)), Box(-2, 2, (2,)), Discrete(3), Simplex((4,))
WIDTHS = [(PUSH, 4), (THREE, 3), (SHARES, 4)]
SMALL = {"fcnet_hiddens": [8], "fcnet_activation": "relu"}


def build(action_space=PUSH, num_outputs=4, obs_space=OBS, model=None, **keywords):
    return ModelCatalog.get_model_v2(
        obs_space, action_space, num_outputs, {**SMALL, **(model or {})}, default_model=SACTorchModel, **keywords
    )


def sizes(network):
    return [(layer.in_features, layer.out_features) for layer in network.modules() if isinstance(layer, nn.Linear)]


def actions_of(action_space, rows):
    """Samples as the action distribution gives them; None where each action has a value of its own."""
    if isinstance(action_space, Discrete):
        return None
    raw = draw(rows, *action_space.shape, seed=5)
    return raw.softmax(dim=-1) if isinstance(action_space, Simplex) else raw.tanh()


def observed(space, rows, *, preprocess=True):
    """What `forward` sees of random observations, and the space that the model is built for."""
    space.seed(0)
    preprocessor = get_preprocessor(space)
    leaves = preprocessor.encode(stacked(space, [space.sample() for _ in range(rows)]))
    features = preprocessor.expand(leaves) if preprocess else leaves
    obs = preprocessor.restore([torch.from_numpy(np.ascontiguousarray(feature)) for feature in features])
    return obs, preprocessor.observation_space if preprocess else space


# --------------------------------------------------------------------------------------- construction


@pytest.mark.spec(122)
@pytest.mark.parametrize(("action_space", "outputs"), WIDTHS)
@pytest.mark.parametrize("twin_q", [True, False])
def test_the_factory_builds_networks_of_the_known_sizes(action_space, outputs, twin_q):
    sub = {"fcnet_hiddens": [256, 256], "fcnet_activation": "relu"}
    model = build(
        action_space,
        outputs,
        policy_model_config=sub,
        q_model_config=sub,
        twin_q=twin_q,
        initial_alpha=0.5,
    )
    assert type(model) is SACTorchModel
    q_in, q_out = (3, 3) if action_space is THREE else (3 + math.prod(action_space.shape), 1)
    assert sizes(model.action_model)[:-1] == [(3, 256), (256, 256), (256, outputs)]
    assert sizes(model.q_net)[:-1] == [(q_in, 256), (256, 256), (256, q_out)]
    assert (model.twin_q_net is not None) is twin_q
    assert model.log_alpha.shape == ()
    assert model.log_alpha.item() == pytest.approx(math.log(0.5))
    obs, state = model({"obs": draw(5, 3)})
    assert state == []
    assert torch.equal(obs, draw(5, 3))
    assert model.get_action_model_outputs(obs).shape == (5, outputs)
    assert model.get_q_values(obs, actions_of(action_space, 5)).shape == (5, q_out)
    if twin_q:
        assert model.get_twin_q_values(obs, actions_of(action_space, 5)).shape == (5, q_out)


@pytest.mark.spec(122)
@pytest.mark.parametrize(
    ("action_space", "outputs", "expected"),
    [
        (PUSH, 4, -2),
        (Box(-1, 1, ()), 2, -1),
        (Box(-1, 1, (2, 3)), 12, -6),
        (SHARES, 4, -4),
        (THREE, 3, 1.0766),
        (Discrete(1), 1, 0),
    ],
)
def test_target_entropy(action_space, outputs, expected):
    for automatic in (None, "auto"):
        assert build(action_space, outputs, target_entropy=automatic).target_entropy == pytest.approx(
            expected, abs=1e-4
        )
    assert build(action_space, outputs, target_entropy=-0.3).target_entropy == -0.3
    assert build(action_space, outputs, target_entropy=2).target_entropy == 2


def test_defaults():
    model = build()
    assert model.twin_q_net is not None
    assert model.log_alpha.item() == 0
    assert model.target_entropy == -2


def test_sub_configurations_go_over_the_models():
    model = build(
        model={"fcnet_activation": "elu"},
        policy_model_config={"fcnet_hiddens": [7]},
        q_model_config={"fcnet_hiddens": [6]},
    )
    assert [type(layer) for layer in model.action_model.encoder] == [nn.Linear, nn.ELU]
    assert (model.action_model.encoder[0].out_features, model.q_net.encoder[0].out_features) == (7, 6)
    assert model.twin_q_net.encoder[0].out_features == 6
    with pytest.raises(ConfigError, match=r"unknown config key `fcnet_hidens`. Did you mean one of 'fcnet_hiddens'"):
        build(q_model_config={"fcnet_hidens": [7]})


def test_free_deviations_and_a_separate_value_do_not_reach_q_networks():
    model = build(model={"free_log_std": True, "vf_share_layers": False})
    assert model.action_model.log_std.shape == (2,)
    assert model.q_net.log_std is None
    assert [net.value_encoder for net in (model.action_model, model.q_net)] == [None, None]


# ------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(("action_space", "outputs"), WIDTHS)
def test_values_and_policy_are_what_the_layers_say(action_space, outputs):
    model = shuffled(build(action_space, outputs))
    obs, actions = draw(5, 3), actions_of(action_space, 5)

    def through(network, x):
        hidden = network.encoder[0]
        x = np.maximum(x @ hidden.weight.detach().numpy().T + hidden.bias.detach().numpy(), 0)
        return x @ network.logits.weight.detach().numpy().T + network.logits.bias.detach().numpy()

    joint = obs.numpy() if actions is None else np.concatenate([obs.numpy(), actions.numpy()], axis=1)
    np.testing.assert_allclose(
        model.get_action_model_outputs(obs).detach(), through(model.action_model, obs.numpy()), atol=1e-5
    )
    np.testing.assert_allclose(model.get_q_values(obs, actions).detach(), through(model.q_net, joint), atol=1e-5)
    np.testing.assert_allclose(
        model.get_twin_q_values(obs, actions).detach(), through(model.twin_q_net, joint), atol=1e-5
    )


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_actions_of_any_shape_are_flat_for_a_q_network(shape):
    width = math.prod(shape)
    model = shuffled(build(Box(-1, 1, shape), 2 * width))
    actions = draw(5, *shape)
    q = model.get_q_values(draw(5, 3), actions)
    assert q.shape == (5, 1)
    torch.testing.assert_close(q, model.q_net({"obs": torch.cat([draw(5, 3), actions.reshape(5, width)], 1)})[0])


def test_twins_share_nothing():
    model = build()
    one, other = set(model.q_net.parameters()), set(model.twin_q_net.parameters())
    assert one.isdisjoint(other)
    pairs = zip(model.q_net.parameters(), model.twin_q_net.parameters(), strict=True)
    assert all(a.data_ptr() != b.data_ptr() for a, b in pairs)
    obs, actions = draw(5, 3), actions_of(PUSH, 5)
    assert (model.get_q_values(obs, actions) != model.get_twin_q_values(obs, actions)).all()
    model.get_q_values(obs, actions).sum().backward()
    assert all(value.grad is None for value in other)


@pytest.mark.parametrize("twin_q", [True, False])
@pytest.mark.parametrize(("action_space", "outputs"), WIDTHS)
def test_parameter_groups_are_disjoint_and_complete(action_space, outputs, twin_q):
    model = build(action_space, outputs, twin_q=twin_q)
    policy, q = model.policy_variables(), model.q_variables()
    groups = [*policy, *q, model.log_alpha]
    assert len({id(value) for value in groups}) == len(groups)
    assert {id(value) for value in groups} == {id(value) for value in model.parameters()}
    assert len(q) == len(list(model.q_net.parameters())) * (1 + twin_q)
    assert all(any(value is own for own in model.action_model.parameters()) for value in policy)


@pytest.mark.parametrize(("action_space", "outputs"), WIDTHS)
@pytest.mark.parametrize(
    "space",
    [OBS, Dict(camera=Image((12, 10, 3)), speed=OBS, gear=Discrete(3)), Image((12, 10, 3)), Discrete(5)],
    ids=["vector", "dict", "picture", "index"],
)
def test_gradients_reach_every_parameter(space, action_space, outputs):
    obs, obs_space = observed(space, 12)
    model = shuffled(build(action_space, outputs, obs_space, {"conv_filters": [[4, 4, 2]], "post_fcnet_hiddens": [6]}))
    model_out, _ = model({"obs": obs})
    actions = actions_of(action_space, 12)
    loss = model.get_action_model_outputs(model_out).square().sum() + model.log_alpha
    for values in (model.get_q_values(model_out, actions), model.get_twin_q_values(model_out, actions)):
        loss = loss + values.square().sum()
    loss.backward()
    # A value is what value_function() returns, which SAC does not ask for.
    learnt = {name: value for name, value in model.named_parameters() if "value_head" not in name}
    assert [name for name, value in learnt.items() if value.grad is None or not value.grad.any()] == []
    assert len(learnt) >= 1 + 3 * 4


def test_a_q_network_passes_gradients_to_actions():
    for space in (OBS, Image((12, 10, 3)), Dict(a=OBS, b=Discrete(2))):
        obs, obs_space = observed(space, 5)
        model = shuffled(build(obs_space=obs_space))
        actions = actions_of(PUSH, 5).requires_grad_()
        model.get_q_values(model({"obs": obs})[0], actions).sum().backward()
        assert actions.grad.all()


# ------------------------------------------------------------------------------------- observations


@pytest.mark.parametrize(
    ("space", "policy", "of_actions"),
    [
        (OBS, FullyConnectedNetwork, FullyConnectedNetwork),
        (Discrete(5), FullyConnectedNetwork, FullyConnectedNetwork),
        (Image((12, 10, 3)), VisionNetwork, ComplexInputNetwork),
        (Box(-1, 1, (2, 3)), ComplexInputNetwork, ComplexInputNetwork),
        (Dict(a=OBS, b=Discrete(2)), FullyConnectedNetwork, ComplexInputNetwork),
        (Tuple((OBS, Image((12, 10, 3)))), ComplexInputNetwork, ComplexInputNetwork),
    ],
    ids=str,
)
def test_which_networks_see_which_observations(space, policy, of_actions):
    obs_space = get_preprocessor(space).observation_space
    for action_space, outputs in WIDTHS:
        model = build(action_space, outputs, obs_space)
        assert type(model.action_model) is policy
        expected = policy if action_space is THREE else of_actions
        assert type(model.q_net) is type(model.twin_q_net) is expected


@thinned(2, name=UNSTACKED, preprocess=[True, False])
def test_every_observation_has_an_action_and_values(name, preprocess):
    obs, obs_space = observed(OBSERVATION_SPACES[name], 2, preprocess=preprocess)
    for action_space, outputs in WIDTHS:
        model = build(action_space, outputs, obs_space, {"_disable_preprocessor_api": not preprocess})
        model_out, _ = model({"obs": obs})
        assert model.get_action_model_outputs(model_out).shape == (2, outputs)
        actions = actions_of(action_space, 2)
        for values in (model.get_q_values(model_out, actions), model.get_twin_q_values(model_out, actions)):
            assert values.shape == (2, 3 if actions is None else 1)


def test_flat_observations_are_restored():
    space = Dict(a=OBS, b=Discrete(2))
    obs, obs_space = observed(space, 5)
    model = shuffled(build(obs_space=obs_space))
    flat = torch.cat([obs["a"], obs["b"]], dim=1)
    restored, _ = model({"obs": flat})
    assert restored.keys() == {"a", "b"}
    actions = actions_of(PUSH, 5)
    for ask in (model.get_action_model_outputs, lambda out: model.get_q_values(out, actions)):
        torch.testing.assert_close(ask(restored), ask(obs))


@pytest.mark.parametrize("space", [OBS, Image((12, 10, 3)), Dict(a=OBS, b=Discrete(2))], ids=str)
def test_the_best_action_depends_on_the_observation(space):
    obs, obs_space = observed(space, 2)
    model = shuffled(build(obs_space=obs_space))
    model_out, _ = model({"obs": obs})
    tried = [torch.tensor([[-1.0, 0.5]] * 2), torch.tensor([[1.0, -0.5]] * 2)]
    first, second = (model.get_q_values(model_out, actions) for actions in tried)
    # In a sum of a term for each, the gain of one action over another would be the same in all states.
    gains = (second - first).flatten().tolist()
    assert abs(gains[0] - gains[1]) > 1e-3


def test_the_layers_on_both_parts_follow_the_configuration():
    obs_space = get_preprocessor(Dict(a=OBS, b=Discrete(2))).observation_space
    q_layers = [type(layer) for layer in build(obs_space=obs_space).q_net.encoder]
    assert q_layers == [type(build(obs_space=obs_space).q_net.encoder[0]), nn.Linear, nn.ReLU]
    config = {"post_fcnet_hiddens": [5, 4], "post_fcnet_activation": "elu"}
    own = build(obs_space=obs_space, q_model_config=config).q_net.encoder
    assert [type(layer) for layer in own[1:]] == [nn.Linear, nn.ELU, nn.Linear, nn.ELU]
    assert own[3].out_features == 4


# ------------------------------------------------------------------------------------ custom networks


class OwnQ(SACTorchModel):
    """Overrides what the old system's users override."""

    def build_q_model(self, obs_space, action_space, num_outputs, q_model_config, name):
        config = {**q_model_config, "fcnet_hiddens": [13]}
        return super().build_q_model(obs_space, action_space, num_outputs, config, name)

    def build_policy_model(self, obs_space, num_outputs, policy_model_config, name):
        self.asked = (num_outputs, name)
        return super().build_policy_model(obs_space, num_outputs, policy_model_config, name)


def test_a_custom_model_derives_from_it():
    model = build(model={"custom_model": OwnQ, "custom_model_config": {"initial_alpha": 2.0}}, twin_q=False)
    assert type(model) is OwnQ
    assert model.q_net.encoder[0].out_features == 13
    assert model.action_model.encoder[0].out_features == 8
    assert model.asked == (4, "policy_model")
    assert model.twin_q_net is None
    assert model.log_alpha.item() == pytest.approx(math.log(2))


class Own(TorchModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, *, offset=0.0):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.layer = nn.Linear(obs_space.shape[0], num_outputs)
        self.offset = offset

    def forward(self, input_dict, state, seq_lens):
        return self.layer(input_dict["obs_flat"]) + self.offset, state


def test_networks_may_be_custom_models():
    custom = {"custom_model": Own, "custom_model_config": {"offset": 100.0}}
    model = build(policy_model_config=custom, q_model_config={"custom_model": Own})
    assert [type(net) for net in (model.action_model, model.q_net, model.twin_q_net)] == [Own] * 3
    assert sizes(model.q_net) == [(5, 1)]
    assert model.get_action_model_outputs(draw(5, 3)).min() > 50
    assert model.get_q_values(draw(5, 3), actions_of(PUSH, 5)).max() < 50


def test_shapes_are_checked_in_the_networks():
    class Wrong(Own):
        def forward(self, input_dict, state, seq_lens):
            return input_dict["obs_flat"], state

    model = build(model={"always_check_shapes": True}, q_model_config={"custom_model": Wrong})
    obs, _ = model({"obs": draw(5, 3)})
    assert model.get_action_model_outputs(obs).shape == (5, 4)
    with pytest.raises(ModelError, match=r"Wrong.forward\(\) gave an output of shape \(5, 5\)"):
        model.get_q_values(obs, actions_of(PUSH, 5))


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (MultiBinary(11), "at most 1,024 options, but .* has 2,048: take PPO or DQN, which choose part by part"),
        (Tuple((PUSH, MultiDiscrete([40, 40]))), "at most 1,024 options, but .* has 1,600: take PPO, which choose"),
        (Box(0, 1, (0,)), "holds no value to choose"),
    ],
    ids=str,
)
def test_actions_that_are_refused(space, message):
    with pytest.raises(UnsupportedSpaceError, match=f"action: .*{message}"):
        build(space, 22)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"initial_alpha": 0.0}, "`initial_alpha` is 0.0, but a temperature is above 0"),
        ({"target_entropy": "automatic"}, "`target_entropy` is 'automatic', but it is a number, 'auto' or None"),
        (
            {"target_entropy": {"discrete": 1.0}},
            "`target_entropy` is .*, but the parts of these actions are continuous",
        ),
    ],
)
def test_settings_out_of_range(keywords, message):
    with pytest.raises(ConfigError, match=message):
        build(**keywords)


@pytest.mark.parametrize("memory", ["use_lstm", "use_gru", "use_attention"])
def test_memories_are_in_both_networks_or_in_none(memory):
    with pytest.raises(ModelError, match=r"SACTorchModel puts out actions, but features .* networks have memories of"):
        build(model={memory: True})
    reason = "`use_attention` gives a Q network" if memory == "use_attention" else "gives a memory and .* gives none"
    for key in ("policy_model_config", "q_model_config"):
        with pytest.raises(ModelError, match=reason):
            build(**{key: {memory: True}})
    if memory == "use_attention":
        with pytest.raises(ModelError, match="which a short burn-in does not fill"):
            build(policy_model_config={memory: True}, q_model_config={memory: True})


def test_views_are_refused():
    class Looking(Own):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.view_requirements["earlier"] = ViewRequirement("rewards", shift=-1)

    with pytest.raises(ModelError, match="Looking of `q_model_config` needs earlier beside the present observation"):
        build(q_model_config={"custom_model": Looking})


def test_actions_come_where_they_are_wanted():
    with pytest.raises(ModelError, match=r"SACTorchModel: no actions came, but the action space is Box"):
        build().get_q_values(draw(5, 3))
    with pytest.raises(ModelError, match=r"SACTorchModel: actions came, but the action space is Discrete\(3\)"):
        build(THREE, 3).get_twin_q_values(draw(5, 3), torch.zeros(5))
    with pytest.raises(ModelError, match=r"SACTorchModel has one Q network; build it with twin_q=True"):
        build(twin_q=False).get_twin_q_values(draw(5, 3), actions_of(PUSH, 5))


def test_misspelt_keyword_arguments_are_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'twin'"):
        build(twin=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'twin'"):
        build(model={"custom_model": OwnQ}, twin=True)


# --------------------------------------------------------------------------------- actions of several kinds

HYBRID = Tuple((Discrete(3), Box(-1, 1, (2,)), MultiDiscrete([4, 5])))


def test_choices_are_enumerated_jointly_beside_numbers():
    model = shuffled(build(HYBRID, 16))
    obs, numbers = draw(5, 3), draw(5, 2, seed=1)
    assert (model.joint.choices, model.joint.width) == (60, 2)
    assert sizes(model.q_net)[:-1] == [(5, 8), (8, 60)]
    assert sizes(model.action_model)[:-1] == [(3, 8), (8, 16)]
    assert model.get_q_values(obs, numbers).shape == model.get_twin_q_values(obs, numbers).shape == (5, 60)
    assert {name: tuple(value.shape) for name, value in model.log_alphas.items()} == {"discrete": (), "continuous": ()}
    assert model.log_alpha is model.log_alphas["continuous"]
    assert model.target_entropy == -2
    with pytest.raises(ModelError, match="no actions came"):
        model.get_q_values(obs)


@pytest.mark.parametrize(
    "space", [MultiDiscrete([3, 2]), MultiBinary(2), Box(-1, 2, (2,), np.int64), Dict(a=THREE, b=Discrete(4, start=2))]
)
def test_choices_alone_take_no_numbers(space):
    model = shuffled(build(space, 8))
    choices = {MultiDiscrete: 6, MultiBinary: 4, Box: 16, Dict: 12}[type(space)]
    assert model.get_q_values(draw(5, 3)).shape == (5, choices)
    assert [*model.log_alphas] == ["discrete"]
    assert model.target_entropy == pytest.approx(0.98 * math.log(choices))


def test_target_entropies_of_several_kinds():
    given = build(HYBRID, 16, target_entropy={"discrete": 1.5})
    drawn = given.joint.draw(_blank_hybrid(), None)
    assert given.entropy_targets(drawn) == {"discrete": 1.5, "continuous": -2.0}
    automatic = build(HYBRID, 16).entropy_targets(drawn)
    assert automatic["discrete"].tolist() == pytest.approx([0.98 * math.log(60)] * 2)
    with pytest.raises(ConfigError, match=r"`target_entropy` is 1.0, but these actions have choices and numbers"):
        build(HYBRID, 16, target_entropy=1.0)


def _blank_hybrid():
    factory, width = ModelCatalog.get_action_dist(HYBRID)
    return factory(torch.zeros(2, width), None)


def test_every_parameter_belongs_to_the_group_of_its_network():
    model = build(HYBRID, 16)
    groups = {name: model.group_of(name) for name, _ in model.named_parameters()}
    assert {*groups.values()} == {"actor", "q", "twin_q", "alpha"}
    assert {name.split(".")[0] for name, group in groups.items() if group == "twin_q"} == {"twin_q_net"}
    assert model.group_of("encoder.weight") is None


# ------------------------------------------------------------------------------------------ memories


def remembering(action_space=PUSH, num_outputs=4, obs_space=OBS, memory="use_lstm", **keywords):
    config = {memory: True, "lstm_cell_size": 6, "lstm_use_prev_action": True}
    return shuffled(
        build(action_space, num_outputs, obs_space, policy_model_config=config, q_model_config=dict(config), **keywords)
    )


def rows_of(lens, width=2, seed=0):
    """Inputs of sequences that are all as long as the longest, for the model."""
    count = len(lens) * max(lens)
    return {"obs": draw(count, 3, seed=seed), "prev_actions": draw(count, width, seed=seed + 1).tanh()}


@pytest.mark.parametrize("memory", ["use_lstm", "use_gru"])
@pytest.mark.parametrize("twin_q", [True, False])
def test_each_network_remembers_by_itself(memory, twin_q):
    model = remembering(memory=memory, twin_q=twin_q)
    inputs, lens = rows_of([3, 3]), torch.tensor([3, 3], dtype=torch.int32)
    states = [torch.zeros(2, 6) for _ in model.get_initial_state()]
    assert len(states) == (1 if memory == "use_gru" else 2)
    output, after = model(inputs, states, lens)
    assert output.keys() == {"policy", "q", *(["twin_q"] if twin_q else [])}
    policy, policy_after = model.action_model(inputs, states, lens)
    torch.testing.assert_close(model.get_action_model_outputs(output), policy)
    torch.testing.assert_close(after, policy_after)
    numbers = draw(6, 2, seed=9).tanh()
    remembered = model.q_memory(inputs, states, lens)[0]
    expected = model.q_net({"obs": torch.cat([remembered, numbers], dim=1)})[0]
    torch.testing.assert_close(model.get_q_values(output, numbers), expected)
    groups = {name.split(".")[0]: model.group_of(name) for name, _ in model.named_parameters()}
    twins = {"twin_q_net": "twin_q", "twin_q_memory": "twin_q"} if twin_q else {}
    assert groups == {"action_model": "actor", "q_net": "q", "q_memory": "q", "log_alphas": "alpha", **twins}


def test_the_memories_of_q_networks_start_at_zero():
    """Whatever states the policy starts from; and its actions enter behind the memory."""
    model, lens = remembering(), torch.tensor([3], dtype=torch.int32)
    inputs = rows_of([3])
    zeros, others = [torch.zeros(1, 6)] * 2, [draw(1, 6, seed=4), draw(1, 6, seed=5)]
    first, second = model(inputs, zeros, lens)[0], model(inputs, others, lens)[0]
    torch.testing.assert_close(first["q"], second["q"])
    assert not torch.allclose(first["policy"], second["policy"])
    low, high = torch.full((3, 2), -1.0), torch.full((3, 2), 1.0)
    assert (model.get_q_values(first, low) != model.get_q_values(first, high)).all()


def test_acting_computes_the_policy_alone():
    model = remembering()
    called = []
    for part in (model.q_memory, model.twin_q_memory, model.q_net):
        part.register_forward_hook(lambda *_: called.append(1))
    with torch.inference_mode():
        output, _ = model(rows_of([1, 1]), [torch.zeros(2, 6)] * 2, torch.ones(2, dtype=torch.int32))
        assert output.keys() == {"policy"}
        assert model.action_inputs(output, None).shape == (2, 4)
    assert not called
    model(rows_of([1, 1]), [torch.zeros(2, 6)] * 2, torch.ones(2, dtype=torch.int32))
    assert len(called) == 2


def test_memories_see_views_of_their_own():
    views = remembering(HYBRID, 16).view_requirements
    assert views.keys() == {"obs", "prev_actions"}
    assert views["prev_actions"].shift == -1


@pytest.mark.parametrize("twin_q", [True, False])
def test_parameters_of_remembering_networks_are_all_listed(twin_q):
    model = remembering(twin_q=twin_q)
    listed = [*model.policy_variables(), *model.q_variables(), *model.log_alphas.values()]
    assert {id(value) for value in listed} == {id(value) for value in model.parameters()}
