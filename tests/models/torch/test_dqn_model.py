"""The heads of Q-learning on default, custom and remembering models."""

import re

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from torch import nn

from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import FullyConnectedNetwork, ModelCatalog, TorchModelV2
from anyspace.models.torch import DQNTorchModel
from anyspace.models.torch.noisy import NoisyLinear
from anyspace.spaces import Simplex, get_preprocessor
from tests.support.torch_nets import draw, shuffled

OBS, FOUR, FLOAT_MIN = Box(-1, 1, (3,)), Discrete(4), -3.4e38
MASK = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)
DISTRIBUTIONS = {"num_atoms": 3, "v_min": -1.0, "v_max": 5.0}


def build(model=None, num_outputs=4, obs_space=OBS, **keywords):
    model = {"fcnet_hiddens": [6], **(model or {})}
    return ModelCatalog.get_model_v2(
        obs_space, FOUR, num_outputs, model, model_interface=DQNTorchModel, **{"q_hiddens": [5], **keywords}
    )


def features_of(model, rows=5):
    return model({"obs": draw(rows, 3)})[0]


def through(head, x):
    """A head as plain matrix products: a relu after each layer but the last."""
    linear = [layer for layer in head.layers if isinstance(layer, nn.Linear)]
    for layer in linear:
        x = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        x = x if layer is linear[-1] else np.maximum(x, 0)
    return x


def softmax(x):
    weights = np.exp(x.astype(np.float64))
    return weights / weights.sum(axis=-1, keepdims=True)


# ------------------------------------------------------------------------------------------- values


@pytest.mark.spec(122)
@pytest.mark.parametrize("atoms", [1, 51])
def test_the_factory_builds_a_model_of_the_known_sizes(atoms):
    model = ModelCatalog.get_model_v2(
        OBS, FOUR, 4, {}, model_interface=DQNTorchModel, dueling=True, num_atoms=atoms, q_hiddens=[256, 128]
    )
    assert type(model).__name__ == "FullyConnectedNetwork_as_DQNTorchModel"
    assert isinstance(model, DQNTorchModel)
    assert model.num_outputs == 256
    assert model.logits is None
    for head, outputs in ((model.advantage_head, 4 * atoms), (model.state_head, atoms)):
        kinds = [type(layer) for layer in head.layers]
        assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
        shapes = [(layer.in_features, layer.out_features) for layer in head.layers if isinstance(layer, nn.Linear)]
        assert shapes == [(256, 256), (256, 128), (128, outputs)]
        for layer in head.layers[::2]:
            bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
            assert 0.9 * bound < layer.weight.abs().max() <= bound
            assert not layer.bias.any()
    features = features_of(model)
    assert features.shape == (5, 256)
    assert model.q_values(features).shape == (5, 4)
    assert model.q_logits(features).shape == model.get_q_value_distributions(features).probs.shape == (5, 4, atoms)
    assert model.get_state_value(features).shape == (5, atoms)


def test_defaults():
    model = ModelCatalog.get_model_v2(OBS, FOUR, 4, {}, model_interface=DQNTorchModel)
    assert [type(layer) for layer in model.advantage_head.layers] == [nn.Linear, nn.ReLU, nn.Linear]
    assert model.advantage_head.layers[0].out_features == 256
    assert (model.state_head, model.support, model.num_atoms) == (None, None, 1)


def test_plain_q_values_are_the_heads_outputs():
    model = shuffled(build())
    features = features_of(model)
    expected = through(model.advantage_head, features.detach().numpy())
    np.testing.assert_allclose(model.q_values(features).detach(), expected, atol=1e-5)
    np.testing.assert_allclose(model.q_logits(features)[..., 0].detach(), expected, atol=1e-5)
    scores, logits, probs = model.get_q_value_distributions(features)
    np.testing.assert_allclose(scores.detach(), expected, atol=1e-5)
    torch.testing.assert_close(logits, scores[..., None])
    assert probs.tolist() == [[[1.0]] * 4] * 5


def test_dueling_q_values():
    model = shuffled(build(dueling=True))
    features = features_of(model)
    advantages, values = (through(head, features.detach().numpy()) for head in (model.advantage_head, model.state_head))
    expected = np.stack([values[:, 0] + advantages[:, i] - advantages.mean(axis=1) for i in range(4)], axis=1)
    np.testing.assert_allclose(model.q_values(features).detach(), expected, atol=1e-5)
    np.testing.assert_allclose(model.get_state_value(features).detach(), values, atol=1e-5)
    np.testing.assert_allclose(model.get_q_value_distributions(features).scores.detach(), advantages, atol=1e-5)


