"""The parameters of a request, completed by those of a custom model. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from core.models.catalog import CustomModel

NOT_SAMPLING = frozenset(
    {
        *("system", "model", "messages", "stream", "stream_options", "n", "user"),
        *("stream_response", "stream_delta_chunk_size", "function_calling", "reasoning_tags"),  # Open WebUI's own switches
    }
)
LENGTHS = frozenset({"max_tokens", "max_completion_tokens"})  # two names for one thing


def apply_custom_model(body: bytes, custom: CustomModel) -> bytes:
    """A request of a custom model as one of the model behind it. ``body`` was checked before."""
    given = msgspec.json.decode(body, type=dict[str, Any])
    return msgspec.json.encode(fill_in({**given, "model": custom.base_model_id}, custom.params))


def fill_in(given: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """What is given wins; where that is missing or null, a custom model's parameter stands. ``custom_params`` are parameters too."""
    more = params.get("custom_params")
    offered = {**params, **(more if isinstance(more, dict) else {})}
    said = {name for name, value in given.items() if value is not None}
    left_out = NOT_SAMPLING | said | {"custom_params"} | (LENGTHS if said & LENGTHS else frozenset())
    return {**given, **{name: value for name, value in offered.items() if name not in left_out and value is not None}}
