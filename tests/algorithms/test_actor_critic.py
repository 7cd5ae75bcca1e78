"""What the on-policy algorithms compute: against loops in NumPy, and against each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from anyspace import A2C, APPO, DQN, IMPALA, MARWIL, PG, PPO, SAC, Algorithm, tree
from anyspace.algorithms.on_policy import Estimator, TimeMajor, gae, monte_carlo, training_rows, vtrace
from anyspace.data.rows import Rows, with_logp
from anyspace.data.trajectory import Trajectory
from anyspace.distributions import Deterministic
from anyspace.errors import ConfigError
from anyspace.models import ModelCatalog
from anyspace.policy.batch import Batch
from anyspace.policy.exploration import StochasticSampling
from anyspace.policy.plan import Plan
from tests.support.hashes import CHOICES, PAIR, VECTOR, sampled
from tests.support.table import ACTIONS

DISCRETE = sampled(VECTOR, spaces.Discrete(3))
LSTM = {"use_lstm": True, "lstm_cell_size": 6, "max_seq_len": 5}
GAMMA, ENTROPY = 0.9, 0.03
FLOAT64 = {"float32": False, "float64": True}
# Where sequences are cut, states are rounded to float32.
IDENTITIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "dense": (DISCRETE, {}),
    "lstm": (DISCRETE, {**LSTM, "max_seq_len": 20}),
    "masked": (sampled(VECTOR, spaces.Discrete(4), masked=True), {}),
    "numbers and choices": (sampled(VECTOR, ACTIONS["Tuple"]), {}),
    "autoregressive": (sampled(VECTOR, CHOICES), {"autoregressive_actions": True}),
}


def settings(model: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """Return small settings that all algorithms take."""
    small = {"seed": 3, "num_envs_per_env_runner": 4, "train_batch_size": 64, "gamma": GAMMA}
    layers = {"fcnet_hiddens": [8], "vf_share_layers": True}
    return {**small, "rollout_fragment_length": "auto", "model": {**layers, **(model or {})}, **keys}


def make(kind: type[Any], env: Any = DISCRETE, model: dict[str, Any] | None = None, **keys: Any) -> Any:
    return kind(env, settings(model, **keys), preset="none")


def gathered(algorithm: Algorithm[Any]) -> Trajectory:
    """Return fragments of two lengths, in which episodes end and are cut."""
    with closing(algorithm):
        trajectory = Trajectory.side_by_side([algorithm.fleet.gather(64), algorithm.fleet.gather(20)])
    assert trajectory.terminated.any()
    assert trajectory.truncated[:-1].any()
    assert not trajectory.valid.all()
    return trajectory


def shaken(algorithm: Any, size: float = 0.2) -> None:
    """Change the weights as some updates would."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in algorithm.policy.model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))


# ---------------------------------------------------------------------------------------- identities


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that lets a policy compute in float64."""

    def doubled(module: torch.nn.Module, inputs: Any) -> Any:
        return tree.map_leaves(lambda x: x.double() if torch.is_tensor(x) and x.is_floating_point() else x, inputs)

    def asarray(array: Any) -> torch.Tensor:
        array = np.array(array)
        return torch.from_numpy(array.astype(np.float64) if array.dtype == np.float32 else array)

    def convert(algorithm: Any) -> None:
        algorithm.policy.model.double()
        for module in algorithm.policy.model.modules():
            if not [*module.children()]:
                module.register_forward_pre_hook(doubled)
        monkeypatch.setattr(algorithm.policy.runtime, "asarray", asarray)

    return convert


def gradient_of(algorithm: Any, batch: Batch, factor: float = 1.0) -> np.ndarray:
    """Return the gradient of an algorithm's loss, all parameters side by side."""
    (loss,) = algorithm.losses(algorithm.policy, batch).by_group.values()
    found = torch.autograd.grad(factor * loss, [*algorithm.policy.model.parameters()])
    return torch.cat([part.reshape(-1) for part in found]).numpy()


