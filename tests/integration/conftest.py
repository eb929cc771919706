"""Stops what the tests of bad input share, in every process that ran some of them."""

import sys


def pytest_sessionfinish() -> None:
    """Called by pytest, in each of its processes."""
    bad_input = sys.modules.get("tests.integration.bad_input")
    if bad_input is not None:
        bad_input.SHARED.stop()
