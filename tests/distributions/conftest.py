import pytest

from tests.support.frameworks import FRAMEWORKS, Framework


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    return request.param
