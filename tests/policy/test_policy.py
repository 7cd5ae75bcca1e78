import copy
import pickle
import re
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Sequence, Text, Tuple

from anyspace import PPO
from anyspace.config import merge
from anyspace.distributions import ActionDistribution, Categorical, DiagGaussian
from anyspace.errors import CheckpointError, ModelError, ObservationError, UnsupportedSpaceError
from anyspace.models import MODEL_DEFAULTS, FullyConnectedNetwork, TorchModelV2
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.plan import CATALOGUE, Plan
from anyspace.policy.policy import Policy
from anyspace.spaces import Repeated, Simplex, encode, restore_original_dimensions
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES, stacked

VECTOR, THREE = Box(-1, 1, (4,)), Discrete(3)
MIXED = Dict(
    [
        ("z", Box(-100, 100, (2,), np.float64)),
        ("kind", Discrete(3, start=5)),
        ("part", Tuple((MultiBinary(2), MultiDiscrete([2, 3]), Box(0, 255, (), np.uint8)))),
    ]
)


def make(observation_space=VECTOR, action_space=THREE, *, model=None, seed=0, **config):
    """Return a policy with a small network on the CPU."""
    hiddens = {} if isinstance(model, TorchModelV2) else {"fcnet_hiddens": [8], **(model or {})}
    settings = merge(PolicyConfig(), {"model": hiddens, **config})
    plan = Plan.with_model(model) if isinstance(model, TorchModelV2) else CATALOGUE
    return Policy(observation_space, action_space, settings, TorchRuntime("cpu"), plan, seed)


def samples(space, rows, seed=0):
    space.seed(seed)
    return stacked(space, [space.sample() for _ in range(rows)])


def tensors(policy, observations):
    return [policy.runtime.asarray(leaf) for leaf in policy.encode(observations)]


def biased(policy, *values):
    """Make the model put out ``values`` whatever it sees."""
    with torch.no_grad():
        policy.model.logits.weight.zero_()
        policy.model.logits.bias.copy_(torch.tensor(values))
    return policy


class Seeing(TorchModelV2):
    """Keeps what it was given to see."""

    def forward(self, input_dict, state, seq_lens):
        self.seen = input_dict
        obs = input_dict["obs"]
        first = obs["kind"] if isinstance(obs, dict) else obs
        return torch.zeros(len(first), self.num_outputs), state

    def value_function(self):
        return torch.zeros(len(self.seen["obs"]["kind"]))


class Maskless(ActionDistribution):
    """A custom distribution that knows no masks."""

    @staticmethod
    def required_model_output_shape(action_space, model_config):
        return 3

    def __init__(self, inputs, model):
        super().__init__(inputs, model)

    def sample(self):
        return self.inputs.argmax(1)

    deterministic_sample = sample

    def logp(self, actions):
        return self.inputs[:, 0]


# ------------------------------------------------------------------------------------------ every space


def is_member(space, action):
    """Whether an action is in a space, down to types: `contains` accepts (and warns of) bare numbers for Boxes."""
    if isinstance(space, Dict):
        return action.keys() == space.keys() and all(is_member(space[key], action[key]) for key in action)
    if isinstance(space, Tuple):
        return type(action) is tuple and all(map(is_member, space.spaces, action))
    kind = np.integer if isinstance(space, Discrete) else np.ndarray
    return isinstance(action, kind) and action.dtype == space.dtype and space.contains(action)


@pytest.mark.spec(6)
@pytest.mark.parametrize(
    ("name", "sixth"),
    [
        pytest.param(name, sixth, marks=[pytest.mark.fuzz] * (sixth != number % 6))
        for number, name in enumerate(OBSERVATION_SPACES)
        for sixth in range(6)
    ],
)
def test_a_policy_is_built_and_acts_for_every_pair_of_spaces(name, sixth):
    space = OBSERVATION_SPACES[name]
    space.seed(1)
    observation = space.sample()
    for action_space in [*ACTION_SPACES.values()][sixth::6]:
        policy = make(space, action_space)
        for explore in (False, True):
            action = policy.compute_single_action(observation, explore=explore)
            assert is_member(action_space, action), (action_space, action)


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_one_observation_is_treated_as_one_of_many(name):
    space = OBSERVATION_SPACES[name]
    policy = make(space, Box(-1, 1, (2,)), observation_filter="MeanStdFilter")
    policy.push(policy.encode(samples(space, 5, 1)))
    space.seed(2)
    singles = [space.sample() for _ in range(4)]
    one_by_one = [policy.compute_single_action(single) for single in singles]
    np.testing.assert_allclose(policy.compute_actions(stacked(space, singles)), one_by_one, atol=1e-6)


