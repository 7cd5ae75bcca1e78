"""The NumPy twins of small models: what acts is what trains."""

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn.utils.parametrize
from torch import nn

from anyspace import tree
from anyspace.config import merge
from anyspace.models import FullyConnectedNetwork, ModelCatalog
from anyspace.models.input_dict import InputDict
from anyspace.models.torch.attention import GTrXLNet
from anyspace.models.torch.dqn_model import DQNTorchModel
from anyspace.models.torch.gtrxl_layers import GRUGate
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.models.torch.twins import Twins
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.history import History
from anyspace.policy.policy import Policy
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES


def policy(observation_space, action_space, observation_filter="MeanStdFilter", **model):
    config = merge(PolicyConfig(), {"model": {"fcnet_hiddens": [8, 8], **model}})
    config = merge(config, {"observation_filter": observation_filter})
    made = Policy(observation_space, action_space, config, TorchRuntime("cpu"), seed=1)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    return made


def twin_outputs(made, x):
    twin = made.runtime.numpy_pass(made.model)
    assert twin is not None
    return twin(InputDict({"obs_flat": x}), [])[0]


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize(
    "model", [{}, {"free_log_std": True}, {"no_final_linear": True}, {"fcnet_hiddens": []}], ids=str
)
def test_outputs_equal_the_networks(model, activation):
    made = policy(gym.spaces.Box(-3, 3, (4,)), gym.spaces.Box(-1, 1, (3,)), fcnet_activation=activation, **model)
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    outputs = made.model({"obs": torch.from_numpy(x)})[0].detach().numpy()
    acted = twin_outputs(made, x)
    np.testing.assert_allclose(acted, outputs, rtol=1e-5, atol=1e-6)
    assert acted.dtype == np.float32


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_a_rollout_takes_the_actions_that_the_network_gives(name):
    space = OBSERVATION_SPACES[name]
    space.seed(3)
    made = policy(space, gym.spaces.Tuple([gym.spaces.Discrete(5), gym.spaces.Box(-1, 1, (2,))]))
    leaves = [np.stack(leaf) for leaf in zip(*(made.encode.single(space.sample()) for _ in range(6)), strict=True)]
    made.push(leaves)
    tensors = [made.runtime.asarray(leaf) for leaf in leaves]
    with made.acting() as act:
        noise = act.draw_noise(made.new_distribution(6), 1)[0]
    for chosen in (noise, None):
        with made.acting() as act:
            acted = act(leaves, explore=chosen is not None, noise=chosen).raw
        with made.runtime.no_grad():
            distribution = made.evaluate(Batch(obs=tensors), value=False).distribution
            expected = made.exploration.choose(
                distribution,
                explore=chosen is not None,
                rng=None,
                noise=None if chosen is None else torch.from_numpy(chosen),
            )
        np.testing.assert_array_equal(acted[0], expected[0])
        np.testing.assert_allclose(acted[1], expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ACTION_SPACES)
def test_every_distribution_acts_in_numpy(name):
    made = policy(gym.spaces.Box(-3, 3, (4,)), ACTION_SPACES[name])
    leaves = [np.zeros((3, 4), np.float32)]
    with made.acting() as act:
        assert act.network.twin is not None
        noise = act.draw_noise(made.new_distribution(3), 1)
        act(leaves, explore=noise is not None, noise=None if noise is None else noise[0])


