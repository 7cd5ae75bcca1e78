import dataclasses
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
import torch

from anyspace import DQN
from anyspace.algorithms import ALGORITHMS
from anyspace.algorithms.a2c import A2CConfig
from anyspace.algorithms.appo import APPOConfig
from anyspace.algorithms.config import _LIMITS, RENAMED, AlgorithmConfig
from anyspace.algorithms.impala import IMPALAConfig
from anyspace.algorithms.on_policy import OnPolicyConfig
from anyspace.algorithms.pg import PGConfig
from anyspace.algorithms.ppo import PPOConfig
from anyspace.config import changes, checked, documents, laid_over, matches, merge, require, type_hints
from anyspace.errors import ConfigError
from anyspace.models.config import ModelConfig
from anyspace.policy.config import PolicyConfig


@dataclass(frozen=True)
class Inner:
    """A nested configuration."""

    size: int = 3
    """How big."""


@dataclass(frozen=True)
class Outer:
    """Every kind of field that the real ones have."""

    rate: float = 0.5
    """How fast."""
    count: int | None = 2
    """How many."""
    flag: bool = False
    """Whether."""
    mode: Literal["fast", "slow", 3] = "fast"
    """Which way."""
    sizes: list[int] = field(default_factory=lambda: [1])
    """Several."""
    points: list[tuple[float, float]] | None = None
    """Pairs."""
    extra: dict[str, Any] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    """Anything."""
    kind: str | type | None = None
    """A name or a class."""
    calls: list[str | Callable[..., Any]] = field(default_factory=list)
    """Functions."""
    inner: Inner = field(default_factory=Inner)
    """More."""


def a_function():
    return 1


# ----------------------------------------------------------------------------------------------- merging


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"sizs": 1}, "unknown config key `sizs`. Did you mean 'sizes'?"),
        ({"inner": {"siz": 1}}, "unknown config key `inner.siz`. Did you mean 'size'?"),
        ({"zzz": 1}, "unknown config key `zzz`. Known keys here: calls, count, extra, flag,"),
        ({1: 2}, "unknown config key `1`."),
    ],
)
def test_unknown_keys_name_the_nearest_known_one(overrides, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        merge(Outer(), overrides)


def test_all_unknown_keys_are_named_at_once_a_line_each():
    with pytest.raises(ConfigError) as caught:
        merge(Outer(), {"sizs": 1, "zzz": 1, "inner": {"rate": 2}}, {"yyy": 1, "count": "wrong", "mod": 1})
    first, second, third, fourth, fifth = str(caught.value).splitlines()
    assert first == "unknown config key `sizs`. Did you mean 'sizes'?"
    assert second == "unknown config key `inner.rate`. It belongs beside `inner`: `rate=2`."
    assert third.startswith("unknown config key `zzz`. Known keys here: calls,")
    assert fourth == "unknown config key `mod`. Did you mean 'mode'?"
    assert fifth.startswith("unknown config key `yyy`. Known keys here: calls,")
    with pytest.raises(ConfigError, match=re.escape("unknown config keys `inner.aaa`, `inner.bbb`. Known keys here")):
        merge(Outer(), {"inner": {"aaa": 1, "bbb": 2}})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"rate": "fast"}, "`rate` takes float, but 'fast' (str) came"),
        ({"rate": {"grid_search": [0.1, 0.2]}}, "(dict) came. One run has one value"),
        ({"rate": True}, "`rate` takes float, but True (bool) came"),
        ({"count": 2.0}, "`count` takes int or None, but 2.0 (float) came"),
        ({"count": True}, "`count` takes int or None, but True (bool) came"),
        ({"flag": 1}, "`flag` takes bool, but 1 (int) came"),
        ({"mode": "medium"}, "`mode` takes 'fast' or 'slow' or 3, but 'medium' (str) came"),
        ({"mode": 3.0}, "`mode` takes 'fast' or 'slow' or 3, but 3.0 (float) came"),
        ({"mode": np.zeros(2)}, "`mode` takes 'fast' or 'slow' or 3, but array([0., 0.]) (ndarray) came"),
        ({"sizes": 64}, "`sizes` takes list[int], but 64 (int) came"),
        ({"sizes": [1, 2.5]}, "`sizes` takes list[int], but [1, 2.5] (list) came"),
        ({"points": [[1, 2, 3]]}, "`points` takes list[tuple[float, float]] or None, but"),
        ({"extra": [1]}, "`extra` takes dict[str, Any], but [1] (list) came"),
        ({"lengths": {"a": 1.5}}, "`lengths` takes dict[str, int], but {'a': 1.5} (dict) came"),
        ({"lengths": {1: 2}}, "`lengths` takes dict[str, int]"),
        ({"kind": 4}, "`kind` takes str or type or None, but 4 (int) came"),
        ({"calls": [4]}, "`calls` takes list[str | collections.abc.Callable[..., Any]], but [4] (list) came"),
        ({"inner": 4}, "`inner` takes a dict of its keys, or in a whole configuration Inner(...), but 4 (int) came"),
        ({"inner": {"size": "big"}}, "`inner.size` takes int, but 'big' (str) came"),
    ],
)
def test_wrong_types_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        merge(Outer(), overrides)