@pytest.mark.parametrize("dueling", [False, True])
def test_distributional_q_values_are_means_over_the_support(dueling):
    model = shuffled(build(dueling=dueling, **DISTRIBUTIONS))
    torch.testing.assert_close(model.support, torch.tensor([-1.0, 2.0, 5.0]))
    assert "support" not in model.state_dict()
    features = features_of(model)
    logits = through(model.advantage_head, features.detach().numpy()).reshape(5, 4, 3)
    np.testing.assert_allclose(
        model.get_q_value_distributions(features).probs.detach(), softmax(logits), rtol=1e-4, atol=1e-6
    )
    if dueling:
        values = through(model.state_head, features.detach().numpy())
        logits = values[:, None] + logits - logits.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(model.q_logits(features).detach(), logits, rtol=1e-4, atol=1e-4)
    expected = softmax(logits) @ np.array([-1.0, 2.0, 5.0])
    np.testing.assert_allclose(model.q_values(features).detach(), expected, rtol=1e-4, atol=1e-4)
    assert model.q_values(features).min() > -1
    assert model.q_values(features).max() < 5


def test_a_layer_norm_follows_each_dense_layer():
    model = build(add_layer_norm=True, dueling=True, dueling_activation="tanh", q_hiddens=[5, 7])
    for head in (model.advantage_head, model.state_head):
        kinds = [type(layer).__name__ for layer in head.layers]
        assert kinds == ["Linear", "Tanh", "LayerNorm", "Linear", "Tanh", "LayerNorm", "Linear"]
    assert model.q_values(features_of(model)).shape == (5, 4)


def test_the_activation_of_the_heads():
    kinds = [type(layer) for layer in build(dueling_activation=None).advantage_head.layers]
    assert kinds == [nn.Linear, nn.Linear]


# ------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("distributions", [{}, DISTRIBUTIONS])
def test_noisy_heads(dueling, distributions):
    model = build(dueling=dueling, use_noisy=True, sigma0=0.75, **distributions)
    heads = [head for head in (model.advantage_head, model.state_head) if head is not None]
    layers = [layer for head in heads for layer in head.layers if isinstance(layer, NoisyLinear)]
    assert len(layers) == 2 * len(heads)
    assert not any(isinstance(layer, nn.Linear) for head in heads for layer in head.layers)
    for layer in layers:
        bias_noise = 0.75 / layer.weight.shape[1] ** 0.5
        torch.testing.assert_close(layer.sigma_bias, torch.full_like(layer.bias, bias_noise))
    features = features_of(model).detach()
    for training in (True, False):
        model.train(training)
        for ask in (model.q_values, model.q_logits, lambda *a, **k: model.get_q_value_distributions(*a, **k).scores):
            assert (ask(features) != ask(features)).any()
            torch.testing.assert_close(ask(features, noise=False), ask(features, noise=False))
            one, other = (ask(features, noise=torch.Generator().manual_seed(1)) for _ in range(2))
            torch.testing.assert_close(one, other)
            assert (one != ask(features, noise=False)).any()
    if dueling:
        assert (model.get_state_value(features) != model.get_state_value(features)).any()
        same = [model.get_state_value(features, noise=False) for _ in range(2)]
        torch.testing.assert_close(*same)


# ------------------------------------------------------------------------------------------- masks


@pytest.mark.spec(163)
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("distributions", [{}, DISTRIBUTIONS])
@pytest.mark.parametrize("forbidden", [FLOAT_MIN, float("inf"), float("nan")])
def test_what_forbidden_actions_hold_changes_nothing(dueling, distributions, forbidden):
    model = shuffled(build(dueling=dueling, **distributions))
    features = features_of(model).detach().requires_grad_()
    mask = torch.tensor([[0, 1, 0, 1]]).expand(5, 4)
    before = model.q_values(features, mask)
    with torch.no_grad():
        atoms = model.num_atoms
        model.advantage_head.layers[-1].bias[: 1 * atoms] = forbidden
        model.advantage_head.layers[-1].bias[2 * atoms : 3 * atoms] = forbidden
    q, logits = model.q_values(features, mask), model.q_logits(features, mask)
    assert torch.equal(q, before)
    assert q[:, 1::2].isfinite().all()
    assert (q[:, ::2] == -torch.inf).all()
    assert logits.isfinite().all()
    assert (q.argmax(dim=1) % 2 == 1).all()
    q[:, 1::2].square().sum().backward()
    assert features.grad.isfinite().all()
    assert features.grad.any()
    assert model.advantage_head.layers[-1].bias.grad.isfinite().all()
    assert not model.advantage_head.layers[-1].bias.grad.reshape(4, atoms)[::2].any()


