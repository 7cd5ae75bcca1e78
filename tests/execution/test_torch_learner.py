import copy

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from anyspace.config import merge
from anyspace.errors import ConfigError, ModelError
from anyspace.execution.groups import Group
from anyspace.execution.learner import Losses, Steps, with_custom_loss
from anyspace.execution.torch_learner import TorchLearner
from anyspace.models import FullyConnectedNetwork, RecurrentNetwork
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.policy.sequences import Sequences, take_sequences

RNG = np.random.default_rng(0)
ROWS = RNG.uniform(-1, 1, (16, 3)).astype(np.float32)
TARGETS = torch.from_numpy(RNG.normal(size=(16, 2)).astype(np.float32))
RATE, EPSILON = 3e-3, 1e-6


def make_policy(model=FullyConnectedNetwork, seed=0):
    config = merge(PolicyConfig(), {"model": {"fcnet_hiddens": [5], "custom_model": model}})
    return Policy(Box(-1, 1, (3,)), Discrete(2), config, TorchRuntime("cpu"), seed=seed)


def squared_error(policy, batch):
    evaluation = policy.evaluate(batch, training=True)
    loss = ((evaluation.output - batch["targets"]) ** 2).mean() + 0.1 * (evaluation.values - 1).square().mean()
    return {"policy": loss}, {"rows": torch.tensor(float(len(batch["targets"])))}


def make(policy=None, losses=squared_error, *, grad_clip=None, learning_rate=lambda timestep: RATE, **settings):
    group = Group(learning_rate, grad_clip=grad_clip, **{"epsilon": EPSILON, **settings})
    return TorchLearner(make_policy() if policy is None else policy, losses, {"policy": group})


def batch(rows=slice(None)):
    return Batch(obs=[torch.from_numpy(ROWS)[rows]], targets=TARGETS[rows], obs_count=torch.arange(16)[rows])


def weights(learner):
    return {name: value.detach().clone() for name, value in learner.policy.model.named_parameters()}


def gradients(before, rows=slice(None)):
    """Return loss and gradients at weights ``before``, worked out by hand: tanh layer, logits, shared value."""
    w = {name: value.clone().requires_grad_() for name, value in before.items()}
    hidden = torch.tanh(torch.from_numpy(ROWS)[rows] @ w["encoder.0.weight"].T + w["encoder.0.bias"])
    logits = hidden @ w["logits.weight"].T + w["logits.bias"]
    values = (hidden @ w["value_head.weight"].T + w["value_head.bias"])[:, 0]
    loss = ((logits - TARGETS[rows]) ** 2).mean() + 0.1 * ((values - 1) ** 2).mean()
    return loss.item(), dict(zip(w, torch.autograd.grad(loss, list(w.values())), strict=True))


def adam(before, steps, rate=RATE):
    """Return the weights after Adam steps with the gradients that ``steps`` maps weights to (Kingma and Ba, 2015)."""
    w = copy.deepcopy(before)
    first, second = ({name: torch.zeros_like(value) for name, value in w.items()} for _ in range(2))
    for t, gradient in enumerate(steps, start=1):
        g = gradient(w)
        for name in w:
            first[name] = 0.9 * first[name] + 0.1 * g[name]
            second[name] = 0.999 * second[name] + 0.001 * g[name] ** 2
            mean, variance = first[name] / (1 - 0.9**t), second[name] / (1 - 0.999**t)
            w[name] = w[name] - rate * mean / (variance.sqrt() + EPSILON)
    return w


def test_steps_are_adams():
    learner = make()
    before = weights(learner)
    for count in (1, 2, 3):
        learner.step(batch())
        expected = adam(before, [lambda w: gradients(w)[1]] * count)
        for name, value in weights(learner).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-7)
            assert not torch.equal(value, before[name])


def test_gradients_that_a_model_drops_are_found_again():
    learner, twin = make(), make()
    for _ in range(2):
        learner.step(batch())
        twin.step(batch())
        learner.policy.model.zero_grad(set_to_none=True)
    for name, value in weights(learner).items():
        assert torch.equal(value, weights(twin)[name])


