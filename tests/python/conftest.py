"""Students to run the tests with."""

import pytest
from places import PAINN, PUBLISHED, SHIPPED, TOOL, missing


def pytest_sessionstart(session):
    if not TOOL.exists():
        pytest.exit(f"{TOOL} is missing: make", returncode=1)


@pytest.fixture(scope="session")
def smooth():
    """A student whose energy has no jumps."""
    found = next((path for path in [*SHIPPED, PAINN] if path.exists()), None)
    if found is None:
        missing(f"there is neither a student in models/ nor {PAINN}")
    return found


@pytest.fixture(params=SHIPPED, ids=lambda path: path.stem)
def shipped(request):
    """Every student that ships: they say which energies their training data have."""
    return request.param


@pytest.fixture(params=[PAINN, PUBLISHED, *SHIPPED], ids=lambda path: path.stem)
def model(request):
    """Every student that is there, one after the other."""
    if not request.param.exists():
        missing(f"{request.param} is missing: put the reference data beside the project")
    return request.param
