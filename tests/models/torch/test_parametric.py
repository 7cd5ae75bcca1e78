"""The head that tells actions by their embeddings, given or learnt, by itself."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace.distributions import Categorical
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import FullyConnectedNetwork, InputDict, ModelCatalog, ModelConfig, TorchModelV2, ViewRequirement
from anyspace.models.torch import ParametricActionsModel, RecurrentWrapper
from anyspace.models.torch.dqn_model import DQNTorchModel
from anyspace.spaces import get_preprocessor, restore_original_dimensions
from tests.support.torch_nets import draw, shuffled

SHOP = Dict(
    [
        ("kind", Discrete(3, start=4)),
        ("avail_actions", Box(-1, 1, (5, 2))),
        ("action_mask", MultiBinary(5)),
        ("inner", Tuple((Box(-9, 9, (2,)), Discrete(2)))),
    ]
)
REST = Dict([("kind", SHOP["kind"]), ("inner", SHOP["inner"])])
KINDS = ("given", "learned")


def model(kind="given", space=SHOP, actions=None, num_outputs=5, **config):
    settings = {"fcnet_hiddens": [7], "action_embedding_dim": 3, "parametric_actions": kind, **config}
    obs_space = get_preprocessor(space).observation_space
    return shuffled(ModelCatalog.get_model_v2(obs_space, actions or Discrete(5), num_outputs, settings))


def seen(space=SHOP, rows=4, seed=0, **columns):
    """Return the inputs that a policy makes of random observations."""
    space.seed(seed)
    preprocessor = get_preprocessor(space)
    stacked = zip(*(preprocessor.encode.single(space.sample()) for _ in range(rows)), strict=True)
    features = preprocessor.expand([torch.from_numpy(np.stack(leaf)) for leaf in stacked])
    obs = preprocessor.restore(features)
    columns = {"action_mask": obs["action_mask"] != 0, **columns} if "action_mask" in obs else columns
    return InputDict(
        {"obs": obs, "is_training": False, **columns}, {"obs_flat": lambda: preprocessor.flatten_features(features)}
    )


# -------------------------------------------------------------------------------------------- the head


# That it trains is shown in tests/learning.
@pytest.mark.spec(160)
@pytest.mark.parametrize("vf_share_layers", [True, False])
def test_logits_are_dot_products_of_given_embeddings_and_the_intent(vf_share_layers):
    head, inputs = model(vf_share_layers=vf_share_layers), seen()
    logits, state = head(inputs)
    plain = FullyConnectedNetwork(
        get_preprocessor(REST).observation_space, Discrete(5), 2, head.model_config, "the model beneath by itself"
    )
    plain.load_state_dict(head.base.state_dict())
    intents, _ = plain({"obs": {"kind": inputs["obs"]["kind"], "inner": inputs["obs"]["inner"]}})
    for row in range(4):
        for i in range(5):
            expected = sum(inputs["obs"]["avail_actions"][row, i, e] * intents[row, e] for e in range(2))
            assert logits[row, i].item() == pytest.approx(expected.item(), abs=1e-5)
    assert (logits.shape, state) == ((4, 5), [])
    torch.testing.assert_close(head.value_function(), plain.value_function())


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_beneath_sees_neither_embeddings_nor_mask(kind):
    head, inputs = model(kind), seen()
    hidden = {"action_mask", "avail_actions"} if kind == "given" else {"action_mask"}
    assert list(head.base.obs_space.original_space) == [key for key in SHOP if key not in hidden]
    intents, values = head.base(head.columns_beneath(inputs))[0], head.base.value_function()
    for key in hidden:
        inputs["obs"] = {**inputs["obs"], key: inputs["obs"][key] + 1}
    torch.testing.assert_close(head.base(head.columns_beneath(inputs))[0], intents)
    torch.testing.assert_close(head.base.value_function(), values)
    inputs["obs"] = {**inputs["obs"], "kind": inputs["obs"]["kind"] + 1}
    assert (head.base(head.columns_beneath(inputs))[0] != intents).all()


@pytest.mark.spec(161)
def test_id_0_is_what_the_mask_forbids():
    head, inputs = model("learned"), seen()
    assert head.embeddings.weight.shape == (6, 3)
    intents, mask = head.base(head.columns_beneath(inputs))[0], inputs["action_mask"]
    assert 0 < mask.sum() < mask.numel()
    ids = torch.arange(1, 6) * mask  # 0 where the mask forbids
    logits, _ = head(inputs)
    torch.testing.assert_close(logits, (head.embeddings(ids) * intents[:, None]).sum(2))
    Categorical(logits, mask=mask).logp(mask.int().argmax(1)).sum().backward()
    rows = head.embeddings.weight.grad.any(dim=1)
    assert not rows[0]
    assert rows[1:].tolist() == mask.any(dim=0).tolist()
    del inputs["action_mask"]
    torch.testing.assert_close(head(inputs)[0], intents @ head.embeddings.weight[1:].T)


def test_learnt_embeddings_start_with_norm_1():
    obs_space = get_preprocessor(SHOP).observation_space
    fresh = ModelCatalog.get_model_v2(obs_space, Discrete(5), 5, {"parametric_actions": "learned"})
    torch.testing.assert_close(fresh.embeddings.weight.norm(dim=1), torch.ones(6))


def test_the_name_of_given_embeddings_is_configurable():
    space = Dict(offers=Box(-1, 1, (5, 4)), x=Box(-1, 1, (3,)))
    head, inputs = model(space=space, action_embedding_key="offers"), seen(space)
    assert (head.base.num_outputs, list(head.base.obs_space.original_space)) == (4, ["x"])
    intents = head.base({"obs": {"x": inputs["obs"]["x"]}})[0]
    torch.testing.assert_close(head(inputs)[0], torch.einsum("nae,ne->na", inputs["obs"]["offers"], intents))


def test_learnt_embeddings_go_with_observations_of_any_kind():
    """The mask may come in infos, so that nothing is cut out of the observation."""
    space = Box(-1, 1, (3,))
    head = model("learned", space)
    assert head.base.obs_space is head.obs_space
    obs, mask = draw(4, 3), torch.eye(5)[:4] != 0
    intents = head.base({"obs": obs})[0]
    scores = intents @ head.embeddings.weight.T
    torch.testing.assert_close(head({"obs": obs})[0], scores[:, 1:])
    torch.testing.assert_close(
        head({"obs": obs, "action_mask": mask})[0], torch.where(mask, scores[:, 1:], scores[:, :1])
    )


def test_views_and_losses_of_the_model_beneath_are_cut_as_well():
    class Beneath(FullyConnectedNetwork):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.view_requirements["earlier"] = ViewRequirement("obs", shift="-2:-1")
            self.view_requirements["prev_rewards"] = ViewRequirement("rewards", shift=-1)

        def forward(self, input_dict, state, seq_lens):
            self.shown = {name: input_dict[name] for name in input_dict}
            return super().forward(input_dict, state, seq_lens)

        def custom_loss(self, policy_loss, loss_inputs):
            self.shown = loss_inputs
            return [loss + 1 for loss in policy_loss]

        def metrics(self):
            return {"seven": 7.0}

    head = model(custom_model=Beneath)
    inputs, two = seen(), [seen(seed=seed) for seed in (1, 2)]
    earlier = torch.stack([each["obs_flat"] for each in two], dim=1)  # [N, 2, F]
    wanted = torch.stack([cut_flat(each) for each in two], dim=1)
    assert set(head.view_requirements) == {"obs", "earlier", "prev_rewards"}
    assert head.view_requirements["obs"] == ViewRequirement(space=head.obs_space)
    inputs["earlier"], inputs["prev_rewards"] = earlier, torch.ones(4)
    head(inputs)
    shown = head.base.shown
    assert list(shown["obs"]) == ["kind", "inner"]
    torch.testing.assert_close(shown["obs_flat"], cut_flat(inputs))
    torch.testing.assert_close(shown["earlier"], wanted)
    torch.testing.assert_close(shown["prev_rewards"], torch.ones(4))
    assert shown["is_training"] is False
    flat = InputDict({"advantages": draw(4)}, {"obs": lambda: inputs["obs_flat"], "earlier": lambda: earlier})
    assert head.custom_loss([1.0, 2.0], flat) == [2.0, 3.0]
    assert not dict.__contains__(flat, "obs"), "observations are flattened only for losses that look at them"
    restored = restore_original_dimensions(head.base.shown["obs"], head.base.obs_space)
    torch.testing.assert_close(restored["inner"], inputs["obs"]["inner"])
    torch.testing.assert_close(head.base.shown["earlier"], wanted)
    assert head.base.shown["advantages"] is flat["advantages"]
    assert head.metrics() == {"seven": 7.0}


def cut_flat(inputs):
    obs = inputs["obs"]
    return torch.cat([obs["kind"], *obs["inner"]], dim=1)


def test_a_memory_lies_beneath_the_head():
    head = model(use_lstm=True, lstm_cell_size=6)
    assert (type(head), type(head.base), type(head.base.base)) == (
        ParametricActionsModel,
        RecurrentWrapper,
        FullyConnectedNetwork,
    )
    assert (head.base.num_outputs, head.base.base.num_outputs) == (2, 7)
    state = head.get_initial_state()
    assert [tuple(part.shape) for part in state] == [(6,), (6,)]
    _, new = head(seen(), [part.expand(4, -1) for part in state], torch.ones(4))
    assert all(part.any() for part in new)


def test_an_interface_lies_on_top_of_the_head():
    class Doubling(TorchModelV2):
        def forward(self, input_dict, state, seq_lens):
            output, state = super().forward(input_dict, state, seq_lens)
            return 2 * output, state

    obs_space, config = get_preprocessor(SHOP).observation_space, {"parametric_actions": "given"}
    made = ModelCatalog.get_model_v2(obs_space, Discrete(5), 5, config, model_interface=Doubling)
    assert isinstance(made, ParametricActionsModel)
    inputs = seen()
    scores, _ = ParametricActionsModel.forward(made, inputs, [], None)
    torch.testing.assert_close(made(inputs)[0], 2 * scores)


@pytest.mark.parametrize("kind", KINDS)
def test_q_learning_takes_scores_as_values_and_puts_no_layers_on_them(kind):
    obs_space, config = get_preprocessor(SHOP).observation_space, {"parametric_actions": kind}
    build = partial(ModelCatalog.get_model_v2, obs_space, Discrete(5), None, config, model_interface=DQNTorchModel)
    made, inputs = build(q_hiddens=()), seen()
    scores, _ = made(inputs)
    assert made.q_values(scores).equal(ParametricActionsModel.forward(made, inputs, [], None)[0])
    for layers in ({"q_hiddens": (4,)}, {"q_hiddens": (), "dueling": True}):
        with pytest.raises(ModelError, match=r"but features .* came.* mix the actions .*`dueling=False`"):
            build(**layers)


def test_without_preprocessing_the_parts_come_as_they_are():
    head = ModelCatalog.get_model_v2(SHOP, Discrete(5), 5, {"parametric_actions": "given", "fcnet_hiddens": [7]})
    assert head.base.obs_space == REST
    obs = {
        "kind": torch.tensor([0, 2]),
        "avail_actions": draw(2, 5, 2).double(),
        "action_mask": torch.ones(2, 5, dtype=torch.int8),
        "inner": [draw(2, 2), torch.tensor([1, 0])],
    }
    logits, _ = head({"obs": obs})
    intents, _ = head.base({"obs": {"kind": obs["kind"], "inner": obs["inner"]}})
    torch.testing.assert_close(logits, torch.einsum("nae,ne->na", obs["avail_actions"].float(), intents))


# -------------------------------------------------------------------------------------------- refusals


class Wide(FullyConnectedNetwork):
    def forward(self, input_dict, state, seq_lens):
        output, state = super().forward(input_dict, state, seq_lens)
        return torch.cat([output, output], dim=1), state


class Shifted(FullyConnectedNetwork):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.view_requirements["obs"] = ViewRequirement("obs", shift="-1:0")


EMBEDDINGS = SHOP["avail_actions"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"actions": MultiDiscrete([5, 2])}, r"action: .* has to be Discrete, but it is MultiDiscrete"),
        ({"space": Box(-1, 1, (3,))}, r"obs: .* no part 'avail_actions' .* it is Box.* `action_embedding_key`"),
        ({"space": Dict(avail_action=EMBEDDINGS)}, r"no part 'avail_actions'.* Did you mean 'avail_action'\?"),
        (
            {"space": Dict(avail_actions=Box(-1, 1, (4, 2)))},
            r'obs\["avail_actions"\]: .* 5 .* \(5, E\), got Box',
        ),
        ({"space": Dict(avail_actions=Box(-1, 1, (5,)))}, r"as a Box of shape \(5, E\), got Box"),
        ({"space": Dict(avail_actions=MultiBinary((5, 2)))}, r"as a Box of shape \(5, E\), got MultiBinary"),
        ({"space": Dict(avail_actions=EMBEDDINGS, action_mask=MultiBinary(5))}, "obs: beside .* nothing for a model"),
        ({"kind": "learned", "space": Dict(action_mask=MultiBinary(5))}, "obs: beside .* nothing for a model to see"),
    ],
)
def test_spaces_that_do_not_fit_are_refused_when_built(arguments, message):
    with pytest.raises(UnsupportedSpaceError, match=message):
        model(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_outputs": None}, r"one score for each of the 5 actions, but features \(num_outputs=None\) came"),
        ({"num_outputs": 10}, "each of the 5 actions, but num_outputs = 10 came"),
        ({"custom_model": Shifted}, r"Shifted.view_requirements\['obs'\] is .* another name"),
    ],
)
def test_what_lies_around_it_has_to_fit(arguments, message):
    with pytest.raises(ModelError, match=message):
        model(**arguments)


def test_an_intent_of_another_width_is_named():
    head = model(custom_model=Wide)
    with pytest.raises(ModelError, match=r"Wide.forward\(\) gave .* \(4, 4\), but .* \[N, 2\], is expected"):
        head(seen())


def test_the_head_is_asked_for_by_its_key():
    config = {"custom_model": ParametricActionsModel}
    with pytest.raises(
        ConfigError, match=r"ParametricActionsModel is put on top of .* by `parametric_actions`; set th"
    ):
        ModelCatalog.get_model_v2(get_preprocessor(SHOP).observation_space, Discrete(5), 5, config)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"parametric_actions": "both"}, "`model.parametric_actions` is 'both', but it is 'given', 'learned' or None"),
        ({"action_embedding_key": ""}, "`model.action_embedding_key` is '', but it names a part"),
        ({"action_embedding_dim": 0}, "`model.action_embedding_dim` is 0, but it must be at least 1"),
    ],
)
def test_keys_out_of_range_are_refused(keys, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**keys).validate()
