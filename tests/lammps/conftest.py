"""Checks once that what the tests need is there."""

import pytest

import harness


def pytest_sessionstart(session):
    for path, remedy in ((harness.PLUGIN, "make"), (harness.TOOL, "make"), (harness.REFERENCE, "put the reference data beside the project")):
        if not path.exists():
            pytest.exit(f"{path} is missing: {remedy}", returncode=1)


@pytest.fixture(scope="session")
def water():
    """192 water atoms in a cube of 12.42 A, rattled: a small periodic system with features crossing every face."""
    cell = harness.cases("student-21k")["water-periodic-81"]
    return cell.rattled(0.02)


@pytest.fixture(scope="session")
def triclinic():
    return harness.cases("student-21k")["water-triclinic-81"]
