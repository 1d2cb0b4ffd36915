"""One route as an operation of the OpenAPI document."""

import inspect
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import product
from typing import Any

import msgspec

from api.docs.problems import MEANINGS, OpenAIProblem, Problem
from api.http.authentication import Access
from api.http.errors import OPENAI_PREFIXES
from api.http.route import Route

JSON = "application/json"
FORM = "multipart/form-data"
EVENT_ID = r"^([0-9]{1,15}(-[0-9]{1,15})?)?$"
TEXT = {"schema": {"type": "string"}}
LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
CHATS = dict.fromkeys(("chat_copies", "chat_marks", "chat_messages", "shares"), "Chats")
TITLES = CHATS | {"api_keys": "API keys", "auths": "Authentication", "graphql": "GraphQL", "socket_io": "Socket.IO"}
# Operation ids begin with these where a module is called otherwise: generated clients have methods of these names.
NOUNS = {
    "flags": "chat_marks",
    "messages": "chat_messages",
    "pages": "documentation",
    "transfer": "chat_copies",
    "transport": "socket_io",
    "view": "graphql",
}
LOOKS_ITSELF = frozenset({"graphql"})
SIGNED_IN: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]

Json = dict[str, Any]
SchemaOf = Callable[[Any], Json]

_VARIABLE = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_ADDRESS = re.compile(r"^``(?:[A-Z]+ )?[/…][^`]*``: ")


def operation(route: Route, path: str, schema_of: SchemaOf) -> Json:
    """What a client must know to use the route at that path."""
    summary, description = describe(route)
    found: Json = {"operationId": operation_id(route, path), "tags": [title(noun(route))], "summary": summary}
    if path != route.path:
        summary = f"{summary}, at {plain_path(path)}"
        description = f"The same as `{route.method} {plain_path(route.path)}`. {description}".strip()
    if description:
        found["description"] = description
    parameters = [*_path_parameters(path), *_query_parameters(route, schema_of), *_header_parameters(route)]
    if parameters:
        found["parameters"] = parameters
    if route.body is not None:
        found["requestBody"] = {"required": _needed(route.body), "content": {JSON: {"schema": schema_of(route.body)}}}
    if route.form is not None:
        found["requestBody"] = {"required": True, "content": {FORM: {"schema": schema_of(route.form)}}}
    found["responses"] = {str(status): answer for status, answer in sorted(_answers(route, path, schema_of))}
    found["security"] = _security(route)
    return found


def types(route: Route) -> Iterator[Any]:
    """Every model that the route's operation speaks of."""
    parameters = (field.type for field in msgspec.structs.fields(route.query)) if route.query else ()
    kinds = (route.body, route.form, route.answer, route.pieces, *(kind for _, kind in route.others), *parameters, Problem, OpenAIProblem)
    yield from (kind for kind in kinds if kind is not None and not isinstance(kind, str))


def plain_path(path: str) -> str:
    """A path without the patterns of its variables."""
    return _VARIABLE.sub(r"{\1}", path)


def noun(route: Route) -> str:
    """What the route is about: by the module that has the handler."""
    module = route.handler.__module__.rpartition(".")[2]
    return NOUNS.get(module, module)


def operation_id(route: Route, path: str) -> str:
    """The operation's id: noun and verb; of another path for the same thing with the path behind it."""
    verb = route.handler.__name__.rstrip("_")
    words = f"{noun(route)}_{route.method.lower() if verb == noun(route) else verb}"
    return _camel(words if path == route.path else f"{words}_at_{plain_path(path)}")


def _needed(body: Any) -> bool:
    """Whether there must be a body: a model of which nothing is required can be left out."""
    return not (isinstance(body, type) and issubclass(body, msgspec.Struct)) or any(
        field.required for field in msgspec.structs.fields(body)
    )


def _camel(words: str) -> str:
    """One word, because an underscore in an id means a space to Swagger UI's links."""
    first, *more = (found[0] for found in re.finditer(r"[A-Za-z0-9]+", words))
    return first + "".join(word[0].upper() + word[1:] for word in more)


def describe(route: Route) -> tuple[str, str]:
    """Summary and description: the handler's docstring without the address that it may begin with."""
    first, _, rest = inspect.cleandoc(route.handler.__doc__ or "").partition("\n\n")
    sentence, _, more = _ADDRESS.sub("", " ".join(first.split())).partition(". ")
    description = "\n\n".join(filter(None, (more, rest)))
    return markdown(sentence.rstrip(".")[:1].upper() + sentence.rstrip(".")[1:]), markdown(description)


def title(noun: str) -> str:
    """What readers call the routes of one module."""
    return TITLES.get(noun, noun.replace("_", " ").capitalize())


def markdown(text: str) -> str:
    """A docstring's text."""
    return text.replace("``", "`")