@pytest.mark.parametrize("policy", IDENTITIES)
@pytest.mark.parametrize("precision", FLOAT64)
def test_a2c_is_impala_on_fresh_data_and_n_times_ppo(policy: str, precision: str, in_float64: Any) -> None:
    env, model = IDENTITIES[policy]
    shared = {"env": env, "entropy_coeff": ENTROPY, "model": model}
    a2c = make(A2C, vf_loss_coeff=0.6, lambda_=1.0, **shared)
    impala = make(IMPALA, vf_loss_coeff=0.6, **shared)
    never = {"clip_param": 1e9, "vf_clip_param": None, "kl_coeff": 0.0, "minibatch_size": None}
    ppo = make(PPO, vf_loss_coeff=0.3, lambda_=1.0, **never, **shared)
    trajectory = gathered(a2c)
    if FLOAT64[precision]:
        for algorithm in (a2c, impala, ppo):
            in_float64(algorithm)
    tolerance = 1e-9 if FLOAT64[precision] else 1e-5

    batch = next(a2c.updates(a2c.policy, trajectory))
    other = next(impala.updates(impala.policy, trajectory))
    assert batch["advantages"].dtype is (torch.float64 if FLOAT64[precision] else torch.float32)
    for name in ("advantages", "value_targets"):
        scale = float(batch[name].abs().max())
        np.testing.assert_allclose(batch[name], other[name], rtol=tolerance, atol=tolerance * scale)
    expected = gradient_of(a2c, batch)
    for algorithm, rows, factor in ((impala, other, 1.0), (ppo, batch, float(trajectory.num_steps))):
        found = gradient_of(algorithm, rows, factor)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


# ------------------------------------------------------------------------------- losses, by loops in NumPy


class Told:
    """What a model says of a trajectory's steps, in float64, and what follows from it by loops."""

    def __init__(self, algorithm: Any, trajectory: Trajectory, pipeline: Any = None):
        pipeline = pipeline or algorithm.policy
        self.steps, t = trajectory, trajectory
        self.where = np.argwhere(t.valid)
        self.logits, self.values = np.zeros((*t.valid.shape, 3)), np.zeros(t.valid.shape)
        self.next_values = np.zeros(t.valid.shape)
        for time, env in self.where:
            self.logits[time, env], self.values[time, env] = self._of(pipeline, t.obs[0][time, env][None])
            _, self.next_values[time, env] = self._of(pipeline, t.next_obs(time, env)[0])
        self.all_logp = self.logits - np.log(np.exp(self.logits).sum(-1, keepdims=True))
        self.logp = np.take_along_axis(self.all_logp, t.actions[..., None], -1)[..., 0]
        self.entropy = -(np.exp(self.all_logp) * self.all_logp).sum(-1)

    @staticmethod
    def _of(pipeline: Any, leaf: np.ndarray) -> Any:
        with torch.no_grad():
            found = pipeline.evaluate(Batch(obs=[torch.from_numpy(np.ascontiguousarray(leaf))]))
        return found.output[0].double().numpy(), float(found.values[0])

    def backwards(self) -> Iterator[tuple[int, int, float, bool, bool]]:
        """Yield time, environment, what is bootstrapped with, and whether the next step follows, last step first."""
        steps, width = self.steps.valid.shape
        for t in reversed(range(steps)):
            for b in range(width):
                if self.steps.valid[t, b]:
                    bootstrap = 0.0 if self.steps.terminated[t, b] else self.next_values[t, b]
                    follows = t + 1 < steps and not self.steps.done[t, b] and self.steps.valid[t + 1, b]
                    yield t, b, bootstrap, follows, bool(self.steps.terminated[t, b])

    def returns(self) -> np.ndarray:
        found = np.zeros(self.steps.valid.shape)
        for t, b, bootstrap, follows, _ in self.backwards():
            found[t, b] = self.steps.rewards[t, b] + GAMMA * (found[t + 1, b] if follows else bootstrap)
        return found

    def gae(self, lambda_: float) -> np.ndarray:
        found = np.zeros(self.steps.valid.shape)
        for t, b, bootstrap, follows, _ in self.backwards():
            delta = self.steps.rewards[t, b] + GAMMA * bootstrap - self.values[t, b]
            found[t, b] = delta + (GAMMA * lambda_ * found[t + 1, b] if follows else 0.0)
        return found

    def vtrace(self, behaviour: np.ndarray, clip_rho: float, clip_pg_rho: float) -> tuple[np.ndarray, np.ndarray]:
        ratios = np.exp(self.logp - behaviour)
        targets, advantages = np.zeros(ratios.shape), np.zeros(ratios.shape)
        for t, b, bootstrap, follows, _ in self.backwards():
            reward, value = self.steps.rewards[t, b], self.values[t, b]
            delta = min(clip_rho, ratios[t, b]) * (reward + GAMMA * bootstrap - value)
            ahead = targets[t + 1, b] - self.values[t + 1, b] if follows else 0.0
            targets[t, b] = value + delta + GAMMA * min(1.0, ratios[t, b]) * ahead
            following = targets[t + 1, b] if follows else bootstrap
            advantages[t, b] = min(clip_pg_rho, ratios[t, b]) * (reward + GAMMA * following - value)
        return targets, advantages

    def rows(self, array: np.ndarray) -> np.ndarray:
        return array[self.steps.valid]


