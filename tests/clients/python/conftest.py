"""Each test file has a `devtrail up` of its own."""

import pytest

from harness import Up


@pytest.fixture(scope="module")
def up():
    with Up() as running:
        yield running
