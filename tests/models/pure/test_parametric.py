"""The head of parametric actions over arrays is that of PyTorch."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple

from anyspace.errors import ConfigError, ModelError
from anyspace.models import ModelCatalog
from anyspace.models.pure.base import ArrayModel
from anyspace.models.pure.parametric import ParametricActionsModel
from anyspace.spaces import get_preprocessor
from tests.models.pure.equal import assert_equal

SHOP = Dict(
    [
        ("kind", Discrete(3, start=4)),
        ("avail_actions", Box(-1, 1, (5, 2))),
        ("action_mask", MultiBinary(5)),
        ("inner", Tuple((Box(-9, 9, (2,)), Discrete(2)))),
    ]
)


def build(framework, **config):
    config = {"fcnet_hiddens": [7], "action_embedding_dim": 3, **config}
    return ModelCatalog.get_model_v2(get_preprocessor(SHOP).observation_space, Discrete(5), 5, config, framework)


def seen(rows, *, mask=True):
    SHOP.seed(0)
    preprocessor = get_preprocessor(SHOP)
    stacked = zip(*(preprocessor.encode.single(SHOP.sample()) for _ in range(rows)), strict=True)
    features = preprocessor.expand([np.stack(leaf) for leaf in stacked])
    obs = preprocessor.restore(features)
    columns = {"obs": obs, "obs_flat": preprocessor.flatten_features(features)}
    return columns | ({"action_mask": obs["action_mask"] != 0} if mask else {})


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("kind", ["given", "learned"])
def test_scores_and_values_are_those_of_pytorch(kind, mask):
    model, module = (build(framework, parametric_actions=kind) for framework in ("pure", "torch"))
    assert_equal(model, module, seen(6, mask=mask), gradients=mask)


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("kind", ["given", "learned"])
def test_on_a_memory(kind, time_major):
    config = {"parametric_actions": kind, "use_gru": True, "lstm_cell_size": 4, "_time_major": time_major}
    model, module = (build(framework, **config) for framework in ("pure", "torch"))
    assert model.view_requirements == module.view_requirements
    state = [np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)]
    lens = np.array([3, 2], np.int32)
    inside = np.arange(3) < lens[:, None]
    assert_equal(model, module, seen(6), state, lens, real=(inside.T if time_major else inside).ravel())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="is put on top of another model by `parametric_actions`"):
        ParametricActionsModel(
            get_preprocessor(SHOP).observation_space, Discrete(5), 5, {"parametric_actions": "given"}
        )

    class Wide(ArrayModel):
        def forward(self, input_dict, state, seq_lens):
            return np.zeros((input_dict["obs_flat"].shape[0], 9), np.float32), state

    model = build("pure", parametric_actions="learned", custom_model=Wide)
    with pytest.raises(ModelError, match="under `parametric_actions` an intent as wide as an embedding"):
        model(seen(2))
