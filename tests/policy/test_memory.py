"""Memories through the policy: acting step by step, one pass over sequences, and acting from outside agree."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace import PPO, Algorithm
from anyspace.algorithms.on_policy import gae, training_rows
from anyspace.data.collector import Collector
from anyspace.data.vector import VectorSource
from anyspace.errors import ModelError, ObservationError
from anyspace.models import FullyConnectedNetwork, ModelConfig, RecurrentNetwork
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from tests.support.thinned import thinned
from tests.support.torch_nets import shuffled

MEMORIES: dict[str, dict[str, Any]] = {
    "lstm": {"use_lstm": True, "lstm_cell_size": 6, "lstm_use_prev_action": True, "lstm_use_prev_reward": True},
    "gru": {"use_gru": True, "lstm_cell_size": 5},
    "gtrxl": {
        "use_attention": True,
        "attention_dim": 6,
        "attention_head_dim": 4,
        "attention_num_heads": 2,
        "attention_num_transformer_units": 2,
        "attention_memory_inference": 4,
        "attention_memory_training": 4,
        "attention_use_n_prev_actions": 2,
        "attention_use_n_prev_rewards": 3,
    },
}
MEMORIES["gtrxl that remembers more than a chunk"] = {
    **MEMORIES["gtrxl"],
    "attention_memory_inference": 12,
    "attention_memory_training": 12,
}
MEMORIES["lstm time major"] = {**MEMORIES["lstm"], "_time_major": True}
MEMORIES["gtrxl time major"] = {**MEMORIES["gtrxl"], "_time_major": True}


class Noise(gym.Env[Any, Any]):
    """Observes noise; episodes end after the told numbers of steps, some for good and some cut."""

    observation_space = spaces.Dict(x=spaces.Box(-9, 9, (3,)), kind=spaces.Discrete(3))
    action_space = spaces.Dict(move=spaces.Discrete(3), push=spaces.Box(-1, 1, (2,)))

    def __init__(self, lengths: tuple[int, ...], changed: Any = None):
        self.lengths, self.changed = lengths, changed or {}
        self.episode, self.t, self.steps = -1, 0, 0
        self.rng = np.random.default_rng(sum(lengths))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        over = self.t >= self.lengths[self.episode % len(self.lengths)]
        ends = self.episode % 2 == 0
        return self._seen(), float(self.rng.normal()), over and ends, over and not ends, {}

    def _seen(self) -> Any:
        x = self.rng.normal(size=3).astype(np.float32) + self.changed.get((self.episode, self.t), 0)
        return {"x": x.astype(np.float32), "kind": int(self.rng.integers(3))}


def policy(memory: str, max_seq_len: int = 5, **settings: Any) -> Policy:
    model = ModelConfig(fcnet_hiddens=[7], max_seq_len=max_seq_len, **MEMORIES[memory])
    config = PolicyConfig(model=model, **settings)
    made = Policy(Noise.observation_space, Noise.action_space, config, TorchRuntime("cpu"))
    shuffled(made.model)
    return made


def source(mode: AutoresetMode, changed: Any = None) -> VectorSource:
    # Resets at K - 1, K and K + 1 steps, in the first step, and none for long.
    lengths = [(4, 5, 6), (1, 9, 2), (40,)]
    makers: list[Any] = [lambda each=each: Noise(each, changed) for each in lengths]
    return VectorSource(SyncVectorEnv(makers, autoreset_mode=mode))


class Acting:
    """Keeps the distribution inputs that a policy acted on, through its network or through the network's twin."""

    def __init__(self, acting: Policy, through: str = "network"):
        self.outputs: list[np.ndarray] = []
        if through == "twin":
            self._keep_twins(acting)
        else:
            self._keep_networks(acting)

    def _keep_twins(self, acting: Policy) -> None:
        compiled = acting.runtime.numpy_pass

        def kept(model: Any) -> Any:
            twin = compiled(model)
            assert twin is not None

            def forward(inputs: Any, state: Any) -> Any:
                output, new = twin(inputs, state)
                self.outputs.append(np.array(output))
                return output, new

            return forward

        acting.runtime.numpy_pass = kept  # type: ignore[method-assign]

    def _keep_networks(self, acting: Policy) -> None:
        forward = acting.model.forward

        def kept(input_dict: Any, state: Any, seq_lens: Any) -> Any:
            output, new = forward(input_dict, state, seq_lens)
            if len(output) == 3 and seq_lens is not None and seq_lens.max() == 1:
                self.outputs.append(output.detach().numpy().copy())
            return output, new

        acting.model.forward = kept  # type: ignore[method-assign]