def test_values_are_laid_over_the_defaults():
    base = Outer(sizes=[7])
    merged = merge(
        base, {"rate": 2, "points": [[0, 1], (5, 2)], "inner": {"size": 9}, "kind": dict, "calls": [a_function]}
    )
    assert merged == Outer(
        rate=2.0, points=[(0.0, 1.0), (5.0, 2.0)], inner=Inner(9), kind=dict, calls=[a_function], sizes=[7]
    )
    assert isinstance(merged.rate, float)
    assert isinstance(merged.points[0], tuple)
    assert base == Outer(sizes=[7])
    assert merge(base, {"inner": Inner(4)}).inner == Inner(4)
    assert merge(base, {"extra": OrderedDict(a=1)}).extra == {"a": 1}


def test_numpy_scalars_become_python_ones():
    merged = merge(
        Outer(),
        {"rate": np.float32(0.25), "count": np.int64(5), "flag": np.bool_(True), "sizes": (np.uint8(3),)},
    )
    assert merged == Outer(rate=0.25, count=5, flag=True, sizes=[3])
    assert [type(value) for value in (merged.rate, merged.count, merged.flag, merged.sizes[0])] == [
        float,
        int,
        bool,
        int,
    ]


def test_a_configuration_shares_no_container_with_its_maker():
    given = {"sizes": [1, 2], "extra": {"a": 1, "deep": {"x": [1, {"y": (1, [2])}]}}}
    merged = merge(Outer(), given)
    given["sizes"].append(3)
    given["extra"]["b"] = 2
    given["extra"]["deep"]["x"][1]["y"][1].append(3)
    given["extra"]["deep"]["x"].append(9)
    assert merged == Outer(sizes=[1, 2], extra={"a": 1, "deep": {"x": [1, {"y": (1, [2])}]}})


def test_values_have_the_types_that_are_written_down():
    @dataclass(frozen=True)
    class Typed:
        shares: dict[str, float]
        sizes: tuple[int, ...]

    merged = merge(Typed({}, ()), {"shares": {"one": 1}, "sizes": [np.int64(3), 4, 5]})
    assert (merged.shares, merged.sizes) == ({"one": 1.0}, (3, 4, 5))
    assert (type(merged.shares["one"]), type(merged.sizes[0])) == (float, int)


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("lambda", "lambda_", 0.5),
        ("num_workers", "num_env_runners", 0),
        ("num_rollout_workers", "num_env_runners", 2),
        ("evaluation_num_workers", "evaluation_num_env_runners", 1),
        ("num_cpus_per_worker", "num_cpus_per_env_runner", 0.5),
        ("num_gpus_per_worker", "num_gpus_per_env_runner", 1.0),
        ("custom_resources_per_worker", "custom_resources_per_env_runner", {"camera": 1.0}),
        ("recreate_failed_workers", "restart_failed_env_runners", False),
        ("num_envs_per_worker", "num_envs_per_env_runner", 3),
        ("num_sgd_iter", "num_epochs", 4),
        ("sgd_minibatch_size", "minibatch_size", 16),
    ],
)
def test_former_names_are_accepted(old, new, value):
    assert getattr(merge(PPOConfig(), {old: value}, renamed=RENAMED), new) == value
    with pytest.raises(ConfigError, match=f"config keys `{old}` and `{new}` are two names for one setting"):
        merge(PPOConfig(), {old: value, new: value}, renamed=RENAMED)


