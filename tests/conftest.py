"""What every room's tests are run over."""

import pytest


@pytest.fixture(params=["epoll"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each event mechanism that this kernel offers."""
    return request.param
