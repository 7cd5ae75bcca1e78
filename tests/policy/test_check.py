"""What does not fit is found when the policy is built, and the message says what was wanted and what came."""

import re

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete

from anyspace import DQN
from anyspace.config import merge
from anyspace.distributions import ActionDistribution
from anyspace.errors import ModelError
from anyspace.models import RecurrentNetwork, TorchModelV2, ViewRequirement
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.check import _likely_cause, require_value
from anyspace.policy.config import PolicyConfig
from anyspace.policy.plan import Plan
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


class Layered(Right):
    """Puts the layers of its state, of which there are two, before the rows, as nn.LSTM does."""

    def get_initial_state(self):
        return [np.zeros((2, 4), np.float32)]

    def forward_rnn(self, inputs, state, seq_lens):
        output, new = super().forward_rnn(inputs, [state[0].sum(1)], seq_lens)
        return output, [torch.stack([new[0], new[0]])]


class Pair(Right):
    def get_initial_state(self):
        return [(torch.zeros(4), torch.zeros(4))]


class Counts(Right):
    """Counts steps; its state begins with a number."""

    def get_initial_state(self):
        return [np.zeros(4, np.float32), 0.5, np.float32(2)]

    def forward_rnn(self, inputs, state, seq_lens):
        output, new = super().forward_rnn(inputs, state[:1], seq_lens)
        return output, [*new, state[1] + inputs.shape[1], state[2]]


class NoStates(Right):
    def forward_rnn(self, inputs, state, seq_lens):
        return super().forward_rnn(inputs, state, seq_lens)[0], []


class Unasked(WrongWidth):
    def forward(self, input_dict, state, seq_lens):
        return input_dict["obs"][:, :3], [input_dict["obs"]]


class NoMemory(Right):
    get_initial_state = TorchModelV2.get_initial_state


class OneState(Right):
    def get_initial_state(self):
        return torch.zeros(4)


class NoValue(Right):
    def value_function(self):
        self.sums.sum(-1)


class Numpy(Right):
    def value_function(self):
        return super().value_function().numpy()


class NamedView(Right):
    def __init__(self):
        super().__init__()
        self.view_requirements["before"] = "obs"


class OldColumn(Right):
    def __init__(self):
        super().__init__()
        self.view_requirements["dones"] = ViewRequirement(shift=-1)


class Declared(Right):
    """Declares its state as an output, as old models did."""

    def __init__(self):
        super().__init__()
        self.view_requirements["state_out_0"] = ViewRequirement(space=OBS, used_for_training=False)


class Times(Right):
    """Sets its attribute for the order of axes."""

    def __init__(self):
        super().__init__()
        self.time_major = True

    def forward_rnn(self, inputs, state, seq_lens):
        assert inputs.shape[1] == len(seq_lens)
        self.sums = inputs.cumsum(0) + state[0]
        return self.out(self.sums), [self.sums[-1]]


def make(model):
    return Policy(OBS, ACTIONS, PolicyConfig(), TorchRuntime("cpu"), Plan.with_model(model))