MEMORIES = {
    "lstm": {"use_lstm": True, "lstm_cell_size": 6},
    "lstm, own deviations": {"use_lstm": True, "lstm_cell_size": 6, "free_log_std": True},
    "gtrxl, own deviations": {"use_attention": True, "free_log_std": True},
    "lstm, told": {
        "use_lstm": True,
        "lstm_cell_size": 5,
        "lstm_use_prev_action": True,
        "lstm_use_prev_reward": True,
    },
    "gru": {"use_gru": True, "lstm_cell_size": 7},
    "gtrxl": {"use_attention": True},
    "gtrxl, told": {
        "use_attention": True,
        "attention_dim": 6,
        "attention_head_dim": 4,
        "attention_num_heads": 3,
        "attention_num_transformer_units": 2,
        "attention_memory_inference": 4,
        "attention_memory_training": 7,
        "attention_use_n_prev_actions": 2,
        "attention_use_n_prev_rewards": 3,
    },
    "gtrxl of one step": {"use_attention": True, "attention_memory_inference": 1, "attention_memory_training": 0},
    "gtrxl that acts on the present": {"use_attention": True, "attention_memory_inference": 0},
}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("num_outputs", [8, None])
@pytest.mark.parametrize("memory", MEMORIES)
def test_memories_step_as_their_networks_do(memory, num_outputs, nested):
    rows, rng = 9, np.random.default_rng(1)
    space = gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.Box(-1, 1, (2,))])
    keys = {"fcnet_hiddens": [7], "_disable_action_flattening": nested, **MEMORIES[memory]}
    model = ModelCatalog.get_model_v2(gym.spaces.Box(-3, 3, (5,)), space, num_outputs, keys)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))

    def numbers(*shape):
        return rng.normal(size=(rows, *shape)).astype(np.float32)

    views = model.view_requirements
    state = []
    for i, initial in enumerate(model.get_initial_state()):
        view = views.get(f"state_in_{i}")
        state.append(numbers(*([] if view is None or view.single else [len(view.offsets)]), *initial.shape))
    if "gtrxl" in memory:
        state[-1] = np.arange(rows, dtype=np.float32)[:, None]
    inputs = {"obs_flat": numbers(5), "is_training": False}
    for name in ("prev_actions", "prev_rewards") if "told" in memory else ():
        lead = [] if views[name].single else [len(views[name].offsets)]
        if name == "prev_rewards":
            inputs[name] = numbers(*lead)
            continue
        choice = rng.integers(3, size=(rows, *lead))
        move = numbers(*lead, 2)
        inputs[name] = (choice, move) if nested else np.concatenate([choice[..., None], move], -1).astype(np.float32)
    tensors = {name: tree.map_leaves(as_tensor, value) for name, value in inputs.items()}
    with torch.no_grad():
        outputs, new = model(
            InputDict(tensors), [torch.from_numpy(part) for part in state], torch.ones(rows, dtype=torch.int32)
        )
    twin = Twins().of(model)
    assert twin is not None
    acted, acted_new = twin(InputDict(inputs), state)
    np.testing.assert_allclose(acted, outputs, rtol=1e-5, atol=1e-5)
    assert acted.dtype == np.float32
    assert len(acted_new) == len(new) == len(state)
    for own, wanted in zip(acted_new, new, strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=1e-5)
        assert own.dtype == np.float32


