import numpy as np
import pytest

from anyspace.data.trajectory import Episode
from anyspace.errors import NonFiniteError
from anyspace.execution.metrics import EpisodeWindow, mean_results


def results(**columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_means_and_the_first_ratio_error():
    means = mean_results(results(total_loss=[1.0, 3.0], ratio_error=[0.1, 9.0]), np.asarray, 1)
    assert means == {"total_loss": 2.0, "ratio_error": 0.1}


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