@pytest.mark.spec(163)
@pytest.mark.parametrize("distributions", [{}, DISTRIBUTIONS])
@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.int8])
def test_the_dueling_mean_is_over_allowed_actions(distributions, dtype):
    model = shuffled(build(dueling=True, **distributions))
    features = features_of(model)
    atoms = model.num_atoms
    advantages = through(model.advantage_head, features.detach().numpy()).reshape(5, 4, atoms)
    values = through(model.state_head, features.detach().numpy())
    q, logits = model.q_values(features, MASK.to(dtype)).detach(), model.q_logits(features, MASK.to(dtype)).detach()
    for row, mask in enumerate(MASK.tolist()):
        there = [i for i in range(4) if mask[i] or not any(mask)]
        mean = np.mean([advantages[row, i] for i in there], axis=0)
        for i in range(4):
            if i not in there:
                assert q[row, i] == -torch.inf
                continue
            expected = values[row] + advantages[row, i] - mean
            np.testing.assert_allclose(logits[row, i], expected, rtol=1e-4, atol=1e-4)
            if atoms == 1:
                np.testing.assert_allclose(q[row, i], expected[0], rtol=1e-4, atol=1e-4)
            else:
                np.testing.assert_allclose(q[row, i], softmax(expected) @ [-1, 2, 5], rtol=1e-4, atol=1e-4)


def test_a_mask_that_allows_everything_is_no_mask():
    model = shuffled(build(dueling=True, **DISTRIBUTIONS))
    features = features_of(model)
    torch.testing.assert_close(model.q_values(features, torch.ones(5, 4)), model.q_values(features))