def test_unsupported_leaves_are_named():
    with pytest.raises(UnsupportedSpaceError, match=re.escape('obs["a"][0]: ')):
        make(Dict(a=Tuple((Sequence(Discrete(2)),))))
    with pytest.raises(UnsupportedSpaceError, match=re.escape('action["b"]: ')):
        make(VECTOR, Dict(b=Text(3)))
    with pytest.raises(UnsupportedSpaceError, match=re.escape('action["b"]: Box(0, 1073741824, (2,), int64)')):
        make(VECTOR, Dict(b=Box(0, 2**30, (2,), np.int64)))


# --------------------------------------------------------------------------------------- model inputs


@pytest.mark.spec(16, 99)
def test_a_model_sees_structure_and_flat_vector_at_once():
    policy = make(MIXED, model={"custom_model": Seeing})
    observations = samples(MIXED, 6)
    policy.evaluate(Batch(obs=tensors(policy, observations)))
    seen = policy.model.seen
    assert list(seen) == ["is_training", "obs", "obs_flat"]
    flat = seen["obs_flat"]
    assert (flat.shape, flat.dtype) == ((6, 2 + 3 + 2 + 5 + 1), torch.float32)
    obs = seen["obs"]
    assert list(obs) == ["z", "kind", "part"]
    np.testing.assert_allclose(obs["z"], observations["z"].astype(np.float32))
    np.testing.assert_array_equal(obs["kind"].argmax(1), observations["kind"] - 5)
    np.testing.assert_array_equal(obs["part"][0], observations["part"][0])
    np.testing.assert_array_equal(obs["part"][1], one_hots(observations["part"][1]))
    np.testing.assert_array_equal(obs["part"][2], observations["part"][2])
    restored = restore_original_dimensions(flat, policy.obs_space, "torch")
    assert torch.equal(restored["part"][1], obs["part"][1])
    with pytest.raises(KeyError, match="'prev_actions' is not among the model's inputs: is_training, obs, obs_flat"):
        seen["prev_actions"]


def one_hots(pairs):
    return np.concatenate([np.eye(2)[pairs[:, 0]], np.eye(3)[pairs[:, 1]]], axis=1)


def test_float64_observations_arrive_as_float32():
    policy = make(Box(-1, 1, (4,), np.float64))
    rows = np.random.default_rng(0).uniform(-1, 1, (3, 4))
    inputs = policy.model_inputs(tensors(policy, rows))
    assert inputs["obs"].dtype == inputs["obs_flat"].dtype == torch.float32
    np.testing.assert_array_equal(inputs["obs_flat"], rows.astype(np.float32))


def test_columns_are_computed_when_touched():
    policy, calls = make(MIXED), []
    policy.preprocessor.expand = lambda leaves, expand=policy.preprocessor.expand: calls.append(1) or expand(leaves)
    inputs = policy.model_inputs(tensors(policy, samples(MIXED, 2)))
    assert calls == []
    assert inputs["obs_flat"] is inputs["obs_flat"]
    assert calls == [1]


@pytest.mark.spec(32)
@pytest.mark.parametrize(
    "switch",
    [{"_disable_preprocessor_api": True}, {"preprocessor_pref": None}, {"model": {"_disable_preprocessor_api": True}}],
    ids=str,
)
def test_without_preprocessing_a_model_sees_nested_tensors(switch):
    model = {"custom_model": Seeing, **switch.get("model", {})}
    policy = make(MIXED, **{**switch, "model": model})
    observations = samples(MIXED, 6)
    policy.evaluate(Batch(obs=tensors(policy, observations)))
    obs = policy.model.seen["obs"]
    assert policy.model.obs_space is MIXED
    assert policy.model.model_config["_disable_preprocessor_api"] is True
    assert policy.model.seen["obs_flat"] is obs
    assert (obs["z"].dtype, obs["kind"].dtype, obs["part"][1].dtype) == (torch.float32, torch.int64, torch.int64)
    assert (obs["part"][0].dtype, obs["part"][2].dtype) == (torch.int8, torch.uint8)
    np.testing.assert_array_equal(obs["kind"], observations["kind"] - 5)
    np.testing.assert_array_equal(obs["part"][1], observations["part"][1])
    np.testing.assert_array_equal(obs["part"][2], observations["part"][2])