@pytest.mark.spec(86, 87, 90)
@thinned(
    4,
    through=["network", "twin"],
    memory=MEMORIES,
    max_seq_len=[1, 2, 5, 50],
    mode=[AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP],
)
def test_stepping_equals_the_unrolled_pass(through: str, memory: str, max_seq_len: int, mode: AutoresetMode) -> None:
    made = policy(memory, max_seq_len)
    kept = Acting(made, through)
    collector = Collector(source(mode), made)
    for steps in (5, 1, 4, 13):  # borders of trajectories anywhere
        kept.outputs.clear()
        trajectory = collector.gather(steps)
        acted = np.stack(kept.outputs[:steps])
        batch = training_rows(made, trajectory, gae(gamma=0.9, lambda_=0.9))
        order = [(t, b) for b, t in sorted((b, t) for t, b in np.argwhere(trajectory.valid))]
        wanted = np.array([acted[t, b] for t, b in order])
        np.testing.assert_allclose(batch["action_dist_inputs"], wanted, atol=1e-5)
        with torch.no_grad():
            again = made.evaluate(batch, training=True)
        np.testing.assert_allclose(again.distribution.inputs, wanted, atol=1e-5)
        np.testing.assert_allclose(again.values, batch["vf_preds"], atol=1e-5)


@pytest.mark.spec(113)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("through", ["network", "twin"])
def test_nothing_leaks_across_a_reset(through: str, memory: str, mode: AutoresetMode) -> None:
    # In the second run the last steps of the first environment's first episode are others; so are all those of
    # the second environment's. No episode after them may notice, and neither may the third environment.
    runs = []
    changed = {(0, t): 1.0 for t in range(5)}
    for what in (None, changed):
        made = policy(memory, 5)
        kept = Acting(made, through)
        collector = Collector(source(mode, what), made)
        trajectory = collector.gather(14, explore=False)
        batch = training_rows(made, trajectory, gae(gamma=0.9, lambda_=0.9))
        runs.append((np.stack(kept.outputs[:14]), trajectory, np.asarray(batch["action_dist_inputs"])))
    (first, trajectory, rows), (second, _, changed_rows) = runs
    episodes = np.zeros((14, 3), np.int64)
    episodes[1:] = np.cumsum(trajectory.restarts(), axis=0)[:-1]
    later = trajectory.valid & (episodes > 0)
    assert later[:, :2].any(axis=0).all()
    np.testing.assert_array_equal(first[later], second[later])
    early = trajectory.valid & (episodes == 0)
    assert (first[early] != second[early]).any()
    order = [(t, b) for b, t in sorted((b, t) for t, b in np.argwhere(trajectory.valid))]
    kept_rows = np.array([later[t, b] for t, b in order])
    np.testing.assert_allclose(rows[kept_rows], changed_rows[kept_rows], atol=1e-6)


@pytest.mark.parametrize("memory", ["lstm", "gru", "gtrxl"])
def test_actions_from_outside_are_those_of_the_rollout(memory: str) -> None:
    made = policy(memory)
    collector = Collector(source(AutoresetMode.SAME_STEP), made)
    trajectory = collector.gather(20, explore=False)
    raw = trajectory.actions
    for b, lengths in enumerate([(4, 5, 6), (1, 9, 2), (40,)]):
        env, state, reward = Noise(lengths), None, None
        obs, _ = env.reset()
        for t in range(20):
            action, state = made.compute_single_action(obs, state, prev_reward=reward)
            assert action["move"] == raw["move"][t, b]
            np.testing.assert_allclose(action["push"], np.clip(raw["push"][t, b], -1, 1), atol=1e-5)
            obs, reward, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                obs, _ = env.reset()
                state = None


def test_some_of_several_episodes_begin_anew() -> None:
    made = policy("lstm")
    rng = np.random.default_rng(0)
    obs = {"x": rng.normal(size=(4, 2, 3)).astype(np.float32), "kind": rng.integers(3, size=(4, 2))}

    def at(t: int, rows: Any = slice(None)) -> Any:
        return {name: column[t][rows] for name, column in obs.items()}

    _, state = made.compute_actions(at(0))
    _, state = made.compute_actions(at(1), state, prev_reward=np.ones(2))
    actions, _ = made.compute_actions(at(2), state.restarted(np.array([False, True])), prev_reward=np.ones(2))
    alone, _ = made.compute_actions(at(2, [1]))
    np.testing.assert_allclose(actions["push"][1:], alone["push"], atol=1e-6)
    _, one = made.compute_actions(at(0, [0]))
    _, one = made.compute_actions(at(1, [0]), one, prev_reward=np.ones(1))
    on, _ = made.compute_actions(at(2, [0]), one, prev_reward=np.ones(1))
    np.testing.assert_allclose(actions["push"][:1], on["push"], atol=1e-6)