@pytest.mark.parametrize("num_outputs", [7, None])
def test_gtrxl_by_itself_steps_as_its_network_does(num_outputs):
    config = {"custom_model": GTrXLNet, "custom_model_config": {"memory_inference": 4, "attention_dim": 6}}
    box, seven = gym.spaces.Box(-3, 3, (5,)), gym.spaces.Discrete(7)
    model = ModelCatalog.get_model_v2(box, seven, num_outputs, config)
    x, state = torch.randn(9, 5), [torch.randn(9, 50, 6), torch.arange(9.0)[:, None]]
    with torch.no_grad():
        outputs, new = model(InputDict({"obs_flat": x, "is_training": False}), state, torch.ones(9, dtype=torch.int32))
    acted, acted_new = Twins().of(model)(InputDict({"obs_flat": x.numpy()}), [part.numpy() for part in state])
    np.testing.assert_allclose(acted, outputs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(acted_new[0], new[0], rtol=1e-5, atol=1e-5)


def as_tensor(leaf):
    return torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf


def test_a_new_twin_has_the_new_weights():
    made = policy(gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(2))
    x = np.ones((1, 4), np.float32)
    before = twin_outputs(made, x)
    with torch.no_grad():
        made.model.logits.bias.add_(1)
    np.testing.assert_allclose(twin_outputs(made, x), before + 1, rtol=1e-5)


@pytest.mark.parametrize("memory", [{}, {"use_lstm": True}, {"use_gru": True}, {"use_attention": True}], ids=str)
def test_a_model_that_was_looked_through_before_acts_with_the_new_weights(memory):
    made = policy(gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(2), **memory)
    x = np.ones((2, 4), np.float32)
    state = History.before(made.views, [x]).states()
    before = made.runtime.numpy_pass(made.model)(InputDict({"obs_flat": x}), state)[0]
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.mul_(1.5)
    after = made.runtime.numpy_pass(made.model)(InputDict({"obs_flat": x}), state)[0]
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(after, Twins().of(made.model)(InputDict({"obs_flat": x}), state)[0])


def test_whoever_looks_into_the_network_sees_it_act():
    made = policy(gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(2), use_lstm=True)
    obs = np.zeros((3, 4), np.float32)
    for module, shape in (
        (made.model, (3, 2)),
        (made.model.base, (3, 8)),
        (made.model.base.encoder, (3, 8)),
        (made.model.base.encoder[1], (3, 8)),
        (made.model.logits, (3, 2)),
    ):
        seen = []
        hook = module.register_forward_hook(lambda module, args, output, seen=seen: seen.append(output))
        made.compute_actions(obs)
        (output,) = seen
        assert (output[0] if isinstance(output, tuple) else output).shape == shape
        hook.remove()
        made.compute_actions(obs)
        assert len(seen) == 1
    forward, calls = made.model.forward, []
    made.model.forward = lambda *args: (calls.append(1), forward(*args))[1]
    made.compute_actions(obs)
    assert calls


class Louder(nn.Tanh):
    def forward(self, x):
        return 2 * torch.tanh(x)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Dropped(nn.Module):
    def forward(self, weight):
        return nn.functional.dropout(weight, 0.5, self.training)


def replace(model, path, layer):
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, layer)


@pytest.mark.parametrize("memory", [{}, {"use_lstm": True}, {"use_attention": True}], ids=str)
@pytest.mark.parametrize(
    "change",
    [
        lambda model, base: replace(base, "encoder.0", Doubled(4, 8)),
        lambda model, base: replace(base, "encoder.1", Louder()),
        lambda model, base: replace(base, "encoder.1", nn.LayerNorm(8, elementwise_affine=False)),
        lambda model, base: replace(base, "encoder", nn.Sequential(*base.encoder)),
        lambda model, base: replace(model, "logits", nn.Sequential(model.logits)),
        lambda model, base: nn.utils.parametrize.register_parametrization(base.encoder[0], "weight", Dropped()),
    ],
    ids=["linear", "activation", "norm", "stack", "head", "weights"],
)
def test_modules_of_other_types_act_through_pytorch(change, memory):
    made = policy(gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(2), **memory)
    assert made.runtime.numpy_pass(made.model) is not None
    change(made.model, getattr(made.model, "base", made.model))
    assert made.runtime.numpy_pass(made.model) is None
    if type(made.model.logits) is nn.Linear:
        made.compute_actions(np.zeros((3, 4), np.float32))


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("gtrxl.blocks.0.attention.activation", nn.GELU()),
        ("gtrxl.blocks.0.mlp.2", nn.GELU()),
        ("gtrxl.blocks.0.mlp_gate", type("Other", (GRUGate,), {})(64, 2.0)),
    ],
)
def test_another_gtrxl_acts_through_pytorch(path, layer):
    made = policy(gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(2), use_attention=True)
    replace(made.model, path, layer)
    assert made.runtime.numpy_pass(made.model) is None
    made.compute_actions(np.zeros((3, 4), np.float32))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("compiled", [torch.jit.script, lambda layer: torch.jit.trace(layer, torch.zeros(2, 4))])