def test_with_preprocessing_the_model_is_told_so():
    policy = make(MIXED)
    assert policy.model.model_config["_disable_preprocessor_api"] is False
    assert policy.model.obs_space.original_space is MIXED


# ------------------------------------------------------------------------------------------ forward pass


def test_acting_never_computes_the_value():
    policy, calls = make(model={"vf_share_layers": False}), []
    for module in (policy.model.value_head, policy.model.value_encoder):
        module.register_forward_hook(lambda *_: calls.append(1))
    leaves = policy.encode(samples(VECTOR, 3))
    with policy.acting() as act:
        act(leaves)
        act(leaves, explore=False)
    policy.compute_single_action(np.zeros(4, np.float32))
    assert calls == []
    assert policy.evaluate(Batch(obs=tensors(policy, samples(VECTOR, 3))), value=False).values is None
    assert calls == []
    assert policy.evaluate(Batch(obs=tensors(policy, samples(VECTOR, 3)))).values.shape == (3,)
    assert calls == [1, 1]


def test_training_is_asked_for():
    policy = make(MIXED, model={"custom_model": Seeing})
    for training in (True, False):
        policy.evaluate(Batch(obs=tensors(policy, samples(MIXED, 2))), training=training)
        assert (policy.model.training, policy.model.seen.is_training) == (training, training)


def test_a_ready_model_is_used_as_it_is():
    model = FullyConnectedNetwork(VECTOR, Discrete(3), 3, {**MODEL_DEFAULTS, "fcnet_hiddens": [5]}, "mine")
    before = model.logits.weight.clone()
    policy = make(model=model, seed=9)
    assert policy.model is model
    assert torch.equal(model.logits.weight, before)
    with pytest.raises(ModelError, match=re.escape("output of shape (2, 3) for 2 observations")):
        make(VECTOR, Discrete(4), model=model)


def test_seeds_settle_the_weights_and_the_samples():
    observation = np.zeros(4, np.float32)

    def fingerprint(seed):
        policy = make(seed=seed)
        acted = [int(policy.compute_single_action(observation, explore=True)) for _ in range(20)]
        return policy.model.logits.weight.tolist(), acted

    assert fingerprint(1) == fingerprint(1)
    assert fingerprint(1)[0] != fingerprint(2)[0]
    assert fingerprint(1)[1] != fingerprint(2)[1]


# ------------------------------------------------------------------------------------------------ acting


def test_exploring_samples_and_not_exploring_takes_the_mode():
    policy = biased(make(), 0.0, 1.0, 0.0)
    observations = np.zeros((30_000, 4), np.float32)
    assert set(policy.compute_actions(observations)) == {1}
    frequencies = np.bincount(policy.compute_actions(observations, explore=True)) / 30_000
    expected = np.exp([0, 1, 0]) / np.exp([0, 1, 0]).sum()
    np.testing.assert_allclose(frequencies, expected, atol=0.012)


@pytest.mark.parametrize(
    "action_space", [Discrete(3), MultiDiscrete([2, 3]), Tuple((Discrete(2), Box(-9, 9, (2,))))], ids=str
)
def test_noise_drawn_ahead_samples_as_step_by_step(action_space):
    rows, steps = 4000, 5
    policy = make(VECTOR, action_space)
    biased(policy, *np.linspace(-0.7, 0.9, policy.num_outputs))
    leaves = policy.encode(np.zeros((rows, 4), np.float32))
    with policy.acting("acting") as act:
        noise = act.draw_noise(policy.new_distribution(rows), steps)
        ahead = [act(leaves, noise=row).raw for row in noise]
        stepwise = [act(leaves).raw for _ in range(steps)]
    for first, second in zip(columns(ahead), columns(stepwise), strict=True):
        assert not np.array_equal(first, second)
        deviation = max(first.std(), second.std())
        assert abs(first.mean() - second.mean()) < 4 * deviation * (2 / len(first)) ** 0.5
        assert first.std() == pytest.approx(second.std(), rel=0.05)
    assert not np.array_equal(columns(ahead[:1])[0], columns(ahead[1:2])[0])