def test_states_that_do_not_fit_are_refused() -> None:
    made = policy("lstm")
    obs = {"x": np.zeros((2, 3), np.float32), "kind": np.zeros(2, np.int64)}
    _, state = made.compute_actions(obs)
    with pytest.raises(ValueError, match="looks at rewards: give the one that the previous step earned"):
        made.compute_actions(obs, state)
    single = {"x": np.zeros(3, np.float32), "kind": 0}
    with pytest.raises(ValueError, match="expected what the previous call for 1 observations returned"):
        made.compute_single_action(single, state, prev_reward=0.0)
    with pytest.raises(ValueError, match="expected what the previous call"):
        made.compute_single_action(single, [np.zeros(6)], prev_reward=0.0)


def test_a_state_of_another_policy_is_refused() -> None:
    obs = {"x": np.zeros((2, 3), np.float32), "kind": np.zeros(2, np.int64)}
    states = {name: policy(name).compute_actions(obs)[1] for name in ("lstm", "gru", "gtrxl")}
    rewards = np.zeros(2)
    for name in states:
        for other, state in states.items():
            made = policy(name)
            if name == other:  # another one of the same kind
                actions, _ = made.compute_actions(obs, copy.deepcopy(state), prev_reward=rewards)
                assert actions["push"].shape == (2, 2)
                continue
            with pytest.raises(ObservationError, match="got <PolicyState of 2 episodes> from a policy that remembers"):
                made.compute_actions(obs, state, prev_reward=rewards)


@pytest.mark.spec(73, 74, 75, 78)
@pytest.mark.parametrize(
    ("keys", "states"),
    [
        ({"use_lstm": True}, [(256,), (256,)]),
        ({"use_lstm": True, "lstm_cell_size": 12}, [(12,), (12,)]),
        ({"use_gru": True, "lstm_cell_size": 12}, [(12,)]),
        ({"use_attention": True}, [(64,), (1,)]),
    ],
)
def test_memories_train_end_to_end(keys: dict[str, Any], states: list[Any], tmp_path: Any) -> None:
    algorithm = PPO(
        "CartPole-v1", model=keys, train_batch_size=160, minibatch_size=64, num_epochs=2, seed=0, preset="none"
    )
    seen = []
    forward = algorithm.policy.model.forward
    algorithm.policy.model.forward = lambda inputs, state, lens: (seen.append(state), forward(inputs, state, lens))[1]
    result = algorithm.train()
    assert result["learner"]["ratio_error"] >= 0
    assert np.isfinite(result["learner"]["total_loss"])
    assert [state.shape for state in algorithm.policy.views.initial] == states
    if "use_attention" in keys:
        assert seen[0][0].shape == (1, 50, 64)
    path = algorithm.save(tmp_path)
    loaded = Algorithm.load(path)
    obs = np.array([0.1, -0.2, 0.05, 0.3], np.float32)
    mine, theirs = None, None
    for _ in range(3):
        first, mine = algorithm.compute_single_action(obs, mine)
        second, theirs = loaded.compute_single_action(obs, theirs)
        assert first == second
    algorithm.close()


@pytest.mark.spec(89)
def test_the_loss_does_not_depend_on_padding() -> None:
    # Alone, a sequence is not padded; beside a long one it is.
    made = policy("lstm", 50)
    collector = Collector(source(AutoresetMode.SAME_STEP), made)
    batch = training_rows(made, collector.gather(30), gae(gamma=0.9, lambda_=0.9))
    sequences = batch.pop("sequences")
    assert len(set(sequences.lens.tolist())) > 2
    together = made.evaluate(Batch({**batch, "sequences": sequences})).values
    for s in range(len(sequences.lens)):
        picked, rows = sequences.pick(np.array([s]), made.runtime)
        alone = Batch(
            obs=[leaf[torch.from_numpy(rows)] for leaf in batch["obs"]],
            views={name: window[torch.from_numpy(rows)] for name, window in batch["views"].items()},
            sequences=picked,
        )
        torch.testing.assert_close(made.evaluate(alone).values, together[torch.from_numpy(rows)], atol=1e-5, rtol=1e-5)


