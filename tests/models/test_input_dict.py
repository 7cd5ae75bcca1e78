"""What models do with their inputs, as files of RLlib's old stack do it with a SampleBatch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import nn

from anyspace import tree
from anyspace.models import FullyConnectedNetwork, InputDict, TorchModelV2
from anyspace.rllib import SampleBatch
from anyspace.spaces import RepeatedValues, get_preprocessor

SPACE = Dict(a=Box(-1.0, 1.0, (2,)), b=Box(-1.0, 1.0, (1,)))
OBS = get_preprocessor(SPACE).observation_space


def inputs(**columns: Any) -> InputDict:
    return InputDict(
        {"is_training": False, **columns}, {"obs": lambda: torch.ones(4, 3), "obs_flat": lambda: torch.ones(4, 3)}
    )


@pytest.mark.parametrize(
    "copied",
    [lambda x: x.copy(), lambda x: x.copy(shallow=True), copy.copy, lambda x: x | {}, lambda x: SampleBatch(x)],
)
def test_copies_stand_alone(copied: Any) -> None:
    given = inputs()
    other = copied(given)
    other["obs"] = torch.zeros(4, 3)
    other["more"] = 1
    assert given[SampleBatch.CUR_OBS].sum() == given["obs_flat"].sum() == 12
    assert "more" not in given
    assert not other["obs"].any()


def test_columns_are_set_taken_out_and_put_together() -> None:
    given = inputs()
    given.update({"obs": torch.zeros(4, 3)}, more=1)
    assert not given["obs_flat"].any()
    assert given.pop("more") == 1
    assert given.pop("more", None) is None
    with pytest.raises(KeyError, match="not among the model's inputs"):
        given.pop("more")
    assert given.setdefault("obs", 5) is given["obs"]
    assert given.setdefault("other", 5) == 5
    del given["obs_flat"]
    assert "obs_flat" not in given
    with pytest.raises(KeyError):
        del given["obs_flat"]
    assert {**given} == dict(given) == dict(given.items())
    assert (given | {"last": 1})["last"] == 1


def test_rows_lengths_and_mode() -> None:
    given = inputs()
    assert (given.count, given.seq_lens, given.is_training) == (4, None, False)
    given.is_training = True
    assert given["is_training"] is True
    given.set_training(False)
    assert given.is_training is False
    assert inputs(seq_lens=torch.tensor([2, 1])).count == 3
    assert InputDict({}).count == 0
    lists = RepeatedValues(torch.zeros(2, 3, 1), torch.tensor([1.0, 2.0]), 3)
    assert InputDict({"obs": [lists]}).count == 2


class Changes(TorchModelV2, nn.Module):
    """Changes what it is given, for itself."""

    def __init__(self) -> None:
        TorchModelV2.__init__(self, OBS, Discrete(2), 2, {})
        nn.Module.__init__(self)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.seen = input_dict["obs"]
        input_dict["obs"] = torch.zeros(4, 3)
        return input_dict["obs_flat"], state


class Outer(Changes):
    """Two sub-models, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Changes(), Changes()

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.first(input_dict, state, seq_lens)
        self.second(input_dict, state, seq_lens)
        self.after = input_dict["obs"]
        return input_dict["obs_flat"], state


def test_what_a_sub_model_sets_stays_its_own() -> None:
    outer, calls = Outer(), []

    def flat() -> torch.Tensor:
        calls.append(1)
        return torch.ones(4, 3)

    outer(InputDict({}, {"obs": flat, "obs_flat": flat}))
    assert outer.first.seen.sum() == outer.second.seen.sum() == outer.after.sum() == 12
    assert len(calls) == 2  # each column was computed once, for all of them


class Within(Changes):
    """Hands on what it is given, and goes on with it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Changes()

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.inner(input_dict, state, seq_lens)
        self.after = input_dict["obs"]
        return input_dict["obs_flat"], state


class OfWithin(Changes):
    """A model on top of one that has a sub-model itself, to which it hands ``hand_on(input_dict)``."""

    def __init__(self, hand_on: Any) -> None:
        super().__init__()
        self.hand_on, self.within = hand_on, Within()

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        return self.within(self.hand_on(input_dict), state, seq_lens)


def changed(input_dict: InputDict) -> InputDict:
    input_dict["obs"] = torch.ones(4, 3)
    return input_dict


@pytest.mark.parametrize("hand_on", [lambda seen: seen, lambda seen: {"obs": seen["obs"]}, changed])
def test_what_a_sub_model_of_a_sub_model_sets_stays_its_own(hand_on: Any) -> None:
    outer = OfWithin(hand_on)
    for given in (inputs(), {"obs": torch.ones(4, 3)}):
        outer(given)
        within = outer.within
        sums = {float(sum(leaf.sum() for leaf in tree.leaves(obs))) for obs in (within.inner.seen, within.after)}
        assert sums == {12.0}


@pytest.mark.parametrize("given", ["dict", "batch", "inputs"])
def test_flat_observations_are_nested_for_the_model_that_is_called(given: str) -> None:
    model, flat = Changes(), torch.arange(12.0).view(4, 3)
    if given == "inputs":
        columns: Any = InputDict({}, {"obs": lambda: torch.ones(4, 3)})
        columns.taken = True
        columns["obs"] = flat
    else:
        columns = {"dict": dict, "batch": SampleBatch}[given]({"obs": flat})
    model(columns)
    assert model.seen["a"].tolist() == flat[:, :2].tolist()
    assert model.seen["b"].tolist() == flat[:, 2:].tolist()
    torch.manual_seed(0)
    dense = FullyConnectedNetwork(OBS, Discrete(2), 2, {"fcnet_hiddens": [4]})
    torch.testing.assert_close(dense({"obs": flat})[0], dense({"obs": {"a": flat[:, :2], "b": flat[:, 2:]}})[0])
    np.testing.assert_array_equal(columns["obs"], flat)