def columns(actions):
    """Return one array per number of an action, all steps and rows in one."""
    parts = [part if isinstance(part, tuple) else (part,) for part in actions]
    leaves = [np.concatenate([part[i] for part in parts]) for i in range(len(parts[0]))]
    return [column for leaf in leaves for column in leaf.reshape(len(leaf), -1).T]


def test_distributions_without_noise_are_sampled_step_by_step():
    policy = make(model={"custom_action_dist": Maskless})
    with policy.acting() as act:
        assert act.draw_noise(policy.new_distribution(2), 3) is None
    assert policy.compute_single_action(np.zeros(4, np.float32), explore=True) in (0, 1, 2)


def test_the_same_noise_gives_the_same_actions():
    policy = make(VECTOR, Box(-1, 1, (2,)))
    leaves = policy.encode(samples(VECTOR, 3))
    with policy.acting() as act:
        noise = act.draw_noise(policy.new_distribution(3), 1)[0]
        np.testing.assert_array_equal(act(leaves, noise=noise).raw, act(leaves, noise=noise).raw)
        assert act(leaves, noise=noise).raw.shape == (3, 2)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (
            {"z": np.zeros(2), "kind": 9, "part": (np.zeros(2), [0, 0], 0)},
            'the observation: obs["kind"]: expected a value in 5..7',
        ),
        ({"z": np.array([0, np.nan]), "kind": 5, "part": (np.zeros(2), [0, 0], 0)}, 'obs["z"]: '),
        ({"z": np.zeros(3), "kind": 5, "part": (np.zeros(2), [0, 0], 0)}, 'obs["z"]: expected shape [..., 2]'),
        ({"z": np.zeros(2), "kind": 5, "part": (np.full(2, 2), [0, 0], 0)}, 'obs["part"][0]: expected 0 or 1'),
        ({"z": np.zeros(2), "kind": 5, "part": (np.zeros(2), [0, 0])}, 'obs["part"]: expected a tuple of length 3'),
        ({"kind": 5}, "obs: expected a dict with keys ['z', 'kind', 'part']"),
        (
            samples(MIXED, 2),
            'obs["z"]: expected a single observation, of shape (2,) for Box(-100.0, 100.0, (2,), float64), got',
        ),
    ],
    ids=range(7),
)
def test_a_bad_observation_is_refused_with_its_leaf(observation, message):
    with pytest.raises(ObservationError, match=re.escape(message)):
        make(MIXED).compute_single_action(observation)


def test_a_bad_row_is_refused_with_its_number():
    rows = np.zeros((3, 4), np.float32)
    rows[2, 1] = 7
    with pytest.raises(ObservationError, match=r"observation 2: obs: expected a value in \[-1.0, 1.0\], got 7.0"):
        make(out_of_bounds="error").compute_actions(rows)
    with pytest.raises(ObservationError, match=r"got one\. Stack it alone: np\.asarray\(obs\)\[None\]"):
        make(out_of_bounds="error").compute_actions(rows[0])
    assert make(out_of_bounds="error").compute_actions(rows[:0]).shape == (0,)


@pytest.mark.parametrize("name", ["single", "stacked"])
def test_a_number_outside_its_bounds_is_told_once_and_used(name, caplog):
    policy, clipped = make(), make(out_of_bounds="clip")
    outside = np.array([0.5, 7, -3, 0], np.float32)

    def act(policy, obs):
        return policy.compute_single_action(obs) if name == "single" else policy.compute_actions(obs[None])[0]

    with caplog.at_level("WARNING", "anyspace"):
        for _ in range(2):
            act(policy, outside)
    assert len(caplog.messages) == 1
    assert "obs: expected a value in [-1.0, 1.0], got 7.0 at component (1,). The number is used as it is" in caplog.text
    assert "`out_of_bounds`" in caplog.text
    caplog.clear()
    assert act(clipped, outside) == act(policy, outside.clip(-1, 1))
    assert not caplog.messages


