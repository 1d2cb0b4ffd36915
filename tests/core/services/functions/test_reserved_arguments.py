"""What the product fills in itself, no caller may say: not even to a function that takes any name."""

import pytest

from core.errors import BadRequest
from core.services.functions.trials import check_arguments
from pipelines.functions import read


@pytest.mark.parametrize("parameters", ["**rest: str", "__user__: dict = {}, **rest: str", "__user__: dict = {}"])
def test_on_whose_behalf_a_call_is_cannot_be_said_by_its_caller(parameters: str) -> None:
    (entry,) = read(f"def f({parameters}): ...", "f").entries
    with pytest.raises(BadRequest, match=r"^args: not known: __user__\.$"):
        check_arguments(entry, {"__user__": {"role": "admin"}})