def loss_of(algorithm: Any, batch: Batch) -> float:
    (loss,) = algorithm.losses(algorithm.policy, batch).by_group.values()
    return float(loss.detach())


@pytest.mark.parametrize("bootstraps", [True, False])
def test_the_loss_of_pg(bootstraps: bool) -> None:
    algorithm = make(PG, vf_loss_coeff=0.4 if bootstraps else 0.0, batch_mode="truncate_episodes")
    trajectory = gathered(algorithm)
    told = Told(algorithm, trajectory)
    if not bootstraps:
        told.next_values[:] = 0
    returns = told.rows(told.returns())
    batch = next(algorithm.updates(algorithm.policy, trajectory))
    np.testing.assert_allclose(batch["advantages"], returns, rtol=1e-5, atol=1e-5)
    shaken(algorithm)
    now = Told(algorithm, trajectory)
    expected = -(now.rows(now.logp) * returns).mean()
    if bootstraps:
        expected += 0.4 * ((now.rows(now.values) - returns) ** 2).mean()
    assert loss_of(algorithm, batch) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("use_critic", [True, False])
def test_the_loss_of_a2c(use_critic: bool) -> None:
    whole = {"use_gae": False, "batch_mode": "complete_episodes"}
    own = {"lambda_": 0.8, "vf_loss_coeff": 0.7} if use_critic else whole
    algorithm = make(A2C, use_critic=use_critic, entropy_coeff=ENTROPY, **own)
    trajectory = gathered(make(A2C))
    told = Told(algorithm, trajectory)
    if not use_critic:
        told.values[:] = told.next_values[:] = 0
    advantages = told.rows(told.gae(0.8 if use_critic else 1.0))
    targets = advantages + told.rows(told.values)
    batch = next(algorithm.updates(algorithm.policy, trajectory))
    np.testing.assert_allclose(batch["advantages"], advantages, rtol=1e-5, atol=1e-5)
    shaken(algorithm)
    now = Told(algorithm, trajectory)
    expected = -(now.rows(now.logp) * advantages).sum() - ENTROPY * now.rows(now.entropy).sum()
    if use_critic:
        expected += 0.7 * 0.5 * ((now.rows(now.values) - targets) ** 2).sum()
    assert loss_of(algorithm, batch) == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_impala_on_steps_of_older_weights() -> None:
    clips = {"vtrace_clip_rho_threshold": 1.1, "vtrace_clip_pg_rho_threshold": 0.9}
    algorithm = make(IMPALA, vf_loss_coeff=0.7, entropy_coeff=ENTROPY, **clips)
    trajectory = gathered(algorithm)
    acted = Told(algorithm, trajectory)
    trajectory = with_logp(algorithm.policy, trajectory)
    assert trajectory.action_logp is not None
    np.testing.assert_allclose(acted.rows(trajectory.action_logp), acted.rows(acted.logp), rtol=1e-5)
    shaken(algorithm)
    now = Told(algorithm, trajectory)
    ratios = np.exp(now.rows(now.logp - acted.logp))
    assert ratios.min() < 0.9
    assert ratios.max() > 1.1
    targets, advantages = map(now.rows, now.vtrace(acted.logp, 1.1, 0.9))
    batch = next(algorithm.updates(algorithm.policy, trajectory))
    np.testing.assert_allclose(batch["advantages"], advantages, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(batch["value_targets"], targets, rtol=1e-4, atol=1e-5)
    expected = -(now.rows(now.logp) * advantages).sum() - ENTROPY * now.rows(now.entropy).sum()
    expected += 0.7 * 0.5 * ((now.rows(now.values) - targets) ** 2).sum()
    assert loss_of(algorithm, batch) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("use_kl_loss", [True, False])
def test_the_loss_of_appo_on_steps_of_older_weights(use_kl_loss: bool) -> None:
    kl = {"use_kl_loss": True, "kl_coeff": 0.6} if use_kl_loss else {}
    algorithm = make(APPO, vf_loss_coeff=0.7, entropy_coeff=ENTROPY, clip_param=0.1, **kl)
    trajectory = gathered(algorithm)
    acted = Told(algorithm, trajectory)
    trajectory = with_logp(algorithm.policy, trajectory)
    shaken(algorithm, 0.6)
    algorithm.learner.follow(algorithm.target, 1.0)
    target = Told(algorithm, trajectory, algorithm.target)
    shaken(algorithm, -0.3)
    now = Told(algorithm, trajectory)
    targets, advantages = map(target.rows, target.vtrace(acted.logp, 1.0, 1.0))
    batch = next(algorithm.updates(algorithm.policy, trajectory))
    np.testing.assert_allclose(batch["advantages"], advantages, rtol=1e-4, atol=1e-5)

    importance = np.clip(np.exp(acted.logp - target.logp), 0, 2)
    assert (now.rows(importance) == 2).any()
    ratio = now.rows(importance * np.exp(now.logp - acted.logp))
    surrogate = np.minimum(advantages * ratio, advantages * ratio.clip(0.9, 1.1))
    assert (surrogate != advantages * ratio).any()
    expected = -surrogate.mean() - ENTROPY * now.rows(now.entropy).mean()
    expected += 0.7 * 0.5 * ((now.rows(now.values) - targets) ** 2).mean()
    exact = now.rows((np.exp(target.all_logp) * (target.all_logp - now.all_logp)).sum(-1)).mean()
    if use_kl_loss:
        expected += 0.6 * exact
    assert loss_of(algorithm, batch) == pytest.approx(expected, rel=1e-5)
    reported = float(algorithm.losses(algorithm.policy, batch).metrics["kl"])
    estimate = now.rows(np.exp(now.logp - target.logp) - 1 - (now.logp - target.logp)).mean()
    assert reported == pytest.approx(exact if use_kl_loss else estimate, rel=1e-4)


# --------------------------------------------------------------------------------- keys given anew


@pytest.mark.parametrize("kind", [PPO, APPO], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("saved", "weight", "given", "expected"),
    [
        ({"kl_coeff": 0.4}, 0.1, {}, 0.1),
        ({"kl_coeff": 0.4}, 0.1, {"use_kl_loss": True}, 0.1),
        ({"kl_coeff": 0.4}, 0.1, {"kl_coeff": 0.2}, 0.2),
        ({"kl_coeff": 0.4}, 0.1, {"use_kl_loss": False}, 0.0),
        ({"kl_coeff": 0.0, "use_kl_loss": True}, 0.0, {"kl_coeff": 0.2}, 0.2),
        ({"use_kl_loss": False}, 0.0, {"use_kl_loss": True}, None),
    ],
)
def test_the_weight_of_the_kl_penalty_goes_on_unless_a_key_says_otherwise(
    kind: type[Any], saved: dict[str, Any], weight: float, given: dict[str, Any], expected: float | None, tmp_path: Path
) -> None:
    if expected is None:
        expected = kind.config_class().kl_coeff
    with closing(make(kind, **saved)) as algorithm:
        algorithm.kl_coeff.assign(weight)
        algorithm.save(tmp_path)
    with closing(kind.load(tmp_path, config=given)) as loaded:
        assert float(loaded.kl_coeff) == expected
        assert loaded.config.adapts_kl is (expected > 0)


def test_a_constant_that_is_given_takes_the_place_of_a_recorded_schedule(tmp_path: Path) -> None:
    pairs = [(0, 0.5), (100, 0.1)]
    with closing(make(PPO, lr_schedule=pairs, entropy_coeff_schedule=pairs)) as algorithm:
        algorithm.save(tmp_path)
    for key in ("lr", "entropy_coeff"):
        with closing(PPO.load(tmp_path, config={key: 0.25})) as loaded:
            schedules = {name: getattr(loaded.config, f"{name}_schedule") for name in ("lr", "entropy_coeff")}
            assert schedules == {"lr": pairs, "entropy_coeff": pairs, key: None}


@pytest.mark.parametrize(
    ("kind", "env", "key", "first", "other"),
    [
        (PPO, DISCRETE, "seed", 3, 4),
        (SAC, DISCRETE, "initial_alpha", 0.5, 0.1),
        (DQN, DISCRETE, "sigma0", 0.5, 0.1),
        (MARWIL, DISCRETE, "moving_average_sqd_adv_norm_start", 100.0, 10.0),
    ],
)
def test_what_says_where_a_run_begins_is_refused_where_one_goes_on(
    kind: type[Any], env: Any, key: str, first: Any, other: Any, tmp_path: Path
) -> None:
    small = {"seed": 3, "model": {"fcnet_hiddens": [4], "vf_share_layers": kind is not MARWIL}, key: first}
    small |= {"input": "sampler"} if kind is MARWIL else {} if kind is PPO else {"replay_capacity": 2000}
    with closing(kind(env, small, preset="none", **({"noisy": True} if kind is DQN else {}))) as algorithm:
        algorithm.save(tmp_path)
    kind.load(tmp_path, env=env, config={key: first}).close()
    with pytest.raises(ConfigError, match=f"`{key}` is {other}, but it says where a run begins, .* {first};"):
        kind.load(tmp_path, env=env, config={key: other})


# ---------------------------------------------------------------------------------------- estimators


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        ([0, 0, 1], [0, 0, 0], [5.23, 4.7, 3]),
        ([0, 0, 0], [0, 0, 1], [5.8132, 5.348, 3.72]),
        ([0, 0, 0], [0, 0, 0], [5.8132, 5.348, 3.72]),  # the fragment is cut
    ],
)
def test_returns_golden(terminated: list[int], truncated: list[int], expected: list[float]) -> None:
    rewards, next_values = np.array([[1.0], [2.0], [3.0]]), np.array([[0.6], [0.7], [0.8]])
    ended = np.array(terminated, bool)[:, None]
    done = np.array(truncated, bool)[:, None] | ended
    nothing = np.zeros((3, 1))
    steps = TimeMajor(nothing, rewards, nothing, next_values, ended, done)  # type: ignore[arg-type]
    advantages, targets = monte_carlo(gamma=0.9)(steps)
    np.testing.assert_allclose(targets[:, 0], expected, rtol=1e-9)
    np.testing.assert_array_equal(advantages, targets)