@pytest.mark.parametrize("mode", ["warn", "clip", "error"])
@pytest.mark.parametrize(
    ("space", "obs", "message"),
    [
        (VECTOR, [np.nan, 0, 0, 0], "a finite number, got nan"),
        (VECTOR, [np.inf, 0, 0, 0], "a finite number that float32 can hold, got inf"),
        (VECTOR, [0, 0, 0], "expected shape"),
        (Discrete(3), 3, r"a value in 0..2, got 3"),
        (MultiDiscrete([3, 4]), [0, 4], r"a value in 0..3, got 4"),
        (MultiBinary(2), [0, 2], "0 or 1, got 2"),
        (MultiBinary(2), [0, 256], "int8 can hold"),
        (Box(0, 255, (4, 4, 3), np.uint8), np.full((4, 4, 3), 0.5), "uint8 can hold"),
        (Text(3, charset="ab"), "abc", "expected a character"),
        (Text(3, charset="ab"), "ababa", "expected 1 to 3 characters"),
        (Repeated(Box(0, 1, (1,)), 2), [[0.5]] * 3, "at most 2 elements"),
        (Simplex((3,)), [0.5, 0.2, 0.2], "sum to 1"),
    ],
)
def test_what_is_no_number_of_the_space_stays_an_error(mode, space, obs, message):
    with pytest.raises(ObservationError, match=message):
        make(space, out_of_bounds=mode).compute_single_action(obs)


@pytest.mark.parametrize("mode", ["warn", "error"])
def test_bytes_do_not_wrap(mode):
    space = Box(0, 255, (4, 4, 3), np.uint8)
    for value in (-1, 256, 300):
        with pytest.raises(ObservationError, match=f"uint8 can hold exactly .*got {value}"):
            make(space, out_of_bounds=mode).compute_single_action(np.full((4, 4, 3), value))
    clipping = make(space, out_of_bounds="clip")
    assert clipping.encode.single(np.full((4, 4, 3), 300))[0].max() == 255
    assert clipping.encode.single(np.full((4, 4, 3), -1))[0].max() == 0


def test_observations_may_be_lists_views_and_read_only():
    policy = make(Dict(a=Box(-1, 1, (3,))))
    expected = policy.compute_single_action({"a": np.array([0.1, 0.2, 0.3], np.float32)})
    frozen = np.array([0.1, 0.2, 0.3], np.float32)
    frozen.flags.writeable = False
    for same in ([0.1, 0.2, 0.3], np.array([0.3, 0.2, 0.1], np.float32)[::-1], frozen):
        assert policy.compute_single_action({"a": same}) == expected
    assert make(Box(-1, 1, (2,))).compute_single_action([0.5, 0.5]) in (0, 1, 2)


def test_a_state_is_refused_without_memory():
    policy = make()
    assert policy.compute_single_action(np.zeros(4, np.float32), []) in (0, 1, 2)
    for act, observation in ((policy.compute_single_action, np.zeros(4)), (policy.compute_actions, np.zeros((1, 4)))):
        with pytest.raises(ValueError, match="this policy has no memory"):
            act(observation, [np.zeros(3)])


def test_information_that_only_views_read_is_accepted():
    policy = make()
    assert policy.compute_single_action(np.zeros(4), info={"x": 1}, prev_reward=0.5) in (0, 1, 2)
    assert policy.compute_actions(np.zeros((1, 4)), info={"x": 1}, prev_reward=np.zeros(1)).shape == (1,)


def test_actions_are_scaled_and_clipped_as_configured():
    space = Box(np.array([0, -10], np.float32), np.array([10, 10], np.float32))

    def acted(**config):
        policy = biased(make(VECTOR, space, **config), 0.0, 3.0, 0.0, 0.0)
        return policy.compute_single_action(np.zeros(4, np.float32)).tolist()

    assert acted() == [5, 10]
    assert acted(normalize_actions=False) == [0, 3]
    assert acted(normalize_actions=False, clip_actions=True) == [0, 3]
    policy = biased(make(VECTOR, space, normalize_actions=False, clip_actions=True), -4.0, 30.0, 0.0, 0.0)
    assert policy.compute_single_action(np.zeros(4, np.float32)).tolist() == [0, 10]


# ------------------------------------------------------------------------------------------------- masks


def test_masked_actions_are_never_taken():
    policy = biased(make(), 9.0, 0.0, 0.0)
    observations = np.zeros((2000, 4), np.float32)
    mask = np.tile([[False, True, True], [False, False, True]], (1000, 1))
    assert set(policy.compute_actions(observations, mask=mask)[::2]) == {1}
    taken = policy.compute_actions(observations, mask=mask, explore=True)
    assert (set(taken[::2]), set(taken[1::2])) == ({1, 2}, {2})
    assert policy.compute_single_action(observations[0], mask=[0, 0, 1]) == 2
    assert policy.compute_single_action(observations[0]) == 0