class MasksItself(TorchModelV2):
    """As parametric models of RLlib's examples do: logits with log(mask), at least -3.4e38, added."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.net = FullyConnectedNetwork(obs_space.original_space["real"], action_space, num_outputs, model_config)

    def forward(self, input_dict, state, seq_lens):
        logits, _ = self.net({"obs": input_dict["obs"]["real"]})
        return logits + torch.clamp(torch.log(input_dict["obs"]["action_mask"]), min=FLOAT_MIN), state


@pytest.mark.spec(163)
def test_a_model_may_mask_itself():
    space = get_preprocessor(Dict(action_mask=Box(0, 1, (4,)), real=OBS)).observation_space
    model = shuffled(build({"custom_model": MasksItself}, obs_space=space, q_hiddens=[]))
    assert type(model).__name__ == "MasksItself_as_DQNTorchModel"
    assert (model.num_outputs, model.advantage_head, model.state_head) == (4, None, None)
    mask = MASK[:4]
    features, _ = model({"obs": {"action_mask": mask.float(), "real": draw(4, 3)}})
    q = model.q_values(features)
    assert torch.equal(q, features)
    assert q[mask].isfinite().all()
    assert q[mask].abs().max() < 100
    assert (q[~mask] == FLOAT_MIN).all()
    assert model.get_q_value_distributions(features).probs.isfinite().all()
    masked = model.q_values(features, mask)
    assert torch.equal(masked[mask], q[mask])
    assert (masked[~mask] == -torch.inf).all()
    masked[mask].square().sum().backward()
    assert all(value.grad.isfinite().all() for value in model.net.logits.parameters())


# ------------------------------------------------------------------------------------------- branches

CHOICES = Tuple([Discrete(3), Dict(bits=MultiBinary(2), kinds=MultiDiscrete([2, 4])), Box(5, 6, (1,), np.int64)])
WIDTHS = [3, 2, 2, 2, 4, 2]


def branching(space=CHOICES, width=15, **keywords):
    keywords = {"q_hiddens": [5], **keywords}
    return shuffled(
        ModelCatalog.get_model_v2(OBS, space, width, {"fcnet_hiddens": [6]}, model_interface=DQNTorchModel, **keywords)
    )


@pytest.mark.parametrize("distributions", [{}, DISTRIBUTIONS])
def test_each_choice_is_dueling_by_itself(distributions):
    model = branching(dueling=True, **distributions)
    assert model.branches.widths == tuple(WIDTHS)
    features, atoms = features_of(model), model.num_atoms
    advantages, values = (through(head, features.detach().numpy()) for head in (model.advantage_head, model.state_head))
    advantages = advantages.reshape(5, 15, atoms)
    mask = torch.rand(5, 15, generator=torch.Generator().manual_seed(0)) < 0.6
    for given in (None, mask):
        logits, q = (ask(features, given).detach().numpy() for ask in (model.q_logits, model.q_values))
        start = 0
        for width in WIDTHS:
            for row in range(5):
                allowed = [i for i in range(start, start + width) if given is None or given[row, i]]
                allowed = allowed or list(range(start, start + width))
                mean = np.mean([advantages[row, i] for i in allowed], axis=0)
                for i in range(start, start + width):
                    if i not in allowed:
                        assert q[row, i] == -np.inf
                        continue
                    expected = values[row] + advantages[row, i] - mean
                    np.testing.assert_allclose(logits[row, i], expected, rtol=1e-4, atol=1e-4)
                    mean_return = expected[0] if atoms == 1 else softmax(expected) @ [-1, 2, 5]
                    np.testing.assert_allclose(q[row, i], mean_return, rtol=1e-4, atol=1e-4)
            start += width
        torch.testing.assert_close(model.action_inputs(features, given), torch.tensor(q))


def test_one_choice_is_what_a_discrete_action_is():
    alone, one = (branching(space, 4, dueling=True) for space in (FOUR, MultiDiscrete([4])))
    features = features_of(alone)
    torch.testing.assert_close(one.load_state_dict(alone.state_dict()).missing_keys, [])
    for mask in (None, MASK):
        torch.testing.assert_close(one.q_values(features, mask), alone.q_values(features, mask))


def test_the_value_is_that_of_the_best_action():
    model = branching(dueling=True, use_noisy=True)
    q = model.q_values(features_of(model), noise=False).detach()
    best = [part.max(dim=1).values for part in q.split(WIDTHS, dim=1)]
    torch.testing.assert_close(model.value_function().detach(), torch.stack(best).mean(dim=0))


def test_noise_is_in_what_explores_and_not_in_what_acts():
    model = branching(use_noisy=True)
    features = features_of(model)
    assert torch.equal(model.action_inputs(features, None), model.action_inputs(features, None))
    ask = [model.exploring_inputs(features, None, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(ask[0], ask[1])
    assert (ask[0] != ask[2]).any()
    assert (ask[0] != model.action_inputs(features, None)).any()


# ------------------------------------------------------------------------------------- what lies beneath


def test_without_heads_the_model_puts_out_values_or_logits():
    model = build(q_hiddens=[])
    features = features_of(model)
    assert model.logits.out_features == 4
    assert torch.equal(model.q_values(features), features)
    model = build(q_hiddens=[], **DISTRIBUTIONS)
    features = features_of(model)
    assert model.logits.out_features == 12
    assert torch.equal(model.q_logits(features), features.reshape(5, 4, 3))


def test_dueling_without_dense_layers_is_linear_on_the_features():
    model = build(q_hiddens=[], dueling=True)
    assert model.logits is None
    for head, outputs in ((model.advantage_head, 4), (model.state_head, 1)):
        assert [(layer.in_features, layer.out_features) for layer in head.layers] == [(6, outputs)]


def test_nothing_beneath_is_built_in_vain():
    model = build({"vf_share_layers": False})
    assert model.value_encoder is None


@pytest.mark.parametrize(
    "keywords", [{}, {"dueling": True, "use_noisy": True, "add_layer_norm": True, **DISTRIBUTIONS}]
)
@pytest.mark.parametrize("memory", [None, "use_lstm", "use_gru", "use_attention"])
def test_gradients_reach_every_parameter(memory, keywords):
    config = {} if memory is None else {memory: True, "lstm_cell_size": 7, "attention_dim": 7}
    model = shuffled(build(config, **keywords))
    state = [0.5 * draw(2, *part.shape) for part in model.get_initial_state()]
    if memory == "use_attention":
        state = [draw(2, 50, 7), torch.full((2, 1), 60.0)]
    lens = None if memory is None else torch.tensor([3, 2])
    features, state_out = model({"obs": draw(6, 3)}, state, lens)
    assert len(state_out) == len(state)
    if memory is not None:
        assert type(model).__name__.endswith("Wrapper_as_DQNTorchModel")
        assert model.num_outputs == 7
    model.q_values(features).square().sum().backward()
    # A value is what value_function() returns, which Q-learning does not ask for.
    learnt = {name: value for name, value in model.named_parameters() if "value_head" not in name}
    assert [name for name, value in learnt.items() if value.grad is None or not value.grad.any()] == []
    assert len(learnt) > 4


class Custom(TorchModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, *, width=8, extra=None):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        assert num_outputs in (6, None)  # the last of fcnet_hiddens, or nothing under a memory
        self.extra = extra
        self.num_outputs = width
        self.layer = nn.Linear(3, width)

    def forward(self, input_dict, state, seq_lens):
        return self.layer(input_dict["obs_flat"]), state


class Clashing(Custom):
    """Has names of its own that helpers of the interface might have had."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self._width = self._means = self._count = self._advantages = "mine"