ESTIMATORS: dict[str, Estimator] = {
    "gae": gae(gamma=GAMMA, lambda_=0.8),
    "returns": monte_carlo(gamma=GAMMA),
    "vtrace": vtrace(gamma=GAMMA, clip_rho=1.0, clip_pg_rho=1.0),
}


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
def test_fragments_of_different_lengths_end_with_their_own_bootstraps(estimate: Estimator) -> None:
    with closing(make(A2C)) as algorithm:
        policy, long, short = algorithm.policy, algorithm.fleet.gather(64), algorithm.fleet.gather(20)
    joined = Trajectory.side_by_side([long, short])
    assert not short.done[-1].all()
    rows = {}
    for name, trajectory in (("long", long), ("short", short), ("joined", joined)):
        batch = training_rows(policy, trajectory, estimate)
        steps = Rows(policy, trajectory)
        rows[name] = [steps.to_time(batch[column].numpy()) for column in ("advantages", "value_targets")]
    for apart, together in zip(zip(rows["long"], rows["short"], strict=True), rows["joined"], strict=True):
        np.testing.assert_allclose(together[:, :4], apart[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(together[:5, 4:], apart[1], rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------- every policy that can be sampled


AUTOREGRESSIVE = {"autoregressive_actions": True}
POLICIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "autoregressive": (sampled(VECTOR, CHOICES), AUTOREGRESSIVE),
    "autoregressive lstm": (sampled(VECTOR, CHOICES), {**AUTOREGRESSIVE, **LSTM}),
    "masked": (sampled(VECTOR, spaces.Discrete(4), masked=True), {}),
    "parametric": (DISCRETE, {"parametric_actions": "learned"}),
    "pair": (sampled(VECTOR, PAIR), LSTM),
}


@pytest.mark.spec(170)
@pytest.mark.parametrize("kind", [PG, A2C, IMPALA, APPO])
@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_trains(kind: type[Any], policy: str) -> None:
    env, model = POLICIES[policy]
    replayed: dict[str, Any] = {"replay_proportion": 1.0} if kind in (IMPALA, APPO) else {}
    replayed |= {} if kind is PG else {"min_sample_timesteps_per_iteration": 1}
    with closing(make(kind, env, model, **replayed)) as algorithm:
        algorithm.train()
        assert np.isfinite(algorithm.train()["learner"]["total_loss"])


@pytest.mark.spec(170)
@pytest.mark.parametrize("policy", ["autoregressive", "autoregressive lstm", "masked", "pair"])
def test_vtrace_goes_by_the_log_probabilities_of_those_who_acted(policy: str) -> None:
    env, model = POLICIES[policy]
    with closing(make(IMPALA, env, model)) as algorithm:
        trajectory = with_logp(algorithm.policy, algorithm.fleet.gather(64))
    acted = training_rows(algorithm.policy, trajectory, ESTIMATORS["vtrace"])
    assert trajectory.action_logp is not None
    before = acted["action_logp"].numpy()
    with torch.no_grad():
        own = algorithm.policy.evaluate(acted).distribution.logp(acted["actions"])
    np.testing.assert_allclose(own, before, rtol=1e-5, atol=1e-6)
    shaken(algorithm)
    seen = []
    later = training_rows(algorithm.policy, trajectory, lambda steps: (seen.append(steps), (steps.values,) * 2)[1])
    np.testing.assert_array_equal(later["action_logp"], before)
    with torch.no_grad():
        now = algorithm.policy.evaluate(later).distribution.logp(later["actions"]).numpy()
    rows = Rows(algorithm.policy, trajectory)
    found = rows.from_time(seen[0].log_ratios)
    assert np.abs(found).max() > 0.05
    np.testing.assert_allclose(found, now - before, rtol=1e-4, atol=1e-5)


# -------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("kind", [A2C, IMPALA, APPO])
def test_an_entropy_bonus_wants_an_entropy(kind: type[Any]) -> None:
    class NoEntropy(Deterministic):
        @staticmethod
        def required_model_output_shape(action_space: Any, model_config: Any) -> int:
            return 1

    ModelCatalog.register_custom_action_dist("without entropy", NoEntropy)
    model = {"custom_action_dist": "without entropy"}
    env = sampled(VECTOR, spaces.Box(-1.0, 1.0, (1,)))
    with pytest.raises(ConfigError, match=r"entropy_coeff.*NoEntropy defines no entropy"):
        make(kind, env, model, entropy_coeff=0.1)
    assert make(kind, env, model).config.entropy_coeff == 0, "a default gives way"


@pytest.mark.parametrize("kind", [PG, A2C, IMPALA, APPO])
def test_another_exploration_than_sampling_is_refused(kind: type[Any]) -> None:
    class Timid(StochasticSampling):
        pass

    class Mine(kind):  # type: ignore[misc]
        @classmethod
        def plan(cls, config: Any) -> Plan:
            return Plan(exploration=Timid)

    with pytest.raises(ConfigError, match="Mine learns from samples of its own distribution, but the plan explores by"):
        make(Mine)


def test_what_has_no_explained_variance_in_float32_is_left_out() -> None:
    with closing(make(A2C)) as algorithm:
        targets = torch.tensor([1.0, 2.0, 4.0])
        usual = algorithm.report(Batch(value_targets=targets, vf_preds=targets))
        huge = algorithm.report(Batch(value_targets=targets * 1e30, vf_preds=targets))
    assert usual["explained_variance"] == 1.0
    assert "explained_variance" not in huge