def test_each_leaf_of_a_nested_action_has_its_mask():
    policy = biased(make(VECTOR, Tuple((Discrete(2), MultiDiscrete([2, 2]), Box(-1, 1, (1,))))), *[5.0, 0] * 4)
    observation = np.zeros(4, np.float32)
    action = policy.compute_single_action(observation, mask=[[False, True], [True, True, False, True], None])
    assert (action[0], action[1].tolist()) == (1, [0, 1])
    rows = policy.compute_actions(observation[None], mask=[None, np.array([[False, True, True, False]]), None])
    assert (rows[0].tolist(), rows[1].tolist()) == ([0], [[1, 0]])
    for wrong in ([True] * 8, [[True, True]], np.ones((1, 8), bool)):
        with pytest.raises(ValueError, match=re.escape("mask: expected a mask of Tuple(")):
            policy.compute_single_action(observation, mask=wrong if len(wrong) != 8 else np.array(wrong))


@pytest.mark.parametrize(
    ("action_space", "model", "mask", "message"),
    [
        (
            Discrete(3),
            {"custom_action_dist": Maskless},
            [1, 1, 1],
            "Maskless takes no `mask`",
        ),
        (
            Box(-1, 1, (2,)),
            {},
            [1, 1],
            "as [0], got shape [2]. It has no options to mask",
        ),
        (Discrete(3), {}, [0, 0, 0], "the mask allows no action at all: action has [0, 0, 0]"),
        (Discrete(3), {}, [1, 0], "mask: expected a mask of Discrete(3) as [3], got shape [2]"),
        (Discrete(3), {}, [1], "mask: expected a mask of Discrete(3) as [3], got shape [1]"),
    ],
)
def test_masks_that_do_not_fit_are_refused(action_space, model, mask, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(VECTOR, action_space, model=model).compute_single_action(np.zeros(4, np.float32), mask=mask)


def test_masks_come_one_for_each_observation_or_one_for_all():
    policy, observations = make(VECTOR, Dict(a=Discrete(3), b=Discrete(2))), np.zeros((3, 4), np.float32)
    for rows in (1, 3):
        assert policy.compute_actions(observations, mask={"a": [[False, True, False]] * rows})["a"].tolist() == [1] * 3
    with pytest.raises(ValueError, match=r"mask: expected 3 rows, one for each observation, or one for all, got 2\."):
        policy.compute_actions(observations, mask={"a": [[True] * 3] * 2})
    with pytest.raises(ValueError, match=r"info\['action_mask'\]: expected 3 rows"):
        policy.compute_actions(observations, info={"action_mask": np.ones((2, 5), bool)})


def test_distributions_of_a_policy():
    policy = make()
    assert type(policy.distribution(torch.zeros(1, 3))) is Categorical
    assert policy.distribution(torch.zeros(1, 3)).model is policy.model
    masked = policy.distribution(torch.zeros(1, 3), torch.tensor([[True, False, True]]))
    np.testing.assert_allclose(masked.logp(torch.tensor([0])).exp(), [0.5])
    assert type(make(VECTOR, Box(-1, 1, (2,))).distribution(torch.zeros(1, 4))) is DiagGaussian


# ------------------------------------------------------------------------------------------------ filter


def counted(policy):
    (count,) = {int(value) for name, value in policy.filter.state().items() if name.endswith("running_stats.n")}
    return count


def flat_of(policy, observations):
    return policy.model_inputs(tensors(policy, observations))["obs_flat"].numpy()


@pytest.mark.parametrize("name", ["MeanStdFilter", "ConcurrentMeanStdFilter"])
def test_only_real_slots_are_normalised(name):
    policy, bare = make(MIXED, observation_filter=name), make(MIXED)
    seen, new = samples(MIXED, 50, 1), samples(MIXED, 20, 2)
    seen["z"] //= 50  # a narrow range, that 100 and -100 are far out of
    new["z"][0] = [100, -100]
    policy.push(policy.encode(seen))
    real = np.concatenate([seen["z"].astype(np.float32), seen["part"][2][:, None]], axis=1).astype(np.float64)
    slots = [0, 1, 12]
    expected = flat_of(bare, new)
    expected[:, slots] = (expected[:, slots] - real.mean(0)) / (real.std(0, ddof=1) + 1e-6)
    assert abs(expected[:, slots]).max() > 10
    if name == "ConcurrentMeanStdFilter":
        expected[:, slots] = expected[:, slots].clip(-10, 10)
    np.testing.assert_allclose(flat_of(policy, new), expected, rtol=1e-4, atol=1e-5)
    assert set(np.unique(flat_of(policy, new)[:, 2:12])) == {0, 1}


def test_the_filter_reaches_unprocessed_observations_too():
    policy = make(MIXED, observation_filter="MeanStdFilter", preprocessor_pref=None, model={"custom_model": Seeing})
    seen = samples(MIXED, 50, 1)
    policy.push(policy.encode(seen))
    obs = policy.model_inputs(tensors(policy, seen))["obs"]
    assert abs(obs["z"].mean(0)).max() < 1e-5
    np.testing.assert_allclose(obs["part"][2].std(), 1, rtol=1e-3)
    assert obs["kind"].dtype == torch.int64


def test_statistics_are_frozen_between_pushes():
    policy = make(observation_filter="MeanStdFilter")
    rows = samples(VECTOR, 10)
    np.testing.assert_array_equal(flat_of(policy, rows), rows)
    policy.push(policy.encode(rows))
    before, count = flat_of(policy, rows), counted(policy)
    for explore in (True, False):
        policy.compute_actions(rows * 0.5, explore=explore)
    policy.evaluate(Batch(obs=tensors(policy, rows * 0.5)), training=True)
    np.testing.assert_array_equal(flat_of(policy, rows), before)
    assert counted(policy) == count == 10
    policy.push(policy.encode(rows * 0.5))
    assert not np.allclose(flat_of(policy, rows), before)
    assert counted(policy) == 20
    policy.push([rows[:0]])
    assert counted(policy) == 20


def test_statistics_first_used_while_acting_serve_gradients():
    policy = make(observation_filter="MeanStdFilter")
    policy.push([samples(VECTOR, 10)])
    with policy.acting():
        policy.evaluate(Batch(obs=tensors(policy, samples(VECTOR, 2))))
    leaf = torch.zeros(2, 4, requires_grad=True)
    policy.evaluate(Batch(obs=[leaf]), training=True).values.sum().backward()
    assert leaf.grad.any()


def test_observations_without_numbers_need_no_filter():
    policy = make(Discrete(3), observation_filter="MeanStdFilter")
    policy.push(policy.encode(np.array([0, 1, 2])))
    assert policy.compute_single_action(1) in (0, 1, 2)


class Logging(gym.Env):
    """Keeps every pair of observation and action; the numbers are far from zero."""

    observation_space = Dict(number=Box(-np.inf, np.inf, (2,)), kind=Discrete(3))
    action_space = Box(-1000, 1000, (2,))
    log: list = []  # noqa: RUF012

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def observe(self):
        self.latest = {
            "number": self.np_random.normal([300, -5], [50, 2]).astype(np.float32),
            "kind": self.np_random.integers(3),
        }
        return self.latest

    def step(self, action):
        self.log.append((self.latest, action.copy()))
        self.t += 1
        return self.observe(), 0.0, False, self.t == 10, {}


@pytest.mark.spec(44)
def test_a_single_action_is_the_one_that_the_rollout_takes(tmp_path):
    settings = {
        "observation_filter": "MeanStdFilter",
        "train_batch_size": 64,
        "minibatch_size": 64,
        "num_epochs": 1,
        "seed": 0,
    }
    with closing(PPO(Logging, config={**settings, "model": {"fcnet_hiddens": [8]}}, preset="none")) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path)
    with closing(PPO.load(tmp_path, env=Logging, explore=False)) as algorithm:
        policy = algorithm.policy
        assert counted(policy) == 64
        Logging.log.clear()
        algorithm.fleet.gather(20)
        observations, taken = zip(*Logging.log, strict=True)
        single = np.stack([algorithm.compute_single_action(observation) for observation in observations])
        np.testing.assert_allclose(single, np.stack(taken), rtol=1e-4)
        assert single.std(0).min() > 1e-3
        forgotten = {f"filter/{name}": 0 * value for name, value in policy.filter.state().items()}
        policy.load_weights({**policy.state(), **forgotten})
        unfiltered = np.stack([algorithm.compute_single_action(observation) for observation in observations])
        assert not np.allclose(unfiltered, single, rtol=1e-2)


