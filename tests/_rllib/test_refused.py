"""Names that nothing stands for: importable, and explained when they are used."""

from __future__ import annotations

import pytest

from anyspace import PPO, rllib
from anyspace._rllib.refused import FAMILIES, NAMES, REASONS


def test_files_that_name_them_can_be_imported():
    from anyspace.rllib.algorithms.callbacks import MemoryTrackingCallbacks
    from anyspace.rllib.env import MultiAgentEnv
    from anyspace.rllib.policy.sample_batch import MultiAgentBatch
    from anyspace.rllib.policy.torch_policy import TorchPolicy

    class Many(MultiAgentEnv):
        def __init__(self, config):
            super().__init__()

    class Mine(MemoryTrackingCallbacks, TorchPolicy):
        def on_episode_end(self, **kwargs):
            pass

    assert not isinstance({}, MultiAgentBatch)
    assert MultiAgentBatch is rllib.evaluation.MultiAgentBatch
    with pytest.raises(NotImplementedError, match=r"Many \(derived from MultiAgentEnv\): several agents .*porting\.md"):
        Many({})
    with pytest.raises(NotImplementedError, match=r"Mine .*derive from anyspace.Callback"):
        Mine()
    with pytest.raises(NotImplementedError, match="MultiAgentBatch: several agents"):
        MultiAgentBatch({}, 3)


def test_attributes_of_a_stand_in_say_why_there_are_none():
    from anyspace.rllib.policy.policy import Policy
    from anyspace.rllib.utils import check_env
    from anyspace.rllib.utils.replay_buffers import StorageUnit

    class Mine(Policy):
        size = 3

    assert Mine.size == 3
    assert not hasattr(StorageUnit, "SEQUENCES")
    with pytest.raises(AttributeError, match=r"Mine\.from_checkpoint: a policy is a model and a distribution"):
        Mine.from_checkpoint("x")
    with pytest.raises(AttributeError, match=r"StorageUnit\.SEQUENCES: replay belongs to the algorithm"):
        _ = StorageUnit.SEQUENCES
    with pytest.raises(NotImplementedError, match=r"check_env: anyspace\.check_env\(env\) lists"):
        check_env("CartPole-v1")


def test_an_environment_of_several_agents_is_refused_by_name():
    from anyspace.rllib.env.multi_agent_env import MultiAgentEnv, make_multi_agent

    class Many(MultiAgentEnv):
        pass

    with pytest.raises(NotImplementedError, match=r"Many .*several agents"):
        PPO(env=Many)
    with pytest.raises(NotImplementedError, match="make_multi_agent: several agents"):
        make_multi_agent("CartPole-v1")


def test_tensorflow_functions_name_those_of_pytorch(monkeypatch):
    from anyspace.rllib.utils import tf_ops, tf_utils

    monkeypatch.setattr("anyspace._rllib.tensorflow.is_installed", lambda: False)
    assert tf_ops.huber_loss is tf_utils.huber_loss
    with pytest.raises(NotImplementedError, match=r"huber_loss: it works on TensorFlow.*utils\.torch_utils"):
        tf_utils.huber_loss(3.0)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("core.rl_module.rl_module", "new API stack"),
        ("connectors.connector_v2", "new API stack"),
        ("execution.train_ops", "training loop"),
        ("examples.models.rnn_model", "Copy the file"),
        ("policy.eager_tf_policy", "`losses` or `updates`"),
        ("utils.metrics.window_stat", "training loop"),
        ("utils.timer", "training loop"),
        ("utils.pre_checks.env", r"anyspace\.check_env"),
        ("utils.gym", "step five values"),
        ("models.jax.jax_modelv2", "derive from JaxModelV2"),
        ("train", "anyspace train ENV --algo ppo"),
    ],
)
def test_whole_families_have_a_reason(path, reason):
    with pytest.raises(ImportError, match=reason):
        exec(f"import anyspace.rllib.{path}")


def test_every_reason_is_one_that_is_written():
    used = {reason for names in NAMES.values() for reason in names} | set(FAMILIES.values())
    assert used == set(REASONS)
    twice = {path: set(rllib.names(path)) & set(" ".join(NAMES[path].values()).split()) for path in NAMES}
    for path, listed in twice.items():
        assert listed == set(" ".join(NAMES[path].values()).split()), path
        offered = " ".join(entry for home, entry in rllib.PATHS[path].items()).split()
        assert not listed & {entry.partition("=")[0] for entry in offered}, path
