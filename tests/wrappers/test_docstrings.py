import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["core_wrapper", "vector_wrapper", "vec_env_wrapper"])
def test_the_example_of_each_wrapper_runs(name: str) -> None:
    outcome = doctest.testmod(import_module(f"core_repr.wrappers.{name}"))
    assert outcome.attempted == 5 and outcome.failed == 0