@pytest.mark.spec(66, 94, 105)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Narrow,
            r"Narrow.forward\(\) gave an output of shape \(2, 2\) for 2 observations when acting, but .* \(2, 3\)",
        ),
        (OneStepOnly, r"OneStepOnly.forward\(\) gave .* shape \(4, 1\) .* on sequences of 3 steps and 1 step"),
        (Forgotten, r"Forgotten.forward\(\) returned states of shapes .* \[\(3, 4\), \(3, 2\)\] are expected"),
        (Column, r"Column.value_function\(\) gave values of shape \(2, 1\) .* Squeeze the last dimension"),
        (EarlyValue, r"EarlyValue failed .* value_function\(\) is called after forward\(\)"),
        (Undeclared, r"'prev_actions' is not among the model's inputs.* declared in view_requirements"),
        (WrongWidth, r"WrongWidth failed .*mat1 and mat2 .* given obs of Box\(.*\(4,\).* num_outputs = 3"),
        (Views, r"Views failed in a dummy pass when acting"),
        (NoStates, r"NoStates.forward\(\) returned no states, but get_initial_state\(\) gives some"),
        (Unasked, r"Unasked.forward\(\) returned states, but get_initial_state\(\) gives none: .* Add it"),
        (NoMemory, r"NoMemory is a RecurrentNetwork without states, .* let get_initial_state\(\) return those"),
        (Layered, r"Layered.forward\(\) returned states of shapes \[\(2, 3, 4\)\] .* \[\(3, 2, 4\)\] are expected"),
        (Pair, r"Pair.get_initial_state\(\) gave tuple as state 0, .* one flat list"),
        (OneState, r"OneState.get_initial_state\(\) must return a list of states, .* returned Tensor"),
        (NoValue, r"NoValue.value_function\(\) returned None when acting"),
        (Numpy, r"Numpy.value_function\(\) gave a NumPy array .* return a tensor"),
        (NamedView, r"NamedView.view_requirements\['before'\] is 'obs'; expected a ViewRequirement"),
        (OldColumn, r"there is no column 'dones' to look at. It is called 'terminateds'"),
    ],
)
def test_what_does_not_fit_is_named(model, message):
    with pytest.raises(ModelError, match=message) as refused:
        make(model())
    assert "\n" not in str(refused.value)


def test_numbers_are_states():
    policy = make(Counts())
    assert [(state.shape, state.dtype) for state in policy.views.initial] == [(n, np.float32) for n in ((4,), (), ())]
    obs = np.ones(4, np.float32)
    _, state = policy.compute_single_action(obs)
    _, state = policy.compute_single_action(obs, state)
    assert [part.tolist() for part in state.acted.state_out] == [[[2.0] * 4], [2.5], [2.0]]


@pytest.mark.parametrize("model", [Right, Declared, Times])
def test_what_fits_passes(model):
    assert make(model()).views.recurrent


class OfTheInstance(EarlyValue):
    def __init__(self):
        super().__init__()
        self.value_function = lambda: torch.ones(2)


class Unwritten(EarlyValue):
    def value_function(self):
        raise NotImplementedError


def test_a_value_function_is_of_the_class_or_of_the_model_itself():
    policy = make(OfTheInstance())
    require_value(policy, "PPO")
    np.testing.assert_equal(policy.predict_values(np.zeros((2, 4), np.float32)), np.ones(2))


def test_a_value_function_that_is_not_implemented_is_none():
    policy = make(Unwritten())
    assert policy.evaluate_actions(np.zeros((2, 4), np.float32), [0, 1]).values is None
    with pytest.raises(NotImplementedError, match="Unwritten has no value_function"):
        policy.predict_values(np.zeros((2, 4), np.float32))
    with pytest.raises(ModelError, match=r"Unwritten must implement value_function\(\) to be trained by PPO"):
        require_value(policy, "PPO")


class Scores(ActionDistribution):
    """A categorical distribution of one's own; sub-classes give one number too many."""

    def sample(self):
        return self.inputs.argmax(-1)

    def logp(self, actions):
        return torch.log_softmax(self.inputs, -1).gather(-1, actions[:, None]).squeeze(-1)

    def entropy(self):
        return self.inputs.logsumexp(-1)

    def kl(self, other):
        return (self.inputs - other.inputs).sum(-1)

    @staticmethod
    def required_model_output_shape(action_space, model_config):
        return action_space.n


@pytest.mark.parametrize("method", [None, "logp", "entropy", "kl"])
def test_distributions_give_one_number_a_row(method):
    wide = {} if method is None else {method: lambda self, *given: getattr(Scores, method)(self, *given)[:, None]}
    kind = type("Wide", (Scores,), wide)
    config = merge(PolicyConfig(), {"model": {"custom_action_dist": kind}})

    def build():
        return Policy(OBS, ACTIONS, config, TorchRuntime("cpu"), seed=1)

    if method is None:
        with_check, without = build(), Policy(OBS, ACTIONS, PolicyConfig(), TorchRuntime("cpu"), seed=1)
        np.testing.assert_equal(with_check.runtime.rng_state(), without.runtime.rng_state())
        return
    with pytest.raises(ModelError, match=rf"Wide.{method}\(\) gave shape \(2, 1\) for 2 rows, but one number each"):
        build()


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
        batch = Batch(obs=[torch.zeros(2, 4)])
        if always:
            with pytest.raises(ModelError, match=r"Later.forward\(\) gave an output of shape \(2, 2\), but \[N, 3\]"):
                policy.evaluate(batch)
        else:
            policy.evaluate(batch)


