"""Checks once that what the tests need is there."""

import pytest

import harness


def pytest_sessionstart(session):
    for path in (harness.PLUGIN, harness.TOOL):
        if not path.exists():
            pytest.exit(f"{path} is missing: make", returncode=1)


@pytest.fixture(scope="session")
def water():
    """81 water atoms in a cube of 9.3 A: features cross every face."""
    return harness.cases("student-21k")["water-periodic-81"].rattled(0.02)


@pytest.fixture(scope="session")
def triclinic():
    return harness.cases("student-21k")["water-triclinic-81"]