def test_which_names_are_former_ones():
    of_workers = "num_workers num_rollout_workers num_envs_per_worker evaluation_num_workers recreate_failed_workers"
    of_resources = "num_cpus_per_worker num_gpus_per_worker custom_resources_per_worker"
    others = "lambda num_sgd_iter sgd_minibatch_size max_requests_in_flight_per_sampler_worker"
    assert set(RENAMED) == {*of_workers.split(), *of_resources.split(), *others.split()}


def test_former_names_are_not_looked_for_in_nested_configurations():
    with pytest.raises(ConfigError, match=re.escape("unknown config key `model.lambda`")):
        merge(PPOConfig(), {"model": {"lambda": 1}}, renamed=RENAMED)


def test_changes_are_the_keys_that_differ():
    assert changes(Outer(), Outer()) == {}
    changed = Outer(rate=1.0, inner=Inner(4), sizes=[1, 2])
    assert changes(changed, Outer()) == {"rate": 1.0, "sizes": [1, 2], "inner.size": 4}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Outer(rate="2"), "config key `rate` takes float, but '2' (str) came"),
        (Outer(flag=1), "config key `flag` takes bool, but 1 (int) came"),
        (Outer(inner=Inner("9")), "config key `inner.size` takes int, but '9' (str) came"),
        (Outer(inner=Inner(True)), "config key `inner.size` takes int, but True (bool) came"),
        (
            Outer(inner={"size": 9}),
            "config key `inner` takes a dict of its keys, or in a whole configuration Inner(...),"
            " but {'size': 9} (dict) came",
        ),
    ],
)
def test_whole_configurations_are_checked_as_their_keys_are(config, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        checked(config)


def test_whole_configurations_among_keys_are_checked():
    with pytest.raises(ConfigError, match=re.escape("config key `inner.size` takes int, but '9' (str) came")):
        merge(Outer(), {"inner": Inner("9")})


def test_whole_configurations_are_taken_in_exactly_the_types_of_their_keys():
    sizes = (1, 2)
    taken = checked(Outer(rate=np.float32(2), sizes=sizes))
    assert (taken.rate, type(taken.rate), taken.sizes) == (2.0, float, [1, 2])
    assert checked(Outer()) == Outer()


def test_the_keys_above_win_at_every_depth():
    below, above = {"lr": 1.0, "model": {"a": 1, "b": 2}}, {"gamma": 0.5, "model": {"b": 3}, "lr": {"x": 1}}
    assert laid_over(below, above) == {"lr": {"x": 1}, "gamma": 0.5, "model": {"a": 1, "b": 3}}
    assert below["model"] == {"a": 1, "b": 2}


# ------------------------------------------------------------------------------------------------- fields


CONFIGS = [
    *(ModelConfig, PolicyConfig, AlgorithmConfig, OnPolicyConfig, PPOConfig),
    *(PGConfig, A2CConfig, IMPALAConfig, APPOConfig),
]


@pytest.mark.parametrize("config_class", CONFIGS)
def test_every_field_is_documented(config_class):
    docs = documents(config_class)
    assert docs.keys() == {item.name for item in dataclasses.fields(config_class)}
    assert all(len(text) > 10 and text.endswith(".") for text in docs.values())


def test_a_subclass_documents_its_own_version_of_a_field():
    assert documents(PPOConfig)["model"].endswith("PPO separates policy and value layers by default.")
    assert documents(AlgorithmConfig)["gamma"] == documents(PPOConfig)["gamma"] == "Discount, in [0, 1]."


# --------------------------------------------------------------------------------------------- validation

NAN = float("nan")
LEVEL = [(5.0, 1.0), (5.0, 2.0)]
OUT_OF_RANGE = [
    (PolicyConfig, {"observation_filter": "MeanStd"}, "NoFilter, MeanStdFilter, ConcurrentMeanStdFilter"),
    (ModelConfig, {"fcnet_hiddens": [4, 0]}, "layer sizes are at least 1"),
    (ModelConfig, {"post_fcnet_hiddens": [-1]}, "layer sizes are at least 1"),
    (ModelConfig, {"conv_filters": []}, "a list of one convolution or more"),
    (ModelConfig, {"conv_filters": [(16, 4, 0)]}, "of whole numbers of at least 1"),
    (ModelConfig, {"log_std_clip_param": 0.0}, "needs that value above 0"),
    (ModelConfig, {"log_std_clip_param": NAN}, "needs that value above 0"),
    (ModelConfig, {"dim": 0}, "it must be at least 1"),
    (ModelConfig, {"max_seq_len": 0}, "it must be at least 1"),
    (ModelConfig, {"action_embedding_dim": 0}, "at least 1"),
    (ModelConfig, {"lstm_cell_size": 0}, "it must be at least 1"),
    (ModelConfig, {"attention_num_transformer_units": 0}, "it must be at least 1"),
    (ModelConfig, {"attention_dim": 0}, "it must be at least 1"),
    (ModelConfig, {"attention_num_heads": 0}, "it must be at least 1"),
    (ModelConfig, {"attention_head_dim": -1}, "it must be at least 1"),
    (ModelConfig, {"attention_memory_inference": -1}, "it must be at least 0"),
    (ModelConfig, {"attention_memory_training": -1}, "it must be at least 0"),
    (ModelConfig, {"attention_position_wise_mlp_dim": 0}, "it must be at least 1"),
    (ModelConfig, {"attention_use_n_prev_actions": -1}, "it must be at least 0"),
    (ModelConfig, {"attention_use_n_prev_rewards": -1}, "it must be at least 0"),
    (AlgorithmConfig, {"num_envs_per_env_runner": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"rollout_fragment_length": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"return_window": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"evaluate_every": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"evaluation_episodes": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"evaluation_max_episode_steps": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"checkpoint_every": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"keep": -1}, "a number of checkpoints is at least 0"),
    (AlgorithmConfig, {"env_timeout_s": 0.0}, "a time is above 0"),
    (AlgorithmConfig, {"num_env_runners": -1}, "it must be at least 0"),
    (AlgorithmConfig, {"min_env_runners": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"evaluation_num_env_runners": -1}, "it must be at least 0"),
    (AlgorithmConfig, {"max_requests_in_flight_per_env_runner": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"broadcast_interval": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"max_lag": 0}, "it must be at least 1"),
    (AlgorithmConfig, {"sample_timeout_s": 0.0}, "it must be above 0"),
    (AlgorithmConfig, {"num_cpus_per_env_runner": -1.0}, "it must be at least 0"),
    (AlgorithmConfig, {"num_gpus_per_env_runner": -1.0}, "it must be at least 0"),
    (AlgorithmConfig, {"custom_resources_per_env_runner": {"camera": 0.0}}, "what is set aside is above 0"),
    (AlgorithmConfig, {"gamma": -0.1}, "a discount lies in [0, 1]"),
    (AlgorithmConfig, {"gamma": 1.1}, "a discount lies in [0, 1]"),
    (AlgorithmConfig, {"gamma": NAN}, "a discount lies in [0, 1]"),
    (AlgorithmConfig, {"lr": -1.0}, "a learning rate is a finite number of at least 0"),
    (AlgorithmConfig, {"lr": float("inf")}, "a learning rate is a finite number of at least 0"),
    (AlgorithmConfig, {"lr": NAN}, "a learning rate is a finite number of at least 0"),
    (AlgorithmConfig, {"lr_schedule": []}, "a schedule needs at least one [step, value] pair"),
    (AlgorithmConfig, {"lr_schedule": LEVEL}, "the steps of a schedule must rise from pair to pair"),
    (AlgorithmConfig, {"lr_schedule": [(0.0, -1.0)]}, "the values of a schedule must not be negative"),
    (AlgorithmConfig, {"adam_epsilon": 0.0}, "it must be finite and above 0"),
    (AlgorithmConfig, {"grad_clip": 0.0}, "a largest gradient norm is above 0; None switches clipping off"),
    (AlgorithmConfig, {"seed": -1}, "a seed is not negative"),
    (AlgorithmConfig, {"seed": 2**63}, "a seed is below 2**63"),
    (ModelConfig, {"attention_init_gru_gate_bias": NAN}, "it must be a finite number"),
    (AlgorithmConfig, {"output_max_file_size": 0}, "it must be at least 1"),
    (OnPolicyConfig, {"train_batch_size": 0}, "it must be at least 1"),
    (PPOConfig, {"num_epochs": 0}, "it must be at least 1"),
    (PPOConfig, {"minibatch_size": 0}, "a minibatch has at least 1 row"),
    (PPOConfig, {"lambda_": -0.1}, "it lies in [0, 1]"),
    (PPOConfig, {"lambda_": 1.1}, "it lies in [0, 1]"),
    (PPOConfig, {"clip_param": 0.0}, "it must be above 0"),
    (PPOConfig, {"kl_target": 0.0}, "it must be above 0"),
    (PPOConfig, {"vf_clip_param": 0.0}, "it must be above 0"),
    (PPOConfig, {"vf_loss_coeff": -1.0}, "it must not be negative"),
    (PPOConfig, {"entropy_coeff": -1.0}, "it must not be negative"),
    (PPOConfig, {"kl_coeff": -1.0}, "it must not be negative"),
    (PPOConfig, {"entropy_coeff_schedule": []}, "a schedule needs at least one [step, value] pair"),
    (PPOConfig, {"entropy_coeff_schedule": LEVEL}, "the steps of a schedule must rise from pair to pair"),
    (PPOConfig, {"entropy_coeff_schedule": [(0.0, -1.0)]}, "the values of a schedule must not be negative"),
    (PGConfig, {"vf_loss_coeff": -1.0}, "it must not be negative"),
    (A2CConfig, {"lambda_": 1.1}, "it lies in [0, 1]"),
    (A2CConfig, {"microbatch_size": 0}, "it must be at least 1"),
    (A2CConfig, {"min_sample_timesteps_per_iteration": 0}, "it must be at least 1"),
    (A2CConfig, {"entropy_coeff": -1.0}, "it must not be negative"),
    (IMPALAConfig, {"vtrace_clip_rho_threshold": 0.0}, "it must be above 0"),
    (IMPALAConfig, {"vtrace_clip_pg_rho_threshold": 0.0}, "it must be above 0"),
    (IMPALAConfig, {"epsilon": 0.0}, "it must be above 0"),
    (IMPALAConfig, {"decay": 1.0}, "it lies in [0, 1)"),
    (IMPALAConfig, {"momentum": -0.1}, "it lies in [0, 1)"),
    (IMPALAConfig, {"num_epochs": 0}, "it must be at least 1"),
    (IMPALAConfig, {"replay_proportion": -0.5}, "it must not be negative"),
    (IMPALAConfig, {"replay_buffer_num_slots": 0}, "it must be at least 1"),
    (APPOConfig, {"clip_param": 0.0}, "it must be above 0"),
    (APPOConfig, {"target_network_update_freq": 0}, "it must be at least 1"),
    (APPOConfig, {"tau": 0.0}, "it lies above 0 and up to 1"),
    (APPOConfig, {"tau": 1.1}, "it lies above 0 and up to 1"),
    (PPOConfig, {"minibatch_size": 4001}, "at most the batch's (train_batch_size = 4000)"),
]


@pytest.mark.parametrize(
    ("config_class", "overrides", "reason"), OUT_OF_RANGE, ids=lambda part: str(part) if isinstance(part, dict) else ""
)
def test_out_of_range_values_are_refused_with_key_value_and_reason(config_class, overrides, reason):
    ((key, value),) = overrides.items()
    prefix = "model." if config_class is ModelConfig else ""
    with pytest.raises(ConfigError) as refused:
        merge(config_class(), overrides).validate()
    message = str(refused.value)
    assert message.startswith(f"config key `{prefix}{key}` is {value!r}")
    assert reason in message


def test_every_documented_range_is_in_that_table():
    ranged = {
        name
        for config_class in CONFIGS
        for name, text in documents(config_class).items()
        if re.search(r"at least|above 0|in \[0|Only ", text)
    }
    assert ranged <= {key for _, overrides, _ in OUT_OF_RANGE for key in overrides}
    assert len(ranged) > 20


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"use_critic": False}, "`use_gae` needs a critic, but `use_critic` is False; switch `use_gae` off as well."),
        ({"use_gae": False}, "set batch_mode='complete_episodes'"),
        ({"use_gae": False, "use_critic": False}, "set batch_mode='complete_episodes'"),
        (
            {"model": {"use_lstm": True, "use_attention": True}},
            "Only one of `use_lstm` or `use_attention` may be set to True!",
        ),
        ({"model": {"fcnet_hiddens": [0]}}, "config key `model.fcnet_hiddens` is [0]"),
    ],
    ids=str,
)
def test_contradictions_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        merge(PPOConfig(), overrides).validate()


