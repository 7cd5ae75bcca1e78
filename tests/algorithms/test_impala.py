from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
import torch
from gymnasium import spaces

from anyspace import APPO, IMPALA
from anyspace.algorithms.impala import IMPALAConfig
from anyspace.errors import ConfigError
from anyspace.execution.groups import Group
from tests.support.hashes import VECTOR, sampled
from tests.support.keys import fingerprint

ENV = sampled(VECTOR, spaces.Discrete(3))
SMALL: dict[str, Any] = {"seed": 0, "num_envs_per_env_runner": 2, "train_batch_size": 20, "lr": 1e-2}
SMALL |= {"min_sample_timesteps_per_iteration": 1, "rollout_fragment_length": "auto", "model": {"fcnet_hiddens": [8]}}
RMSPROP = {"opt": "rmsprop", "momentum": 0.5}
REPLAYED = {"replay_proportion": 1.0}


def test_the_defaults_are_those_of_rllib() -> None:
    config = IMPALAConfig()
    expected = {
        **{"lr": 5e-4, "train_batch_size": 500, "rollout_fragment_length": 50, "grad_clip": 40.0},
        **{"vtrace_clip_rho_threshold": 1.0, "vtrace_clip_pg_rho_threshold": 1.0, "vf_loss_coeff": 0.5},
        **{"entropy_coeff": 0.01, "opt": "adam", "decay": 0.99, "momentum": 0.0, "epsilon": 0.1},
        **{"replay_proportion": 0.0, "gamma": 0.99},
    }
    assert {key: getattr(config, key) for key in expected} == expected


def test_each_batch_takes_one_step() -> None:
    with closing(IMPALA(ENV, SMALL, preset="none")) as algorithm:
        for _ in range(3):
            algorithm.train()
        steps = {float(value) for name, value in algorithm.learner.state().items() if name.endswith("/step")}
    assert steps == {3.0}


def test_earlier_batches_take_further_steps() -> None:
    with closing(IMPALA(ENV, SMALL, replay_proportion=2.0, preset="none")) as algorithm:
        counts = []
        for _ in range(4):
            algorithm.train()
            counts.append(max(float(value) for name, value in algorithm.learner.state().items() if "/step" in name))
    assert counts == [1, 4, 7, 10]


def test_epochs_are_further_steps_on_the_same_batch() -> None:
    with closing(IMPALA(ENV, SMALL, num_epochs=3, lr=0.1, preset="none")) as algorithm:
        policy, trajectory = algorithm.policy, algorithm.fleet.gather(20)
        updates = algorithm.updates(policy, trajectory)
        batches = [next(updates)]
        for _ in range(2):
            batches.append(updates.send(algorithm.learner.step(batches[-1])))
        with pytest.raises(StopIteration):
            updates.send(algorithm.learner.step(batches[-1]))
    for batch in batches[1:]:
        assert torch.equal(batch["action_logp"], batches[0]["action_logp"]), "of the weights that acted"
        assert torch.equal(batch["actions"], batches[0]["actions"])
    assert not torch.equal(batches[1]["value_targets"], batches[2]["value_targets"])


def test_fragments_are_columns() -> None:
    with closing(IMPALA(ENV, SMALL, rollout_fragment_length=5, train_batch_size=40, preset="none")) as algorithm:
        assert algorithm.fleet.gather(40).valid.shape == (5, 8)


def test_the_optimiser_is_told_its_settings() -> None:
    own = {"opt": "rmsprop", "decay": 0.8, "momentum": 0.3, "epsilon": 0.2, "grad_clip": 3.0}
    for keys, expected in (
        (own, {"optimiser": "rmsprop", "decay": 0.8, "momentum": 0.3, "epsilon": 0.2}),
        ({"adam_epsilon": 1e-5, "grad_clip": 3.0}, {"optimiser": "adam", "epsilon": 1e-5}),
    ):
        with closing(IMPALA(ENV, SMALL, **keys, preset="none")) as algorithm:
            (group,) = algorithm.groups().values()
        assert group == Group(group.lr, grad_clip=3.0, **expected)
        assert group.lr(0) == 1e-2