def _path_parameters(path: str) -> Iterator[Json]:
    for variable in _VARIABLE.findall(path):
        yield {"name": variable, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(route: Route, schema_of: SchemaOf) -> Iterator[Json]:
    if route.query is None:
        return
    described = markdown(inspect.cleandoc(route.query.__doc__ or ""))
    for field in msgspec.structs.fields(route.query):
        parameter: Json = {"name": field.encode_name, "in": "query", "schema": _without_null(schema_of(field.type), field)}
        if field.required:
            parameter["required"] = True
        about = _about(field.encode_name, described)
        yield parameter | {"description": about} if about else parameter


def _about(parameter: str, described: str) -> str:
    """What a model's docstring says of one of its fields: from its name in backticks to the next one's."""
    found = re.search(rf"`{re.escape(parameter)}`:? (.*?)(?=[;.] `\w+`:|$)", described, re.DOTALL)
    return found[1].rstrip(".").strip() if found else ""


def _without_null(schema: Json, field: msgspec.structs.FieldInfo) -> Json:
    """A parameter that is not sent is not sent: it is never null."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind != {"type": "null"}]
    found = dict(kinds[0]) if len(kinds) == 1 else {"anyOf": kinds}
    if field.default is not msgspec.NODEFAULT and field.default is not None:
        found["default"] = msgspec.to_builtins(field.default)
    return found


def _header_parameters(route: Route) -> Iterator[Json]:
    """What a client may say beside: where a broken stream goes on."""
    if "text/event-stream" in route.media and route.method == "GET":
        about = "The id of the last event seen: goes before `after`. Browsers send it by themselves."
        yield {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string", "pattern": EVENT_ID}, "description": about}


def _answers(route: Route, path: str, schema_of: SchemaOf) -> Iterator[tuple[int, Json]]:
    shape = {"schema": schema_of(route.answer)} if route.answer is not None else {}
    content: Json = {JSON: shape} if shape else {}
    content |= {media: _shape_of(media, route, schema_of) for media in route.media}
    yield route.status, answer(route.status, content, limited=_limited(route))
    for status, kind in route.others:
        media = {kind: TEXT} if isinstance(kind, str) else {JSON: {"schema": schema_of(kind)}} if kind is not None else {}
        yield status, answer(status, media, limited=_limited(route))
    openai = f"{path}/".startswith(OPENAI_PREFIXES)
    for status in {*_implied(route), *route.errors} - {status for status, _ in route.others}:
        yield status, {"$ref": f"#/components/responses/{problem_name(status, openai=openai, limited=_limited(route))}"}


def _shape_of(media: str, route: Route, schema_of: SchemaOf) -> Json:
    """What such an answer holds; of one that comes piece by piece, what each piece holds."""
    if media.endswith("+json"):
        return {"schema": schema_of(route.answer)}
    if media != "text/event-stream":
        return TEXT
    data: Json = {"type": "string"}
    if route.pieces is not None:
        data |= {"contentMediaType": JSON, "contentSchema": schema_of(route.pieces)}
        if route.path.startswith(OPENAI_PREFIXES):
            data = {"anyOf": [data, {"const": "[DONE]"}]}
    event = {"data": data, "event": {"type": "string"}, "id": {"type": "string"}, "retry": {"type": "integer"}}
    return {"schema": {"description": "Each of the events.", "type": "object", "properties": event}}


def answer(status: int, content: Json, *, limited: bool) -> Json:
    """An answer with its headers; ``limited``: as the rate limit shows itself on it."""
    names = ["X-Request-ID"]
    if limited and status != HTTPStatus.UNAUTHORIZED:
        names += LIMIT_HEADERS
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        names.append("Retry-After")
    if status == HTTPStatus.TEMPORARY_REDIRECT:
        names.append("Location")
    if status == HTTPStatus.UNAUTHORIZED:
        names.append("WWW-Authenticate")
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return {"description": MEANINGS[status], "headers": headers} | ({"content": content} if content else {})


def problems(schema_of: SchemaOf) -> Json:
    """The answers to what went wrong, by the names that operations refer to them with."""
    found = {}
    for status in sorted(MEANINGS):
        if status >= HTTPStatus.BAD_REQUEST:
            for openai, limited in product((False, True), repeat=2):
                content = {JSON: {"schema": schema_of(OpenAIProblem if openai else Problem)}}
                found[problem_name(status, openai=openai, limited=limited)] = answer(status, content, limited=limited)
    return found


def problem_name(status: int, *, openai: bool, limited: bool) -> str:
    """What such an answer is called among the components."""
    phrase = "".join(word.capitalize() for word in re.split(r"\W+", HTTPStatus(status).phrase))
    return f"{phrase}{'ForOpenAI' if openai else ''}{'' if limited else 'ToAnyone'}"


def _limited(route: Route) -> bool:
    return _guarded(route) or route.counted


def _guarded(route: Route) -> bool:
    return route.access is not Access.ANYONE


def _implied(route: Route) -> Iterator[int]:
    """The codes of failures that follow from what a route takes and who may use it. 400: an address or a header can always be too long."""
    yield from (400, 500)
    if _limited(route):
        yield 429
    if _guarded(route):
        yield from (401, 503)
    if route.access in {Access.ACTIVE, Access.ADMIN}:
        yield 403
    if route.body is not None or route.form is not None:
        yield from (408, 413, 503)
    if route.form is not None:
        yield 415
    if "{" in route.path:
        yield 404


def _security(route: Route) -> list[dict[str, list[str]]]:
    if _guarded(route):
        return SIGNED_IN
    return [{}, *SIGNED_IN] if noun(route) in LOOKS_ITSELF else []