@pytest.mark.parametrize("config_class", CONFIGS)
def test_defaults_and_the_ends_of_ranges_are_valid(config_class):
    config_class().validate()


def test_the_ends_of_ranges_are_valid():
    ends = {
        "gamma": 1,
        "lr": 0,
        "lambda_": 0,
        "minibatch_size": None,
        "vf_clip_param": None,
        "entropy_coeff": 0,
        "seed": 0,
    }
    merge(PPOConfig(), ends).validate()
    merge(
        PPOConfig(), {"gamma": 0, "lambda_": 1, "train_batch_size": 1, "minibatch_size": 1, "num_epochs": 1}
    ).validate()
    merge(PPOConfig(), {"use_gae": False, "use_critic": False, "batch_mode": "complete_episodes"}).validate()


FLOATS = [
    (kind.config_class, key)
    for kind in ALGORITHMS.values()
    for key, value in vars(kind.config_class()).items()
    if matches(0.5, type_hints(kind.config_class)[key])
]


@pytest.mark.parametrize(("config_class", "key"), FLOATS, ids=lambda part: part if isinstance(part, str) else "")
def test_numbers_are_finite_unless_they_are_limits(config_class, key):
    needed = {"input": "sampler"} if "input" in documents(config_class) else {}
    needed |= {"num_env_runners": 1} if key == "sample_timeout_s" else {}
    for value in (float("inf"), -float("inf"), NAN):
        config = merge(config_class(), {key: value, **needed})
        if key in _LIMITS and value == float("inf"):
            config.validate()
        else:
            with pytest.raises(ConfigError, match=f"`{key}` is {value!r}"):
                config.validate()