def test_parameters_of_several_types_learn_together():
    class Mixed(FullyConnectedNetwork):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.value_head.double()

        def value_function(self):
            return self.value_head(self._value_input.double())[:, 0]

    learner, plain = make(make_policy(Mixed), grad_clip=0.05), make(grad_clip=0.05)
    for _ in range(2):
        norms = [one.step(batch()).metrics["grad_norm"] for one in (learner, plain)]
        torch.testing.assert_close(norms[0].float(), norms[1])
    for name, value in weights(learner).items():
        assert value.dtype == (torch.float64 if name.startswith("value_head") else torch.float32)
        torch.testing.assert_close(value.float(), weights(plain)[name], rtol=1e-4, atol=1e-6)
    twin = make(make_policy(Mixed))
    twin.load_state(learner.state())
    assert all((value == twin.state()[name]).all() for name, value in learner.state().items())


def test_what_a_step_reports():
    learner = make()
    loss, _ = gradients(weights(learner))
    result = learner.step(batch())
    assert set(result.metrics) == {"total_loss", "rows"}
    assert result.metrics["total_loss"].item() == pytest.approx(loss, rel=1e-5)
    assert not result.metrics["total_loss"].requires_grad
    assert result.metrics["rows"] == 16
    assert result.rows == {}


@pytest.mark.parametrize("limit", [0.05, 1e3])
def test_gradients_are_clipped_to_a_global_norm(limit):
    learner = make(grad_clip=limit)
    _, expected = gradients(weights(learner))
    norm = torch.cat([value.flatten() for value in expected.values()]).norm()
    assert 0.05 < norm < 1e3
    result = learner.step(batch())
    torch.testing.assert_close(result.metrics["grad_norm"], norm, rtol=1e-5, atol=0)
    scale = min(1.0, limit / norm.item())
    for name, value in expected.items():
        moment = torch.from_numpy(learner.state()[f"{name}/exp_avg"])
        torch.testing.assert_close(moment, 0.1 * scale * value, rtol=1e-4, atol=1e-8)


def test_the_learning_rate_changes_from_the_next_step_on():
    learner = make(learning_rate=lambda timestep: 0.0 if timestep < 100 else 0.5)
    learner.at(99)
    assert learner.learning_rates() == {"policy": 0.0}
    before = weights(learner)
    learner.step(batch())
    assert all(torch.equal(value, before[name]) for name, value in weights(learner).items())
    learner.at(100)
    assert learner.learning_rates() == {"policy": 0.5}
    learner.step(batch())
    # With the same gradient twice, Adam's step is its rate.
    moved = weights(learner)["logits.bias"] - before["logits.bias"]
    torch.testing.assert_close(moved.abs(), torch.full((2,), 0.5), rtol=1e-3, atol=0)


@pytest.mark.parametrize("trained", [0, 3])
def test_a_restored_learner_goes_on_bit_for_bit(trained):
    learner, twin = make(grad_clip=0.5), make(make_policy(seed=5), grad_clip=0.5)
    for start in range(trained):
        learner.step(batch(slice(start, start + 4)))
    twin.step(batch())
    state = learner.state()
    assert len(state) == 18
    twin.policy.load_state(learner.policy.state())
    twin.load_state({name: value.copy() for name, value in state.items()})
    for start in range(4):
        mine, theirs = (one.step(batch(slice(start, start + 6))) for one in (learner, twin))
        assert torch.equal(mine.metrics["total_loss"], theirs.metrics["total_loss"])
        assert torch.equal(mine.metrics["grad_norm"], theirs.metrics["grad_norm"])
    assert all(torch.equal(value, weights(twin)[name]) for name, value in weights(learner).items())
    assert all((value == twin.state()[name]).all() for name, value in learner.state().items())


def test_a_state_is_a_copy():
    learner = make()
    learner.step(batch())
    state = learner.state()
    kept = {name: value.copy() for name, value in state.items()}
    learner.step(batch())
    assert all((state[name] == kept[name]).all() for name in state)
    twin = make()
    twin.load_state(state)
    twin.step(batch())
    assert all((state[name] == kept[name]).all() for name in state)
    assert {name.rpartition("/")[2] for name in state} == {"step", "exp_avg", "exp_avg_sq"}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_noticed(wrong):
    learner = make()
    assert learner.is_finite()
    with torch.no_grad():
        learner.policy.model.value_head.weight[0, 2] = wrong
    assert not learner.is_finite()


def test_a_nan_gradient_leaves_its_mark():
    learner = make(losses=lambda policy, batch: ({"policy": squared_error(policy, batch)[0]["policy"] * np.nan}, {}))
    learner.step(batch())
    assert not learner.is_finite()