class Logarithm(TorchModelV2, torch.nn.Module):
    """Masks itself, by the logarithm of a part of the observation that has a name of its own; ``fails``: always."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, fails=False):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        torch.nn.Module.__init__(self)
        self.fails, self.layer = fails, torch.nn.Linear(2, num_outputs)

    def forward(self, input_dict, state, seq_lens):
        legal = input_dict["obs"]["legal"] * (0 if self.fails else 1)
        self.values = self.layer(input_dict["obs"]["x"])
        return self.values + torch.log(legal), state

    def value_function(self):
        return self.values[:, 0]


class Strict(ActionDistribution):
    """Takes no logits that are no numbers, as PyTorch's own distributions do."""

    def __init__(self, inputs, model=None):
        super().__init__(inputs, model)
        self.torch = torch.distributions.Categorical(logits=inputs)

    def sample(self):
        return self.torch.sample()

    def deterministic_sample(self):
        return self.torch.probs.argmax(-1)

    def logp(self, actions):
        return self.torch.log_prob(actions)

    def entropy(self):
        return self.torch.entropy()

    def kl(self, other):
        return torch.distributions.kl_divergence(self.torch, other.torch)

    @staticmethod
    def required_model_output_shape(action_space, model_config):
        return action_space.n


def masking_itself(**custom_model_config):
    space = Dict(legal=Box(0, 1, (4,)), x=Box(-1, 1, (2,)))
    model = {"custom_model": Logarithm, "custom_model_config": custom_model_config, "custom_action_dist": Strict}
    return Policy(space, Discrete(4), merge(PolicyConfig(), {"model": model}), TorchRuntime("cpu"), seed=1)


def test_a_model_that_fails_on_zeros_alone_is_right():
    policy = masking_itself()
    for number in range(4):
        obs = {"legal": np.eye(4, dtype=np.float32)[number], "x": np.ones(2, np.float32)}
        assert policy.compute_single_action(obs, explore=True) == number
    # Sampling on the way has not moved the random sources.
    fresh = TorchRuntime("cpu")
    fresh.seed(1)
    np.testing.assert_equal(masking_itself().runtime.rng_state(), fresh.rng_state())


def test_a_model_that_fails_on_samples_as_well_is_refused():
    # PyTorch 2.5 finds out when it draws.
    with pytest.raises(ModelError, match=r"Strict\.(__init__|sample)\(\) failed .* what Logarithm put out") as found:
        masking_itself(fails=True)
    message = str(found.value)
    assert re.search(r"ValueError: Expected parameter logits|RuntimeError: probability tensor contains", message)
    assert message.endswith("It fails on samples of the observation space as it does on zeros.")
    assert "\n" not in message


def broken(self, *given):
    raise AttributeError("no such value")


@pytest.mark.parametrize(
    ("method", "own", "message"),
    [
        ("logp", broken, "Attrib"),
        (
            "kl",
            broken,
            r"Attribu.*: no such value\. Its inputs have 3 numbers a row\. The traceback above names the line",
        ),
        ("__init__", lambda self, inputs: None, r"TypeError: .*\. It is called with \(inputs, model\), and with mask="),
        ("sample", lambda self, rng, more: None, r"TypeError: .* 'more'\. Written as sample\(self, rng\), it"),
        ("sample", lambda self, rng: self.inputs + "x", r"TypeError: [^.]*'str'\. Its inputs"),
        ("sample", lambda self: self.absent(), "AttributeError: 'Own' object has no attribute 'absent'"),
    ],
)
def test_a_distribution_that_fails_is_named_with_its_method(method, own, message):
    config = merge(PolicyConfig(), {"model": {"custom_action_dist": type("Own", (Scores,), {method: own})}})
    with pytest.raises(ModelError, match=rf"^Own\.{method}\(\) failed in a .* FullyConnectedNet.* put out: {message}"):
        Policy(OBS, ACTIONS, config, TorchRuntime("cpu"))


