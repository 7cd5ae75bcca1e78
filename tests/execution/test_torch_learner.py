import copy

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from anyspace.config import merge
from anyspace.errors import ConfigError, ModelError
from anyspace.execution.learner import with_custom_loss
from anyspace.execution.torch_learner import TorchLearner
from anyspace.models import FullyConnectedNetwork
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy

RNG = np.random.default_rng(0)
ROWS = RNG.uniform(-1, 1, (16, 3)).astype(np.float32)
TARGETS = torch.from_numpy(RNG.normal(size=(16, 2)).astype(np.float32))
RATE, EPSILON = 3e-3, 1e-6


def make_policy(model=FullyConnectedNetwork, seed=0):
    config = merge(PolicyConfig(), {"model": {"fcnet_hiddens": [5], "custom_model": model}})
    return Policy(Box(-1, 1, (3,)), Discrete(2), config, TorchRuntime("cpu"), seed=seed)


def squared_error(policy, batch):
    evaluation = policy.evaluate(batch, training=True)
    loss = ((evaluation.dist_inputs - batch["targets"]) ** 2).mean() + 0.1 * (evaluation.values - 1).square().mean()
    return {"policy": loss}, {"rows": torch.tensor(float(len(batch["targets"])))}


def make(policy=None, losses=squared_error, *, grad_clip=None, learning_rate=RATE):
    return TorchLearner(
        make_policy() if policy is None else policy,
        losses,
        learning_rate=learning_rate,
        grad_clip=grad_clip,
        adam_epsilon=EPSILON,
    )


def batch(rows=slice(None)):
    return {"obs": [torch.from_numpy(ROWS)[rows]], "targets": TARGETS[rows], "obs_count": torch.arange(16)[rows]}


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
        norms = [one.step(batch())["grad_norm"] for one in (learner, plain)]
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
    assert set(result) == {"total_loss", "rows"}
    assert result["total_loss"].item() == pytest.approx(loss, rel=1e-5)
    assert not result["total_loss"].requires_grad
    assert result["rows"] == 16


@pytest.mark.parametrize("limit", [0.05, 1e3])
def test_gradients_are_clipped_to_a_global_norm(limit):
    learner = make(grad_clip=limit)
    _, expected = gradients(weights(learner))
    norm = torch.cat([value.flatten() for value in expected.values()]).norm()
    assert 0.05 < norm < 1e3
    result = learner.step(batch())
    torch.testing.assert_close(result["grad_norm"], norm, rtol=1e-5, atol=0)
    scale = min(1.0, limit / norm.item())
    for name, value in expected.items():
        moment = torch.from_numpy(learner.state()[f"{name}/exp_avg"])
        torch.testing.assert_close(moment, 0.1 * scale * value, rtol=1e-4, atol=1e-8)


def test_the_learning_rate_changes_from_the_next_step_on():
    learner = make(learning_rate=0.0)
    before = weights(learner)
    learner.step(batch())
    assert all(torch.equal(value, before[name]) for name, value in weights(learner).items())
    learner.set_learning_rate(0.5)
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
        assert torch.equal(mine["total_loss"], theirs["total_loss"])
        assert torch.equal(mine["grad_norm"], theirs["grad_norm"])
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
    assert result["total_loss"].item() == pytest.approx(
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
    assert set(inputs) == {"obs", "targets", "obs_count"}
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

    with pytest.raises(ConfigError, match=r"the groups policy, auxiliary, but there is one optimiser"):
        make(losses=losses).step(batch())


def test_batch_statistics_move_with_every_step():
    class Normed(FullyConnectedNetwork):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.norm = torch.nn.BatchNorm1d(3)

        def forward(self, input_dict, state, seq_lens):
            return super().forward({"obs_flat": self.norm(input_dict["obs_flat"])}, state, seq_lens)

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
    assert [float(loss) for loss in with_custom_loss(policy, losses, batch())] == [2, 3]
    assert [float(loss) for loss in policy.model.given] == [1, 2]
    policy.model.returned = 1
    with pytest.raises(ModelError, match=r"Adding.custom_loss\(\) must return a list of 2 losses"):
        with_custom_loss(policy, losses, batch())