def test_frozen_parameters_stay():
    policy = make_policy()
    policy.model.encoder.requires_grad_(False)
    learner = make(policy)
    before = weights(learner)
    learner.step(batch())
    changed = {name for name, value in weights(learner).items() if not torch.equal(value, before[name])}
    assert changed == {"logits.weight", "logits.bias", "value_head.weight", "value_head.bias"}
    assert {name.partition("/")[0] for name in learner.state()} == changed


def test_parameters_may_be_frozen_released_and_exchanged_between_rounds():
    policy = make_policy()
    model = policy.model
    model.encoder.requires_grad_(False)
    learner = make(policy)
    learner.step(batch())
    moments = learner.state()["logits.weight/exp_avg"].copy()
    model.encoder.requires_grad_(True)
    model.logits.bias.requires_grad_(False)
    model.value_head = torch.nn.Linear(5, 1)
    learner.at(1)
    np.testing.assert_array_equal(learner.state()["logits.weight/exp_avg"], moments)
    before = weights(learner)
    learner.step(batch())
    changed = {name for name, value in weights(learner).items() if not torch.equal(value, before[name])}
    assert changed == set(before) - {"logits.bias"}
    assert {name.partition("/")[0] for name in learner.state()} == changed
    again = weights(learner)
    learner.at(2)  # nothing has changed, so the same tensors go on
    assert all(torch.equal(again[name], value) for name, value in weights(learner).items())


# ------------------------------------------------------------------------------------------- custom loss


class Weighted(FullyConnectedNetwork):
    """Adds a penalty of the logits' weights and reads the observations of the batch."""

    def custom_loss(self, policy_loss, loss_inputs):
        self.inputs = loss_inputs
        self.lazy = not dict.__contains__(loss_inputs, "obs")
        return [policy_loss[0] + 2 * self.logits.weight.square().sum()]


def test_a_custom_loss_adds_to_the_gradient():
    learner = make(make_policy(Weighted))
    before = weights(learner)
    loss, expected = gradients(before)
    expected["logits.weight"] = expected["logits.weight"] + 4 * before["logits.weight"]
    result = learner.step(batch())
    assert result.metrics["total_loss"].item() == pytest.approx(
        loss + 2 * before["logits.weight"].square().sum().item(), rel=1e-5
    )
    for name, value in expected.items():
        moment = torch.from_numpy(learner.state()[f"{name}/exp_avg"])
        torch.testing.assert_close(moment, 0.1 * value, rtol=1e-4, atol=1e-8)


def test_loss_inputs_are_the_batch_with_flat_observations():
    learner = make(make_policy(Weighted))
    given = batch()
    learner.step(given)
    inputs = learner.policy.model.inputs
    assert learner.policy.model.lazy
    assert set(inputs) == {"obs", "targets", "obs_count", "is_training"}
    assert inputs["is_training"] is True
    assert inputs["targets"] is given["targets"]
    np.testing.assert_array_equal(inputs["obs"], ROWS)
    assert type(given["obs"]) is list


@pytest.mark.parametrize("answer", [[], [1, 2], (1,), 1, None], ids=str)
def test_another_number_of_losses_is_refused(answer):
    class Wrong(FullyConnectedNetwork):
        def custom_loss(self, policy_loss, loss_inputs):
            return answer

    with pytest.raises(ModelError, match=r"Wrong.custom_loss\(\) must return a list of 1 losses, as many"):
        make(make_policy(Wrong)).step(batch())


def test_a_loss_is_one_number():
    class Wrong(FullyConnectedNetwork):
        def custom_loss(self, policy_loss, loss_inputs):
            return [policy_loss[0] + self.logits.weight[0]]

    with pytest.raises(
        ModelError, match=r"Wrong.custom_loss\(\) returned a loss of shape .* take the mean over the rows"
    ):
        make(make_policy(Wrong)).step(batch())


def test_several_groups_of_losses_are_refused():
    def losses(policy, batch):
        loss, metrics = squared_error(policy, batch)
        return {**loss, "auxiliary": loss["policy"]}, metrics

    with pytest.raises(
        ConfigError,
        match=r"the groups policy, auxiliary, but the algorithm has the groups policy: give one loss for each",
    ):
        make(losses=losses).step(batch())


