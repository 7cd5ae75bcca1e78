import numpy as np
import pytest
import torch

from anyspace.data.trajectory import Episode
from anyspace.errors import NonFiniteError
from anyspace.execution.learner import Result, Steps
from anyspace.execution.metrics import EpisodeWindow, mean_results, of_one_step
from anyspace.policy.batch import Batch
from anyspace.policy.sequences import Sequences


def results(**columns):
    return [Result(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def test_means():
    means = mean_results(results(total_loss=[1.0, 3.0], kl=[0.25, 0.5]), np.asarray, 1)
    assert means == {"total_loss": 2.0, "kl": 0.375}


def test_several_steps_of_one_call_count_as_that_many():
    calls = [Result({"total_loss": np.array([1.0, 2.0, 6.0])}), Result({"total_loss": np.array(3.0)})]
    assert mean_results(calls, np.asarray, 1) == {"total_loss": 3.0}
    calls = [Result({"a": np.zeros(3)}), Result({"a": np.array([0.0, np.nan])})]
    with pytest.raises(NonFiniteError, match="iteration 2, gradient step 5 of 5: a is nan"):
        mean_results(calls, np.asarray, 2)


def test_what_only_some_steps_report_is_averaged_over_those():
    calls = [Result({"a": 1.0, "b": np.array(4.0)}), Result({"a": 3.0}), Result({"a": 5, "c": np.float32(0.5)})]
    assert mean_results(calls, np.asarray, 1) == {"a": 3.0, "b": 4.0, "c": 0.5}
    with pytest.raises(NonFiniteError, match="gradient step 2 of 2: rare is inf"):
        mean_results([Result({"a": 1.0}), Result({"rare": np.inf})], np.asarray, 1)
    one_call = Result({"a": np.zeros(4), "rare": np.array([1.0, np.nan])})
    with pytest.raises(NonFiniteError, match=r"^iteration 1: rare is nan"):  # nobody knows which of the four it was
        mean_results([one_call], np.asarray, 1)


def test_scalars_of_a_device_are_fetched_at_once():
    fetched = []

    def numpy(tensor):
        fetched.append(tensor.shape)
        return tensor.numpy()

    calls = [Result({"a": torch.tensor(float(i)), "b": torch.tensor([i])}) for i in range(4)]
    assert mean_results(calls, numpy, 1) == {"a": 1.5, "b": 1.5}
    assert fetched == [(4,), *[(1,)] * 4]


def test_parts_of_one_step_are_averaged_over_their_rows():
    steps = Steps(
        Batch(obs=[np.zeros(5)]), np.array([[0, 1, 2], [3, 4, 4]]), np.array([[1, 1, 1], [1, 1, 0]], np.bool_)
    )
    reported = {"total_loss": np.array([3.0, 4.0]), "vf_loss": np.array([1.0, 6.0]), "grad_norm": np.array([7.0])}
    found = of_one_step(Result(reported), steps, np.asarray)
    assert mean_results([found], np.asarray, 1) == {"total_loss": 7.0, "vf_loss": 3.0, "grad_norm": 7.0}
    lens = Sequences(np.array([4, 1]), [])
    in_sequences = Steps(Batch(obs=[np.zeros(5)], sequences=lens), np.array([[0], [1]]), np.ones((2, 1), np.bool_))
    found = of_one_step(Result({"vf_loss": np.array([1.0, 6.0])}), in_sequences, np.asarray)
    assert mean_results([found], np.asarray, 1) == {"vf_loss": 2.0}


def test_no_step_has_no_means():
    assert mean_results([], np.asarray, 1) == {}
    assert mean_results([Result({})], np.asarray, 1) == {}


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_the_earliest_value_that_is_not_finite_is_named(wrong):
    later = results(kl=[0.0, 0.0, wrong], vf_loss=[0.0, wrong, wrong], total_loss=[1.0, 1.0, wrong])
    with pytest.raises(NonFiniteError, match=rf"iteration 7, gradient step 2 of 3: vf_loss is {wrong}"):
        mean_results(later, np.asarray, 7)
    at_once = results(kl=[0.0, wrong], total_loss=[1.0, wrong])
    with pytest.raises(NonFiniteError, match="gradient step 2 of 2: total_loss"):
        mean_results(at_once, np.asarray, 1)


def test_the_window_sums_up_the_latest_episodes():
    window = EpisodeWindow(2)
    assert window.statistics() == {}
    assert window.mean_return is None
    window.extend([Episode(100.0, 1)])
    assert not window.is_full
    window.extend([Episode(1.0, 4), Episode(3.0, 6)])
    assert window.is_full
    assert window.statistics() == {
        "episode_return_mean": 2.0,
        "episode_return_min": 1.0,
        "episode_return_max": 3.0,
        "episode_len_mean": 5.0,
    }