def test_compiled_layers_act_through_pytorch(compiled):
    made = policy(gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(2))
    replace(made.model, "encoder.0", compiled(made.model.encoder[0]))
    for _ in range(2):
        assert made.runtime.numpy_pass(made.model) is None
    made.compute_actions(np.zeros((3, 4), np.float32))


def test_whoever_overrides_the_network_acts_through_pytorch():
    class Own(FullyConnectedNetwork):
        pass

    box, two = gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(2)
    for made in (policy(box, two, custom_model=Own), policy(box, two, fcnet_activation="elu")):
        assert made.runtime.numpy_pass(made.model) is None
        with made.acting() as act:
            assert act.network.twin is None
            act([np.zeros((3, 4), np.float32)])


# ------------------------------------------------------------------------------------------------ Q values

CHOICES = gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.MultiBinary(2), gym.spaces.MultiDiscrete([2, 4])])
HEADS = {
    "plain": {"q_hiddens": [5]},
    "dueling": {"q_hiddens": [5, 4], "dueling": True, "dueling_activation": "tanh"},
    "none": {"q_hiddens": []},
    "layer norms": {"q_hiddens": [5, 4], "dueling": True, "add_layer_norm": True},
    "distributions": {"q_hiddens": [5], "dueling": True, "num_atoms": 3, "v_min": -1.0, "v_max": 5.0},
}


def q_network(action_space=CHOICES, model=None, **heads):
    keys = {"fcnet_hiddens": [7], **(model or {})}
    box = gym.spaces.Box(-3, 3, (5,))
    made = ModelCatalog.get_model_v2(box, action_space, 13, keys, model_interface=DQNTorchModel, **heads)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    return made


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("memory", [None, "lstm", "gru", "gtrxl"])
def test_q_values_equal_the_networks(memory, heads, masked):
    model, rng, rows = q_network(model=MEMORIES.get(memory), **HEADS[heads]), np.random.default_rng(1), 9
    inputs, state = {"obs_flat": rng.normal(size=(rows, 5)).astype(np.float32)}, []
    for i, initial in enumerate(model.get_initial_state()):
        view = model.view_requirements.get(f"state_in_{i}")
        lead = [] if view is None or view.single else [len(view.offsets)]
        state.append(rng.normal(size=(rows, *lead, *initial.shape)).astype(np.float32))
    if memory == "gtrxl":
        state[-1] = np.arange(rows, dtype=np.float32)[:, None]
    mask = rng.random((rows, 13)) < 0.6 if masked else None
    with torch.no_grad():
        tensors = InputDict({name: torch.from_numpy(value) for name, value in inputs.items()} | {"is_training": False})
        lens = None if memory is None else torch.ones(rows, dtype=torch.int32)
        features, new = model(tensors, [torch.from_numpy(part) for part in state], lens)
        expected = model.action_inputs(features, None if mask is None else torch.from_numpy(mask))
    acted, acted_new = Twins().of(model)(InputDict(inputs | ({} if mask is None else {"action_mask": mask})), state)
    np.testing.assert_allclose(acted, expected, rtol=1e-4, atol=1e-5)
    assert acted.dtype == np.float32
    for own, wanted in zip(acted_new, new, strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=1e-5)


class Mine(DQNTorchModel):
    """An interface of a user's, which may compute something else."""


def test_other_heads_have_no_twin():
    assert Twins().of(q_network(q_hiddens=[5])) is not None
    assert Twins().of(q_network(q_hiddens=[5], use_noisy=True)) is None
    keys = {"fcnet_hiddens": [7]}
    mine = ModelCatalog.get_model_v2(gym.spaces.Box(-3, 3, (5,)), CHOICES, 13, keys, model_interface=Mine)
    assert Twins().of(mine) is None
    hooked = q_network(q_hiddens=[5])
    hooked.advantage_head.register_forward_hook(lambda *_: None)
    assert Twins().of(hooked) is None
    derived = q_network(q_hiddens=[5])
    derived.__class__ = type("Derived", (type(derived),), {"q_values": lambda self, *_, **__: None})
    assert Twins().of(derived) is None