class Normed(FullyConnectedNetwork):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, input_dict, state, seq_lens):
        return super().forward({"obs_flat": self.norm(input_dict["obs_flat"])}, state, seq_lens)


def test_batch_statistics_move_with_every_step():
    learner = make(make_policy(Normed))
    learner.step(batch())
    learner.step(batch())
    norm = learner.policy.model.norm
    assert int(norm.num_batches_tracked) == 2
    np.testing.assert_allclose(norm.running_mean, ROWS.mean(0) * (1 - 0.9**2), atol=1e-6)


class Averaging(FullyConnectedNetwork):
    """Keeps a moving average of its logits' weights, and counts the updates."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.register_buffer("average", self.logits.weight.detach().clone())
        self.calls = []

    def update_ops(self):
        return [self.follow, lambda: self.calls.append(torch.is_grad_enabled())]

    def follow(self):
        self.average.lerp_(self.logits.weight, 0.5)


@pytest.mark.spec(116)
def test_updates_of_the_models_own_follow_every_step():
    learner = make(make_policy(Averaging))
    model = learner.policy.model
    expected = model.average.clone()
    for step in range(3):
        learner.step(batch())
        expected = 0.5 * (expected + model.logits.weight.detach())
        torch.testing.assert_close(model.average, expected)
        assert len(model.calls) == step + 1
    assert not any(model.calls)


class Adding(FullyConnectedNetwork):
    returned = 2

    def custom_loss(self, policy_loss, loss_inputs):
        self.given = policy_loss
        return [loss + 1 for loss in policy_loss][: self.returned]


def test_every_loss_of_the_algorithm_passes_through_the_model():
    policy = make_policy(Adding)
    losses = {"actor": torch.tensor(1.0), "critic": torch.tensor(2.0)}
    assert with_custom_loss(policy, losses, batch()) == {"actor": 2, "critic": 3}
    assert [float(loss) for loss in policy.model.given] == [1, 2]
    policy.model.returned = 1
    with pytest.raises(ModelError, match=r"Adding.custom_loss\(\) must return a list of 2 losses"):
        with_custom_loss(policy, losses, batch())


class Joining(FullyConnectedNetwork):
    """Returns its losses as one array, as TensorFlow makes of ``policy_loss + x``."""

    wanted = 2

    def custom_loss(self, policy_loss, loss_inputs):
        return torch.stack(policy_loss)[: self.wanted] + 1 if self.wanted else policy_loss[0] + 1


def test_losses_may_come_as_one_array():
    policy = make_policy(Joining)
    losses = {"actor": torch.tensor(1.0), "critic": torch.tensor(2.0)}
    assert with_custom_loss(policy, losses, batch()) == {"actor": 2, "critic": 3}
    for policy.model.wanted, came in ((1, r"a Tensor of shape \(1,\)"), (0, r"a Tensor\.")):
        with pytest.raises(ModelError, match=rf"list of 2 losses, .* or one array of them, but returned {came}"):
            with_custom_loss(policy, losses, batch())
        assert with_custom_loss(policy, {"actor": losses["actor"]}, batch()) == {"actor": 2}


class Looking(RecurrentNetwork):
    """Runs on the inputs of its loss."""

    def __init__(self, *args):
        super().__init__(*args)
        self.layer = torch.nn.Linear(3, self.num_outputs)

    def get_initial_state(self):
        return [torch.zeros(1)]

    def forward(self, input_dict, state, seq_lens):
        self.flag, self.rows = input_dict["is_training"], len(input_dict["obs"])
        return self.layer(input_dict["obs"]), state

    def value_function(self):
        return self.layer.weight.new_zeros(self.rows)

    def custom_loss(self, policy_loss, loss_inputs):
        self(loss_inputs)
        return policy_loss


@pytest.mark.parametrize(("lens", "rows"), [([2, 2], 4), ([3, 1], 6)])
def test_a_pass_of_a_custom_loss_belongs_to_a_gradient_step_padded_or_not(lens, rows):
    policy = make_policy(Looking)
    some = batch(slice(4))
    some["sequences"] = Sequences(np.array(lens), [torch.zeros(2, 1)])
    with_custom_loss(policy, {"policy": torch.tensor(1.0)}, some)
    assert (policy.model.flag, policy.model.rows) == (True, rows)


# ------------------------------------------------------------------------------------------------ groups


class Split(FullyConnectedNetwork):
    """Its value layers are the critic's, all others the first group's."""

    def group_of(self, name):
        return "critic" if name.startswith("value_head") else None


def two_losses(policy, batch):
    """Each loss depends on every parameter that both heads share."""
    evaluation = policy.evaluate(batch, training=True)
    actor = ((evaluation.output - batch["targets"]) ** 2).mean() + 0.3 * evaluation.values.mean()
    critic = 0.1 * (evaluation.values - 1).square().mean() + 0.2 * evaluation.output.square().mean()
    return {"actor": actor, "critic": critic}, {}


def two_groups(model=Split, losses=two_losses, actor=None, critic=None):
    groups = {"actor": actor or Group(lambda t: RATE), "critic": critic or Group(lambda t: 2 * RATE)}
    return TorchLearner(make_policy(model), losses, groups)


def split_gradients(learner):
    """The gradient of each parameter by the loss of its own group alone, by PyTorch's own means."""
    found, groups = {}, {"actor": {}, "critic": {}}
    for name, parameter in learner.policy.model.named_parameters():
        groups["critic" if name.startswith("value_head") else "actor"][name] = parameter
    losses, _ = two_losses(learner.policy, batch())
    for group, parameters in groups.items():
        gradients = torch.autograd.grad(losses[group], list(parameters.values()), retain_graph=True)
        found[group] = dict(zip(parameters, gradients, strict=True))
    return found


