import numpy as np
import pytest

from anyspace.distributions.allowed import allowed_by
from tests.support.frameworks import Framework


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_a_row_that_allows_nothing_allows_everything(framework: Framework, dtype: type) -> None:
    mask = framework.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], dtype)
    allowed = allowed_by(mask, like=framework.array([[0.0]]))
    assert isinstance(allowed, framework.kind)
    assert np.asarray(allowed).tolist() == [[True, False, True], [True, True, True], [False, True, False]]


def test_a_numpy_mask_joins_any_framework(framework: Framework) -> None:
    allowed = allowed_by(np.array([[1, 0]]), like=framework.array([[0.0, 0.0]]))
    assert isinstance(allowed, framework.kind)
    assert np.asarray(allowed).tolist() == [[True, False]]
