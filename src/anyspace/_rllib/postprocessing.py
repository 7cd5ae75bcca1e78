"""`evaluation.postprocessing` of RLlib's old stack: advantages and n-step returns of one recorded trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np

from anyspace._rllib.sample_batch import SampleBatch
from anyspace.maths import discounted_cumsum, gae
from anyspace.maths import n_step as _n_step


class Postprocessing:
    """Names of the columns that advantage estimation adds."""

    ADVANTAGES = "advantages"
    VALUE_TARGETS = "value_targets"


def compute_advantages(
    rollout: SampleBatch,
    last_r: float,
    gamma: float = 0.9,
    lambda_: float = 1.0,
    use_gae: bool = True,
    use_critic: bool = True,
    rewards: Any = None,
    vf_preds: Any = None,
) -> SampleBatch:
    """Add ``advantages`` and ``value_targets`` [N], float32, to the steps of one trajectory, and return the batch.

    Args:
        rollout: ``rewards``, and ``vf_preds`` where there is a critic.
        last_r: value of the observation after the last step; 0 where the episode terminated.
        gamma: discount.
        lambda_: of generalised advantage estimation.
        use_gae: False: the advantages are discounted returns, less the values.
        use_critic: False: there are no values; their targets are 0.
        rewards: [N], instead of the batch's.
        vf_preds: [N], instead of the batch's.

    Raises:
        AssertionError: there are no values where they are asked for.
    """
    assert use_critic or not use_gae, "use_gae needs use_critic: it is made of values"
    rewards = np.asarray(rollout[SampleBatch.REWARDS] if rewards is None else rewards)
    values = np.zeros(len(rewards))
    if use_critic:
        found = rollout.get(SampleBatch.VF_PREDS) if vf_preds is None else vf_preds
        assert found is not None, "use_critic needs a column 'vf_preds'"
        values = np.asarray(found)
    if use_gae:
        never = np.zeros(len(rewards), bool)
        after = np.append(values[1:], last_r)
        advantages, targets = gae(rewards, values, after, never, never, gamma=gamma, lambda_=lambda_)
    else:
        returns = discounted_cumsum(rewards, gamma, np.asarray(last_r))
        advantages, targets = returns - values, returns if use_critic else np.zeros(len(rewards))
    rollout[Postprocessing.ADVANTAGES] = np.asarray(advantages, np.float32)
    rollout[Postprocessing.VALUE_TARGETS] = np.asarray(targets, np.float32)
    return rollout


def adjust_nstep(n_step: int, gamma: float, batch: SampleBatch) -> None:
    """Make transitions over ``n_step`` steps of those of one trajectory, in place; fewer steps at its end.

    ``rewards`` become discounted sums, of their own dtype if that is one of floats, else float32; ``new_obs``,
    ``terminateds`` and ``truncateds`` become those after the last step.

    Raises:
        AssertionError: an episode ends before the last row.
    """
    assert batch.is_single_trajectory(), "an episode ends before the last row; call split_by_episode() first"
    count = len(batch)
    last = np.minimum(np.arange(count) + n_step - 1, count - 1)
    batch[SampleBatch.NEXT_OBS] = np.asarray(batch[SampleBatch.NEXT_OBS])[last]
    for name in (SampleBatch.TERMINATEDS, SampleBatch.TRUNCATEDS):
        if name in batch:
            batch[name] = np.asarray(batch[name])[last]
    rewards, never = np.asarray(batch[SampleBatch.REWARDS]), np.zeros(count, bool)
    returns, _, _ = _n_step(rewards, never, never, n=n_step, gamma=gamma)
    batch[SampleBatch.REWARDS] = np.asarray(returns, rewards.dtype if rewards.dtype.kind == "f" else np.float32)