def test_each_group_takes_the_gradient_of_its_own_loss_alone():
    learner = two_groups()
    expected = split_gradients(learner)
    both, _ = two_losses(learner.policy, batch())
    whole = torch.autograd.grad(sum(both.values()), learner.policy.model.logits.weight)[0]
    assert not torch.allclose(whole, expected["actor"]["logits.weight"], rtol=1e-2), "the test would show nothing"
    result = learner.step(batch())
    assert set(expected["critic"]) == {"value_head.weight", "value_head.bias"}
    for name, gradient in (expected["actor"] | expected["critic"]).items():
        moment = torch.from_numpy(learner.state()[f"{name}/exp_avg"])
        torch.testing.assert_close(moment, 0.1 * gradient, rtol=1e-5, atol=1e-9)
    assert result.metrics["total_loss"].item() == pytest.approx(sum(both.values()).item(), rel=1e-6)


def test_groups_have_their_own_rates_and_limits():
    actor = Group(lambda t: 0.1 if t < 10 else 0.0, grad_clip=1e-3)
    learner = two_groups(actor=actor, critic=Group(lambda t: 0.01, grad_clip=1e3))
    assert learner.learning_rates() == {"actor": 0.1, "critic": 0.01}
    expected = split_gradients(learner)
    result = learner.step(batch())
    for group, gradients in expected.items():
        norm = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm()
        torch.testing.assert_close(result.metrics[f"grad_norm_{group}"], norm, rtol=1e-5, atol=0)
        limit = {"actor": 1e-3, "critic": 1e3}[group]
        for name, gradient in gradients.items():
            moment = torch.from_numpy(learner.state()[f"{name}/exp_avg"])
            torch.testing.assert_close(moment, 0.1 * gradient * min(1.0, limit / norm), rtol=1e-3, atol=1e-9)
    assert "grad_norm" not in result.metrics
    learner.at(10)
    before = weights(learner)
    learner.step(batch())
    changed = {name for name, value in weights(learner).items() if not torch.equal(value, before[name])}
    assert changed == {"value_head.weight", "value_head.bias"}