# ------------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize("action_space", [Discrete(3), Tuple((Discrete(3), Box(-1, 1, (2,))))], ids=str)
def test_a_restored_policy_samples_on_identically(action_space):
    policy, twin = (make(VECTOR, action_space, observation_filter="MeanStdFilter", seed=seed) for seed in (0, 7))
    observations = samples(VECTOR, 5)
    policy.push([observations])
    policy.compute_actions(observations, explore=True)
    state = policy.state()
    assert all(isinstance(value, np.ndarray) for value in state.values())
    twin.load_state(state)
    for _ in range(5):
        mine, theirs = (one.compute_actions(observations, explore=True) for one in (policy, twin))
        for first, second in zip(columns([mine]), columns([theirs]), strict=True):
            np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(flat_of(policy, observations), flat_of(twin, observations))
    twin.push([observations * 0.5])
    policy.push([observations * 0.5])
    np.testing.assert_array_equal(flat_of(policy, observations), flat_of(twin, observations))


def test_a_state_names_everything_that_an_action_depends_on():
    names = set(make(observation_filter="MeanStdFilter").state())
    assert {name.partition("/")[0] for name in names} == {"model", "filter", "rng", "timestep", "version"}
    assert {"model/logits.weight", "model/encoder.0.bias", "rng/acting", "rng/learning", "rng/evaluation"} <= names


