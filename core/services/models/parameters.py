"""The parameters of a request, completed by those of a custom model. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from core.json.decoding import decode
from core.models.catalog import CustomModel
from core.models.completions import CompletionRequest, Options

NOT_SAMPLING = frozenset(
    {
        *("system", "model", "messages", "stream", "stream_options", "n", "user", "files", "knowledge_ids", "tool_ids", "params"),
        *("stream_response", "stream_delta_chunk_size", "function_calling", "reasoning_tags"),  # Open WebUI's own switches
    }
)
LENGTHS = frozenset({"max_tokens", "max_completion_tokens"})  # two names for one thing
KNOWN = frozenset(Options.__struct_fields__)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def apply_custom_model(request: CompletionRequest, body: bytes, custom: CustomModel) -> tuple[CompletionRequest, bytes]:
    """A request of a custom model as one of the model behind it. Raises BadRequest where a parameter of the custom model cannot be used.

    ``request``: what was read from ``body``, which is not read again: what is added stands at its end, where it counts, because of a name
    that comes twice every reader takes the last. Only parameters that no request names are first looked for among its members.
    """
    given = msgspec.structs.asdict(request)
    added = {name: value for name, value in fill_in(given, custom.params).items() if value is not None and given.get(name) is None}
    if not added.keys() <= KNOWN:
        said = {name for name, value in _members(body).items() if bytes(value) != b"null"}
        added = {name: value for name, value in added.items() if name in KNOWN or name not in said}
    more = msgspec.json.encode({"model": custom.base_model_id, **added})
    options = decode(more, Options)
    changes = {name: getattr(options, name) for name in added if name in KNOWN}
    changed = msgspec.structs.replace(request, model=custom.base_model_id, **changes)
    return changed, body.rstrip().removesuffix(b"}") + b"," + more.removeprefix(b"{")


def fill_in(given: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """What is given wins; where that is missing or null, a custom model's parameter stands. ``custom_params`` are parameters too."""
    more = params.get("custom_params")
    offered = {**params, **(more if isinstance(more, dict) else {})}
    said = {name for name, value in given.items() if value is not None}
    left_out = NOT_SAMPLING | said | {"custom_params"} | (LENGTHS if said & LENGTHS else frozenset())
    return {**given, **{name: value for name, value in offered.items() if name not in left_out and value is not None}}
