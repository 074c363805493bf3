"""Students to run the tests with."""

import pytest

from places import PAINN, PUBLISHED, SHIPPED, TOOL


def pytest_sessionstart(session):
    if not TOOL.exists():
        pytest.exit(f"{TOOL} is missing: make", returncode=1)


@pytest.fixture(scope="session")
def smooth():
    """A student whose energy has no jumps."""
    found = next((path for path in [*SHIPPED, PAINN] if path.exists()), None)
    if found is None:
        pytest.skip(f"SKIPPED: there is neither a student in models/ nor {PAINN}")
    return found


@pytest.fixture(params=[PAINN, PUBLISHED, *SHIPPED], ids=lambda path: path.stem)
def model(request):
    """Every student that is there, one after the other."""
    if not request.param.exists():
        pytest.skip(f"SKIPPED: {request.param} is missing: put the reference data beside the project")
    return request.param