def test_weights_alone_leave_the_random_source():
    policy, twin = make(seed=0), make(seed=7)
    source = twin.runtime.rng_state()
    twin.load_weights(policy.state())
    np.testing.assert_equal(twin.runtime.rng_state(), source)
    assert torch.equal(twin.model.logits.weight, policy.model.logits.weight)


@pytest.mark.parametrize(
    ("mine", "theirs", "message"),
    [
        (
            {},
            {"observation_filter": "MeanStdFilter"},
            "trained with an observation filter, but",
        ),
        (
            {"observation_filter": "MeanStdFilter"},
            {},
            "trained without an observation filter, but",
        ),
        ({}, {"model": {"fcnet_hiddens": [9]}}, "the weights do not fit the model"),
    ],
)
def test_weights_of_another_policy_are_refused_whole(mine, theirs, message):
    policy = make(**mine)
    before = policy.state()
    with pytest.raises(CheckpointError, match=message):
        policy.load_weights(make(**theirs, seed=3).state())
    for name, value in policy.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_encoding_is_that_of_the_space():
    rows = samples(MIXED, 3)
    for mine, theirs in zip(make(MIXED).encode(rows), encode(MIXED, rows), strict=True):
        np.testing.assert_array_equal(mine, theirs)


class Global(ActionDistribution):
    """Draws from the framework's global source, as distributions of old files do."""

    @staticmethod
    def required_model_output_shape(action_space, model_config):
        return 2

    def sample(self):
        return torch.rand(len(self.inputs), 4) * 2 - 1

    def deterministic_sample(self):
        return torch.zeros(len(self.inputs), 4)

    def logp(self, actions):
        return torch.zeros(len(self.inputs))


def test_draws_from_the_global_source_depend_on_the_policys_own():
    drawn = []
    for _ in range(2):
        policy = make(VECTOR, VECTOR, model={"custom_action_dist": Global, "fcnet_hiddens": [4]})
        before = torch.random.get_rng_state()
        leaves = policy.encode(samples(VECTOR, 3))
        with policy.acting() as act:
            drawn.append([act(leaves).raw for _ in range(2)])
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.rand(7)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0][0] != drawn[0][1]).all()


@pytest.mark.parametrize("model", [{}, {"use_lstm": True, "lstm_cell_size": 4}])
def test_a_policy_is_copied_but_not_pickled(model):
    policy, observations = make(model=model), samples(VECTOR, 3)
    with pytest.raises(TypeError, match=r"load the policy in each process: Policy.load\(path\)"):
        pickle.dumps(policy)
    twin, shallow = copy.deepcopy(policy), copy.copy(policy)
    before = policy.get_distribution(observations).inputs
    policy.load_state({name: value + (value.dtype == np.float32) for name, value in policy.state().items()})
    after = policy.get_distribution(observations).inputs
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(twin.get_distribution(observations).inputs, before)
    np.testing.assert_array_equal(shallow.get_distribution(observations).inputs, after)