class Summing(RecurrentNetwork):
    """A custom model with memory: sums its inputs up."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):  # type: ignore[no-untyped-def]
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.heads = torch.nn.Linear(obs_space.shape[0], num_outputs + 1)
        self.given: list[Any] = []

    def get_initial_state(self):  # type: ignore[no-untyped-def]
        return [np.ones(self.obs_space.shape[0], np.float32)]

    def forward_rnn(self, inputs, state, seq_lens):  # type: ignore[no-untyped-def]
        self.given.append((tuple(inputs.shape), seq_lens.tolist(), inputs.detach().numpy().copy()))
        sums = state[0][:, None] + inputs.cumsum(1)
        output = self.heads(sums)
        self.values = output[..., -1].reshape(-1)
        return output[..., :-1], [sums[torch.arange(len(sums)), seq_lens.long() - 1]]

    def value_function(self):  # type: ignore[no-untyped-def]
        return self.values


@pytest.mark.spec(103, 104, 105, 107)
def test_recurrent_networks_see_padded_sequences() -> None:
    algorithm = PPO(
        "CartPole-v1",
        model={"custom_model": Summing, "max_seq_len": 6},
        train_batch_size=64,
        minibatch_size=None,
        num_epochs=1,
        seed=0,
        preset="none",
    )
    given = algorithm.policy.model.given
    given.clear()
    result = algorithm.train()
    acting, learning = given[:64], given[64:]
    assert all(shape == (1, 1, 4) and lens == [1] for shape, lens, _ in acting)
    (shape, lens, inputs) = learning[-1]
    assert sum(lens) == result["timesteps_this_iter"]
    assert shape == (len(lens), max(lens), 4)
    assert max(lens) <= 6
    for row, length in zip(inputs, lens, strict=True):
        assert not row[length:].any()
        assert row[:length].any(axis=1).all()
    algorithm.close()


class Broken(Summing):
    def forward_rnn(self, inputs, state, seq_lens):  # type: ignore[no-untyped-def]
        output, states = super().forward_rnn(inputs, state, seq_lens)
        return output, [states[0][:, :2]]


def test_states_of_another_shape_are_refused() -> None:
    with pytest.raises(ModelError, match=r"Broken.forward\(\) returned states of shapes \[\(2, 2\)\].*\(2, 4\)"):
        PPO("CartPole-v1", model={"custom_model": Broken}, preset="none")


class OwnTime(Summing):
    """Adds the axis of time itself."""

    def forward(self, input_dict, state, seq_lens):  # type: ignore[no-untyped-def]
        flat = input_dict["obs_flat"]
        output, new = self.forward_rnn(flat.reshape(len(seq_lens), -1, flat.shape[1]), state, seq_lens)
        return output.reshape(len(flat), -1), new


@pytest.mark.spec(106)
def test_a_model_may_add_the_time_axis_itself() -> None:
    results = []
    for model in (Summing, OwnTime):
        algorithm = PPO(
            "CartPole-v1", model={"custom_model": model}, train_batch_size=64, minibatch_size=32, seed=3, preset="none"
        )
        results.append(algorithm.train()["learner"]["total_loss"])
        algorithm.close()
    assert results[0] == results[1]


class Penalised(FullyConnectedNetwork):
    """Adds 100 to the loss."""

    def custom_loss(self, policy_loss: list[torch.Tensor], loss_inputs: dict[str, Any]) -> list[torch.Tensor]:
        assert {"obs", "actions", "seq_lens", "state_in_0"} <= set(loss_inputs)
        return [loss + 100 for loss in policy_loss]


@pytest.mark.parametrize("memory", ["use_lstm", "use_gru", "use_attention"])
def test_the_loss_of_a_model_under_a_memory_counts(memory: str) -> None:
    small = {"train_batch_size": 64, "minibatch_size": 32, "num_epochs": 1, "vf_loss_coeff": 0.0, "seed": 0}
    found = [
        PPO("CartPole-v1", small, model={memory: True, "custom_model": base}, preset="none").train()["learner"][
            "total_loss"
        ]
        for base in (FullyConnectedNetwork, Penalised)
    ]
    # A class of the user's acts by PyTorch and draws otherwise, so the rest of the loss is of another rollout.
    assert found[1] - found[0] == pytest.approx(100, abs=1)
