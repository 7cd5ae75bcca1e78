"""What does not fit is found when the policy is built, and the message says what was wanted and what came."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from anyspace.errors import ModelError
from anyspace.models import RecurrentNetwork, TorchModelV2, ViewRequirement
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy

OBS, ACTIONS = Box(-1, 1, (4,)), Discrete(3)


class Right(RecurrentNetwork):
    """Sums its inputs up; each sub-class does one thing wrong."""

    def __init__(self):
        super().__init__(OBS, ACTIONS, 3, {}, "right")
        self.out = torch.nn.Linear(4, 3)

    def get_initial_state(self):
        return [np.zeros(4, np.float32)]

    def forward_rnn(self, inputs, state, seq_lens):
        self.sums = inputs.cumsum(1) + state[0][:, None]
        return self.out(self.sums), [self.sums[:, -1]]

    def value_function(self):
        return self.sums.sum(-1).reshape(-1)


class Narrow(Right):
    def __init__(self):
        super().__init__()
        self.out = torch.nn.Linear(4, 2)


class OneStepOnly(Right):
    """Fine when acting; in training it forgets that sequences have several steps."""

    def forward_rnn(self, inputs, state, seq_lens):
        output, new = super().forward_rnn(inputs, state, seq_lens)
        return output[:, 0], new


class Forgotten(Right):
    def forward_rnn(self, inputs, state, seq_lens):
        return super().forward_rnn(inputs, state, seq_lens)[0], [state[0]]

    def get_initial_state(self):
        return [np.zeros(4, np.float32), np.zeros(2, np.float32)]


class Column(Right):
    def value_function(self):
        return self.sums.sum(-1).reshape(-1, 1)


class EarlyValue(TorchModelV2):
    def __init__(self):
        super().__init__(OBS, ACTIONS, 3, {}, "early")

    def forward(self, input_dict, state, seq_lens):
        return torch.zeros(len(input_dict["obs_flat"]), 3), state

    def value_function(self):
        return self.value_features.sum(1)


class Undeclared(EarlyValue):
    def forward(self, input_dict, state, seq_lens):
        return torch.zeros(len(input_dict["prev_actions"]), 3), state


class WrongWidth(EarlyValue):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(5, 3)

    def forward(self, input_dict, state, seq_lens):
        return self.layer(input_dict["obs_flat"]), state


class Views(EarlyValue):
    """Right with one step of a view, wrong with the three that it declared."""

    def __init__(self):
        super().__init__()
        self.view_requirements["before"] = ViewRequirement("obs", shift="-3:-1")
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, input_dict, state, seq_lens):
        return self.layer(input_dict["before"].reshape(len(input_dict["obs_flat"]), -1)), state


def make(model):
    return Policy(OBS, ACTIONS, PolicyConfig(), TorchRuntime("cpu"), model)


@pytest.mark.spec(66, 94, 105)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Narrow,
            r"Narrow.forward\(\) gave an output of shape \(2, 2\) for 2 observations when acting, but .* \(2, 3\)",
        ),
        (OneStepOnly, r"OneStepOnly.forward\(\) gave .* shape \(4, 1\) .* on sequences of 3 steps and 1 step"),
        (Forgotten, r"Forgotten.forward\(\) returned states of shapes .* \[\(2, 4\), \(2, 2\)\] are expected"),
        (Column, r"Column.value_function\(\) gave values of shape \(2, 1\) .* Squeeze the last dimension"),
        (EarlyValue, r"EarlyValue failed .* value_function\(\) is called after forward\(\)"),
        (Undeclared, r"'prev_actions' is not among the model's inputs.* declared in view_requirements"),
        (WrongWidth, r"WrongWidth failed .*mat1 and mat2 .* given obs of Box\(.*\(4,\).* num_outputs = 3"),
        (Views, r"Views failed in a dummy pass when acting"),
    ],
)
def test_what_does_not_fit_is_named(model, message):
    with pytest.raises(ModelError, match=message) as refused:
        make(model())
    assert "\n" not in str(refused.value)


def test_what_fits_passes():
    assert make(Right()).views.recurrent


def test_shapes_may_be_checked_in_every_pass():
    class Later(EarlyValue):
        width = 3

        def forward(self, input_dict, state, seq_lens):
            return torch.zeros(len(input_dict["obs_flat"]), self.width), state

        def value_function(self):
            return torch.zeros(2)

    for always in (False, True):
        model = Later()
        model.model_config["always_check_shapes"] = always
        policy = make(model)
        model.width = 2
        batch = {"obs": [torch.zeros(2, 4)]}
        if always:
            with pytest.raises(ModelError, match=r"Later.forward\(\) gave an output of shape \(2, 2\), but \[N, 3\]"):
                policy.evaluate(batch)
        else:
            policy.evaluate(batch)