def test_keyword_arguments_go_to_interface_and_custom_model():
    config = {"custom_model": Clashing, "custom_model_config": {"width": 9}}
    model = build(config, dueling=True, extra=5)
    assert type(model).__name__ == "Clashing_as_DQNTorchModel"
    assert (model.num_outputs, model.extra, model._width, model._means) == (9, 5, "mine", "mine")
    assert model.advantage_head.layers[0].in_features == 9
    assert model.q_values(features_of(model)).shape == (5, 4)


class Parametric(DQNTorchModel):
    """Scores of embeddings that come with the observation; one class for PPO and for DQN, as the old system had it."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, embed_size=2, **kw):
        DQNTorchModel.__init__(self, obs_space, action_space, num_outputs, model_config, name, **kw)
        self.net = FullyConnectedNetwork(OBS, action_space, embed_size, model_config, name + "_net")

    def forward(self, input_dict, state, seq_lens):
        intent, _ = self.net({"obs": input_dict["obs"]["real"]})
        return torch.einsum("nae,ne->na", input_dict["obs"]["avail"], intent), state

    def value_function(self):
        return self.net.value_function()


PARAMETRIC = get_preprocessor(Dict(avail=Box(-1, 1, (4, 5)), real=OBS)).observation_space


@pytest.mark.parametrize("as_dqn", [False, True])
def test_a_class_that_derives_from_the_interface_has_nothing_beneath(as_dqn):
    config = {"custom_model": Parametric, "custom_model_config": {"embed_size": 5}, "vf_share_layers": False}
    if as_dqn:
        model = build(config, obs_space=PARAMETRIC, q_hiddens=[])
    else:
        model = ModelCatalog.get_model_v2(PARAMETRIC, FOUR, 4, config)
    assert type(model) is Parametric
    assert model.num_outputs == 4
    assert model.model_config["vf_share_layers"] is False
    output, _ = model({"obs": {"avail": draw(5, 4, 5), "real": draw(5, 3)}})
    assert output.shape == (5, 4)
    assert model.value_function().shape == (5,)
    if as_dqn:
        assert model.advantage_head is None
        assert torch.equal(model.q_values(output), output)


def test_parametric_actions_are_q_values():
    config = {"parametric_actions": "given", "action_embedding_key": "avail"}
    model = shuffled(build(config, obs_space=PARAMETRIC, q_hiddens=[]))
    assert type(model).__name__ == "ParametricActionsModel_as_DQNTorchModel"
    output, _ = model({"obs": {"avail": draw(5, 4, 5), "real": draw(5, 3)}})
    assert torch.equal(model.q_values(output), output)


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("space", "place"),
    [
        (Box(-1, 1, (2,)), "action"),
        (Tuple([FOUR, Dict(to=Box(-1, 1, ()))]), 'action[1]["to"]'),
        (Simplex((3,)), "action"),
    ],
)
def test_actions_have_to_be_discrete(space, place):
    with pytest.raises(
        UnsupportedSpaceError, match=rf"^{re.escape(place)}: Q-learning .* has infinitely many. Take SAC or PPO"
    ):
        ModelCatalog.get_model_v2(OBS, space, 4, {}, model_interface=DQNTorchModel)
    with pytest.raises(UnsupportedSpaceError, match=r"holds no value to choose"):
        ModelCatalog.get_model_v2(OBS, Tuple([]), 4, {}, model_interface=DQNTorchModel)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"q_hiddens": [4, 0]}, r"`q_hiddens` is \[4, 0\]"),
        ({"num_atoms": 0}, "`num_atoms` is 0"),
        ({"num_atoms": 3, "v_min": 1.0, "v_max": 1.0}, r"`v_max` is 1.0, but it must be above `v_min`, which is 1.0"),
        ({"sigma0": -0.1}, "`sigma0` is -0.1"),
        ({"q_hiddens": [], "use_noisy": True}, "`use_noisy` is True, but without `q_hiddens`"),
        ({"dueling_activation": "rellu"}, r"Unknown activation \(rellu\)"),
    ],
)
def test_settings_out_of_range(keywords, message):
    with pytest.raises(ConfigError, match=message):
        build(**keywords)


def test_a_model_of_unknown_width_is_named():
    class Unaware(Custom):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.num_outputs = None

    with pytest.raises(
        ModelError, match=r"Unaware_as_DQNTorchModel: num_outputs is None .* `self.num_outputs` as it came"
    ):
        build({"custom_model": Unaware})
    with pytest.raises(ModelError, match=r"Parametric: num_outputs is None .* has to be given a number"):
        build({"custom_model": Parametric}, num_outputs=None, obs_space=PARAMETRIC)


def test_wrong_widths_are_named():
    class Stubborn(Custom):
        def __init__(self, obs_space, action_space, num_outputs, model_config, name):
            super().__init__(obs_space, action_space, 6, model_config, name)

    with pytest.raises(ModelError, match=r"puts out 12 numbers to a row, .* but its num_outputs is 8"):
        build({"custom_model": Stubborn}, q_hiddens=[], **DISTRIBUTIONS)
    with pytest.raises(ModelError, match=r"features of shape \(5, 3\) came, but its num_outputs says \[N, 6\]"):
        build().q_values(draw(5, 3))
    with pytest.raises(
        ModelError, match=r"\(5, 4\) came, .* leave the heads out: DQN\(..., hiddens=\[\], dueling=False"
    ):
        build().q_values(draw(5, 4))


@pytest.mark.parametrize("name", ["advantage_head", "branches", "support"])
def test_names_that_the_heads_need_are_free(name):
    class Taken(Custom):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            setattr(self, name, nn.Linear(2, 2))

    with pytest.raises(ModelError, match=rf"Taken_as_DQNTorchModel: .* attribute `{name}`, .* Rename the attribute"):
        build({"custom_model": Taken})


def test_state_values_need_a_dueling_model():
    with pytest.raises(ModelError, match=r"has no state values; build it with dueling=True"):
        build().get_state_value(draw(5, 6))


def test_misspelt_keyword_arguments_are_refused():
    for config in ({}, {"use_lstm": True}):
        with pytest.raises(TypeError, match=r"got keyword arguments 'duelling', which only a custom model"):
            build(config, duelling=True)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'duelling'"):
        build({"custom_model": Custom}, duelling=True)


def test_a_model_written_for_any_algorithm_lies_under_the_heads():
    class Plain(TorchModelV2, nn.Module):
        """Puts out as many numbers as it is asked for, and nothing else."""

        def __init__(self, obs_space, action_space, num_outputs, model_config, name):
            TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
            nn.Module.__init__(self)
            self.layer = nn.Linear(3, num_outputs)

        def forward(self, input_dict, state, seq_lens):
            return self.layer(input_dict["obs_flat"]), state

    assert build({"custom_model": Plain}, q_hiddens=[4]).num_outputs == 6
    assert build({"custom_model": Plain, "fcnet_hiddens": []}, dueling=True).num_outputs == 256
    assert build({"custom_model": Plain}, q_hiddens=[]).num_outputs == 4  # the values themselves


def test_heads_have_rllib_s_names_unless_the_model_has_parts_of_these_names():
    model = build(dueling=True)
    assert model.advantage_module is model.advantage_head
    assert model.value_module is model.state_head
    assert not hasattr(model, "value_modules")

    class Own(FullyConnectedNetwork):
        def __init__(self, *given):
            super().__init__(*given)
            self.value_module = nn.Linear(1, 1)

    own = build({"custom_model": Own}, dueling=True)
    assert isinstance(own.value_module, nn.Linear)
    assert own.state_head is not own.value_module