def test_require_names_key_value_and_reason():
    require(True, "lr", 1, "it must not be")
    with pytest.raises(ConfigError, match=re.escape("config key `lr` is -1, but it must not be.")):
        require(False, "lr", -1, "it must not be")


@pytest.mark.parametrize("value", [[[0, 1e-3], [10, 1e-4]], "lin_3e-4", lambda progress: progress])
def test_a_value_that_has_a_schedule_beside_it_says_so(value):
    with pytest.raises(
        ConfigError, match=r"`lr` takes float, but .* came\. A schedule goes into `lr_schedule`: 'linear'"
    ):
        merge(PPOConfig(), {"lr": value})


@pytest.mark.parametrize(
    ("overrides", "remark"),
    [
        (
            {"lr_schedule": len},
            "A schedule is [step, value] pairs, such as [[0, 1e-3], [100_000, 0.0]], and no function.",
        ),
        ({"clip_param": len}, "It is one number, and has no schedule."),
        ({"clip_param": [[0, 0.2], [1000, 0.0]]}, "It is one number, and has no schedule."),
        ({"model": {"fcnet_hiddens": {"pi": [64], "vf": [64]}}}, "the same sizes for policy and value"),
        ({"model": {"fcnet_hiddens": [{"pi": [64], "vf": [64]}]}}, "`vf_share_layers` says whether they share"),
        ({"device": "cuda:0"}, "Write 'cuda' or 'cpu'; which GPU that is, the variable CUDA_VISIBLE_DEVICES says."),
        ({"device": torch.device("cpu")}, "Write 'cuda' or 'cpu'"),
        ({"clip_param": None}, None),
        ({"lr": None}, None),
        ({"train_batch_size": len}, None),
    ],
)
def test_a_value_that_others_take_is_answered_with_what_to_write(overrides, remark):
    with pytest.raises(ConfigError) as caught:
        merge(PPOConfig(), overrides)
    assert re.search(r"came\.$" if remark is None else rf"came\. .*{re.escape(remark)}", str(caught.value))


def test_epsilon_is_in_the_configuration_of_exploration():
    with pytest.raises(ConfigError, match=r"It is in `exploration_config` here, with the names `initial_epsilon`"):
        DQN("CartPole-v1", epsilon=[[0, 1.0], [100, 0.05]])