def test_decay_is_rmsprop_s_average_and_no_weight_decay() -> None:
    """Parameters that no gradient reaches stay; others move as RMSProp says (Tieleman and Hinton, 2012)."""
    keys = {"opt": "rmsprop", "decay": 0.9, "momentum": 0.0, "epsilon": 0.1, "grad_clip": None, "vf_loss_coeff": 0.0}
    keys |= {"model": {"fcnet_hiddens": [8], "vf_share_layers": False}}
    with closing(IMPALA(ENV, {**SMALL, **keys}, preset="none")) as algorithm:
        model: Any = algorithm.policy.model
        before = {name: one.detach().clone() for name, one in model.named_parameters()}
        batch = next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(20)))
    (loss,) = algorithm.losses(algorithm.policy, batch).by_group.values()
    found = torch.autograd.grad(loss, [*model.parameters()], allow_unused=True, materialize_grads=True)
    algorithm.learner.step(batch)
    moved = 0
    for (name, now), gradient in zip(model.named_parameters(), found, strict=True):
        expected = before[name] - 1e-2 * gradient / ((0.1 * gradient**2).sqrt() + 0.1)
        torch.testing.assert_close(now.detach(), expected)
        if name.startswith("value"):
            assert torch.equal(now, before[name])
        moved += not torch.equal(now, before[name])
    assert moved >= 4


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("minibatch_buffer_size", "{replay_proportion}"),
        ("learner_queue_size", "leave it out"),
        ("vtrace", "leave it out"),
        ("_separate_vf_optimizer", "`group_of`"),
        ("_lr_vf", "`group_of`"),
        ("target_worker_clipping", "leave it out"),
    ],
)
def test_keys_without_effect_are_refused_by_name(key: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        IMPALA(ENV, {key: 1}, preset="none")
    assert str(caught.value).startswith(f"unknown config key `{key}`. ")
    assert reason.strip("{}") in str(caught.value)


@pytest.mark.parametrize(
    ("key", "context", "first", "second"),
    [
        ("rollout_fragment_length", {}, 5, "auto"),
        ("vtrace_clip_rho_threshold", {**REPLAYED, "lr": 0.1}, 1.0, 0.2),
        ("vtrace_clip_pg_rho_threshold", {**REPLAYED, "lr": 0.1}, 1.0, 0.2),
        ("opt", {}, "adam", "rmsprop"),
        ("decay", RMSPROP, 0.9, 0.99),
        ("momentum", {"opt": "rmsprop"}, 0.0, 0.5),
        ("epsilon", RMSPROP, 0.1, 1.0),
        ("adam_epsilon", {}, 1e-8, 1.0),
        ("replay_proportion", {}, 0.0, 1.0),
        ("num_epochs", {}, 1, 2),
        ("min_sample_timesteps_per_iteration", {}, 1, 30),
        ("replay_buffer_num_slots", {"replay_proportion": 2.0}, 1, 2),
        ("vf_loss_coeff", {"grad_clip": 0.01}, 0.1, 1.0),
        ("entropy_coeff", {}, 0.0, 0.5),
        ("entropy_coeff_schedule", {}, None, [(0, 1.0), (40, 0.0)]),
        ("grad_clip", {}, None, 0.01),
        ("batch_mode", {}, "truncate_episodes", "complete_episodes"),
    ],
)
def test_a_key_has_an_effect(key: str, context: dict[str, Any], first: Any, second: Any) -> None:
    found = [fingerprint(IMPALA, ENV, {**SMALL, **context, key: value}, 3) for value in (first, second)]
    assert found[0] != found[1]


@pytest.mark.parametrize("kind", [IMPALA, APPO])
def test_a_round_is_reported_by_its_new_batch(kind: type[IMPALA], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two earlier batches are learnt from beside it, after it."""
    with closing(kind(ENV, SMALL, replay_proportion=2.0, preset="none")) as algorithm:
        learnt, reported, step, report = [], [], algorithm.learner.step, algorithm.report
        monkeypatch.setattr(algorithm.learner, "step", lambda batch: (learnt.append(batch), step(batch))[1])
        monkeypatch.setattr(algorithm, "report", lambda batch: (reported.append(batch), report(batch))[1])
        for _ in range(4):
            learnt.clear()
            algorithm.train()
        assert len(learnt) == 3
        assert [reported[-1] is batch for batch in learnt] == [True, False, False]
        assert len(reported) == 4