def test_widths_are_spoken_of_where_shapes_are_wrong_alone():
    class Unready(EarlyValue):
        forward = broken

    class Unset(EarlyValue):
        def forward(self, input_dict, state, seq_lens):
            return self.hidden_size

    class Misspelt(EarlyValue):
        def forward(self, input_dict, state, seq_lens):
            return torch.softmax(input_dict["obs_flat"], dims=1)

    for model, speaks in ((WrongWidth(), True), (Unready(), False), (Unset(), False), (Misspelt(), False)):
        with pytest.raises(ModelError) as refused:
            make(model)
        assert ("compare its width" in str(refused.value)) is speaks


@pytest.mark.parametrize(
    ("error", "speaks"),
    [
        (RuntimeError("input.size(-1) must be equal to input_size. Expected 3, got 4"), True),
        (ValueError("Dimensions must be equal, but are 4 and 3"), True),
        (TypeError("add got incompatible shapes for broadcasting: (3,), (4,)."), True),
        (ValueError("the resized picture has no dimmer"), False),
        (NameError("name 'dim' is not defined. A size?"), False),
    ],
)
def test_words_of_shapes_are_whole_words(error, speaks):
    assert ("compare its width" in _likely_cause(error)) is speaks


@pytest.mark.parametrize(
    ("sampled", "message"),
    [
        (lambda self: self.inputs[:, :2], r"Own.sample\(\) gave no 2 actions of Discrete\(3\): .* Give one array"),
        (lambda self: (self.inputs.argmax(-1),) * 2, r"Own.sample\(\) gave no 2 actions of Discrete\(3\): "),
        (
            lambda self: self.inputs[:1].argmax(-1),
            r"the shapes of its parts are \[\(1,\)\], but \[\(2,\)\] are expected",
        ),
    ],
)
def test_a_sample_that_is_no_action_is_named(sampled, message):
    own = type("Own", (Scores,), {"sample": sampled, "logp": lambda self, actions: self.inputs[:, 0]})
    config = merge(PolicyConfig(), {"model": {"custom_action_dist": own}})
    with pytest.raises(ModelError, match=message):
        Policy(OBS, ACTIONS, config, TorchRuntime("cpu"))


def test_what_is_no_array_is_named():
    def forward(self, *given):
        out, states = Right.forward(self, *given)
        return {"out": out}, states

    for method, replaced in {"value_function": lambda self: [self.sums], "forward": forward}.items():
        kind = type("Own", (Right,), {method: replaced})
        with pytest.raises(ModelError, match=rf"Own\.{method}\(\) gave \w+, but an array of the framework is"):
            make(kind())
    own = type("Own", (Scores,), {"entropy": lambda self: 1.0})
    config = merge(PolicyConfig(), {"model": {"custom_action_dist": own}})
    with pytest.raises(ModelError, match=r"Own.entropy\(\) gave float, but an array"):
        Policy(OBS, ACTIONS, config, TorchRuntime("cpu"))


def test_values_take_no_distribution_of_another_width():
    class Four(Scores):
        @staticmethod
        def required_model_output_shape(action_space, model_config):
            return 4

    with pytest.raises(ModelError, match=r"takes \(2, 4\). Four does not fit .* leave custom_action_dist out"):
        DQN("CartPole-v1", model={"custom_action_dist": Four})


def test_a_model_beneath_heads_is_told_how_wide_its_features_are():
    class Adds(TorchModelV2):
        def forward(self, input_dict, state, seq_lens):
            return torch.zeros(2, self.num_outputs) + torch.zeros(2, 5), state

    with pytest.raises(ModelError, match=r"to put out 256 numbers a row, of which 2 are .* \(hiddens=\[\] and dueling"):
        DQN("CartPole-v1", model={"custom_model": Adds}, preset="none")
    with pytest.raises(ModelError, match=r"to put out num_outputs = 2. The traceback"):
        DQN("CartPole-v1", model={"custom_model": Adds}, preset="none", hiddens=[], dueling=False)