OPTIMISERS = {
    "adam": ({"optimiser": "adam", "epsilon": 1e-5}, lambda p, lr: torch.optim.Adam(p, lr, eps=1e-5)),
    "rmsprop": (
        {"optimiser": "rmsprop", "decay": 0.9, "epsilon": 1e-3},
        lambda p, lr: torch.optim.RMSprop(p, lr, alpha=0.9, eps=1e-3),
    ),
    "rmsprop with momentum": (
        {"optimiser": "rmsprop", "momentum": 0.8},
        lambda p, lr: torch.optim.RMSprop(p, lr, alpha=0.99, eps=1e-8, momentum=0.8),
    ),
    "sgd": ({"optimiser": "sgd"}, lambda p, lr: torch.optim.SGD(p, lr)),
    "sgd with momentum": ({"optimiser": "sgd", "momentum": 0.9}, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
}


@pytest.mark.parametrize("critic", OPTIMISERS)
@pytest.mark.parametrize("actor", OPTIMISERS)
def test_optimisers_are_those_of_pytorch(actor, critic):
    settings = {"actor": OPTIMISERS[actor], "critic": OPTIMISERS[critic]}
    learner = two_groups(**{name: Group(lambda t: 0.02, **keys) for name, (keys, _) in settings.items()})
    reference = make_policy(Split)
    parameters = {"actor": [], "critic": []}
    for name, parameter in reference.model.named_parameters():
        parameters["critic" if name.startswith("value_head") else "actor"].append(parameter)
    optimisers = {name: make_one(parameters[name], 0.02) for name, (_, make_one) in settings.items()}
    for start in range(6):
        rows = slice(start, start + 8)
        learner.step(batch(rows))
        losses, _ = two_losses(reference, batch(rows))
        for name, own in parameters.items():
            for parameter, gradient in zip(own, torch.autograd.grad(losses[name], own, retain_graph=True), strict=True):
                parameter.grad = gradient
        for optimiser in optimisers.values():
            optimiser.step()
    for name, value in reference.model.named_parameters():
        torch.testing.assert_close(weights(learner)[name], value.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_any_restored_optimiser_goes_on_bit_for_bit(optimiser):
    keys, _ = OPTIMISERS[optimiser]
    learner, twin = make(**keys), make(make_policy(seed=5), **keys)
    for start in range(3):
        learner.step(batch(slice(start, start + 4)))
    twin.step(batch())
    twin.policy.load_state(learner.policy.state())
    twin.load_state(learner.state())
    for one in (learner, twin):
        one.step(batch(slice(2, 9)))
    assert all(torch.equal(value, weights(twin)[name]) for name, value in weights(learner).items())


def test_a_parameter_of_an_unknown_group_is_an_error():
    class Lost(FullyConnectedNetwork):
        def group_of(self, name):
            return "critik" if name == "value_head.bias" else "actor"

    with pytest.raises(
        ConfigError,
        match=r"Lost.group_of\('value_head.bias'\) is 'critik', but the algorithm trains the groups actor, critic\.",
    ):
        two_groups(Lost)


@pytest.mark.parametrize("missing", ["actor", "critic"])
def test_a_loss_that_is_missing_is_an_error(missing):
    def one_loss(policy, batch):
        losses, metrics = two_losses(policy, batch)
        del losses[missing]
        return losses, metrics

    with pytest.raises(ConfigError, match="but the algorithm has the groups actor, critic: give one loss for each"):
        two_groups(losses=one_loss).step(batch())


@pytest.mark.parametrize("answer", [None, 1.0, ({}, {}, {}), [{}, {}]], ids=str)
def test_losses_of_another_form_are_refused(answer):
    message = r'must return \(\{"policy": scalar\}, metrics\), but returned .* return \{"policy": loss\}, \{\}\.$'
    with pytest.raises(ConfigError, match=message):
        make(losses=lambda policy, batch: answer).step(batch())


@pytest.mark.parametrize("keys", [{"epsilon": 0.0}, {"decay": 1.0}, {"momentum": -0.1}], ids=str)
def test_settings_out_of_range_are_refused(keys):
    with pytest.raises(ConfigError, match=next(iter(keys))):
        Group(lambda t: RATE, **keys)


def test_a_group_may_train_nothing():
    """As when a user's model says of no parameter that it is the critic's."""
    learner = two_groups(FullyConnectedNetwork, critic=Group(lambda t: RATE, grad_clip=1.0))
    before = weights(learner)
    result = learner.step(batch())
    assert set(result.metrics) == {"total_loss"}
    assert not any(torch.equal(value, before[name]) for name, value in weights(learner).items())


def test_custom_loss_gets_one_loss_per_group_in_their_order():
    class Both(Split):
        def custom_loss(self, policy_loss, loss_inputs):
            self.given = [loss.item() for loss in policy_loss]
            actor, critic = policy_loss
            return [
                actor + self.logits.bias.sum(),
                critic + 2 * self.value_head.bias.sum() + 7 * self.logits.bias.sum(),
            ]

    learner = two_groups(Both)
    expected, (losses, _) = split_gradients(learner), two_losses(learner.policy, batch())
    learner.step(batch())
    assert learner.policy.model.given == [losses["actor"].item(), losses["critic"].item()]
    added = {"logits.bias": 1, "value_head.bias": 2}
    for name, gradient in (expected["actor"] | expected["critic"]).items():
        moment = torch.from_numpy(learner.state()[f"{name}/exp_avg"])
        torch.testing.assert_close(moment, 0.1 * (gradient + added.get(name, 0)), rtol=1e-5, atol=1e-9)


# ------------------------------------------------------------------------------- several steps in one call


def with_rows(policy, batch):
    """Losses that report the error of each row."""
    losses, metrics = squared_error(policy, batch)
    evaluation = policy.evaluate(batch, value=False, training=True)
    errors = (evaluation.output - batch["targets"]).square().sum(1)
    return Losses(losses, metrics, {"error": errors, "count": batch["obs_count"].float()})


EPOCH = Steps(
    batch(slice(5)),
    np.array([[3, 0], [4, 1], [2, 2]]),
    np.array([[True, True], [True, True], [True, False]]),
)
"""The example of the docstring: five rows in minibatches of two."""


def test_rows_come_back_from_a_step():
    learner = make(losses=with_rows)
    with torch.no_grad():
        output = learner.policy.evaluate(batch(), value=False).output
    result = learner.step(batch())
    torch.testing.assert_close(result.rows["error"], (output - TARGETS).square().sum(1))
    assert not result.rows["error"].requires_grad
    assert result.rows["count"].tolist() == list(range(16))


def test_several_steps_are_the_steps_one_after_the_other():
    learner, twin = make(losses=with_rows, grad_clip=0.5), make(losses=with_rows, grad_clip=0.5)
    result = learner.steps(EPOCH)
    singles = [twin.step(batch(slice(5)).take(torch.tensor(rows))) for rows in ([3, 0], [4, 1], [2])]
    assert all(torch.equal(value, weights(twin)[name]) for name, value in weights(learner).items())
    assert all((value == twin.state()[name]).all() for name, value in learner.state().items())
    assert set(result.metrics) == {"total_loss", "rows", "grad_norm"}
    for name, column in result.metrics.items():
        assert column.tolist() == [one.metrics[name].item() for one in singles]
    assert result.rows["count"][0].tolist() == [3, 0]
    assert result.rows["count"][1].tolist() == [4, 1]


def test_entries_that_do_not_count_are_nan():
    rows = make(losses=with_rows).steps(EPOCH).rows
    assert rows["count"].shape == rows["error"].shape == (3, 2)
    assert rows["count"].isnan().tolist() == rows["error"].isnan().tolist() == (~EPOCH.counted).tolist()
    assert rows["count"][2, 0] == 2


def test_several_epochs_are_one_call():
    learner, twin = make(losses=with_rows), make(losses=with_rows)
    order = np.concatenate([EPOCH.order, EPOCH.order[::-1], EPOCH.order])
    counted = np.concatenate([EPOCH.counted, EPOCH.counted[::-1], EPOCH.counted])
    result = learner.steps(Steps(EPOCH.rows, order, counted))
    for rows, counts in zip(order, counted, strict=True):
        twin.step(EPOCH.rows.take(torch.from_numpy(rows[counts])))
    assert all(torch.equal(value, weights(twin)[name]) for name, value in weights(learner).items())
    assert result.metrics["total_loss"].shape == (9,)
    np.testing.assert_array_equal(result.rows["count"].isnan(), ~counted)


def test_steps_on_sequences_take_whole_ones():
    """Sequences of 3, 1 and 2 steps; the second step takes the first and the last of them, which have 5 rows."""
    config = merge(PolicyConfig(), {"model": {"fcnet_hiddens": [5], "use_lstm": True, "lstm_cell_size": 4}})
    policies = [Policy(Box(-1, 1, (3,)), Discrete(2), config, TorchRuntime("cpu")) for _ in range(2)]
    learner, twin = (make(policy, with_rows) for policy in policies)
    rows = batch(slice(6))
    rows["sequences"] = Sequences(np.array([3, 1, 2]), [torch.zeros(3, 4), torch.ones(3, 4)])
    order, counted = np.array([[1, 0], [2, 0], [0, 0]]), np.array([[True, False], [True, True], [True, False]])
    result = learner.steps(Steps(rows, order, counted))
    for some in ([1], [2, 0], [0]):
        twin.step(take_sequences(rows, np.array(some), policies[1].runtime))
    assert all(torch.equal(value, weights(twin)[name]) for name, value in weights(learner).items())
    nan = float("nan")
    expected = [[3, nan, nan, nan, nan], [4, 5, 0, 1, 2], [0, 1, 2, nan, nan]]
    np.testing.assert_array_equal(result.rows["count"], expected)


def test_what_only_some_steps_report_has_fewer_entries():
    def sometimes(policy, batch):
        losses, metrics = squared_error(policy, batch)
        metrics["plain"] = 0.5
        if len(batch["targets"]) == 2:
            metrics["pair"] = float(batch["obs_count"][0])
        return losses, metrics

    metrics = make(losses=sometimes).steps(EPOCH).metrics
    assert metrics["pair"].tolist() == [3, 4]
    assert metrics["plain"].tolist() == [0.5] * 3
    backwards = Steps(EPOCH.rows, EPOCH.order[::-1], EPOCH.counted[::-1])
    assert make(losses=sometimes).steps(backwards).metrics["pair"].tolist() == [4, 3]


# -------------------------------------------------------------------------------------------- siblings


def parameters_of(pipeline):
    return {name: value.detach().clone() for name, value in pipeline.model.state_dict().items()}


@pytest.mark.parametrize("tau", [0.0, 0.25, 1.0])
def test_a_sibling_follows_by_a_share_of_the_way(tau):
    learner = make()
    sibling = learner.policy.sibling()
    learner.step(batch())
    before, ours = parameters_of(sibling), parameters_of(learner.policy)
    assert not any(torch.equal(value, before[name]) for name, value in ours.items())
    learner.follow(sibling, tau)
    for name, value in parameters_of(sibling).items():
        torch.testing.assert_close(value, (1 - tau) * before[name] + tau * ours[name], rtol=1e-6, atol=1e-8)
        assert torch.equal(ours[name], learner.policy.model.state_dict()[name])
    if tau == 1:
        assert all(torch.equal(value, ours[name]) for name, value in parameters_of(sibling).items())


def test_targets_move_between_the_steps_of_a_call():
    learner, twin = make(), make()
    siblings = [[one.policy.sibling() for _ in range(2)] for one in (learner, twin)]
    tau = np.array([0.5, 0.0, 0.1])
    learner.steps(Steps(EPOCH.rows, EPOCH.order, EPOCH.counted, tau))
    for rows, share in zip(([3, 0], [4, 1], [2]), tau, strict=True):
        twin.step(EPOCH.rows.take(torch.tensor(rows)))
        for sibling in siblings[1]:
            twin.follow(sibling, share)
    for mine, theirs in zip(*siblings, strict=True):
        assert all(torch.equal(value, parameters_of(theirs)[name]) for name, value in parameters_of(mine).items())
        assert not torch.equal(mine.model.logits.weight, learner.policy.model.logits.weight)


def test_without_a_tau_siblings_stay():
    learner = make()
    sibling = learner.policy.sibling()
    before = parameters_of(sibling)
    learner.steps(EPOCH)
    assert all(torch.equal(value, before[name]) for name, value in parameters_of(sibling).items())


def test_batch_statistics_of_a_target_are_copied():
    learner = make(make_policy(Normed))
    sibling = learner.policy.sibling()
    learner.step(batch())
    fresh = parameters_of(sibling)
    learner.follow(sibling, 0.0)
    assert all(torch.equal(value, fresh[name]) for name, value in parameters_of(sibling).items())
    learner.follow(sibling, 0.1)
    ours, theirs = learner.policy.model.norm, sibling.model.norm
    assert int(theirs.num_batches_tracked) == 1
    assert torch.equal(theirs.running_mean, ours.running_mean)
    assert torch.equal(theirs.running_var, ours.running_var)
    assert not torch.equal(theirs.weight, ours.weight)


def test_weights_that_a_step_makes_are_refused():
    class Late(FullyConnectedNetwork):
        def forward(self, input_dict, state, seq_lens):
            output, state = super().forward(input_dict, state, seq_lens)
            if input_dict["is_training"] and not hasattr(self, "scale"):
                self.scale = torch.nn.Parameter(torch.ones(2))
            return output, state

    with pytest.raises(ModelError, match=r"Late makes the weight `scale` in a gradient step, .* in the constructor"):
        make(make_policy(Late)).step(batch())
