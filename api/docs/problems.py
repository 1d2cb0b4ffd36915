"""What an answer that is not a success looks like, for the documentation: its body and its meaning, by status."""

import msgspec

MEANINGS = {
    101: "The connection goes on as a websocket.",
    200: "Done.",
    201: "Created.",
    202: "Begun.",
    204: "There is nothing to send.",
    206: "The part that `Range` asks for.",
    307: "Somewhere else: go on where `Location` says, with the same method.",
    304: "Not changed since the version that `If-None-Match` names.",
    400: "What was sent cannot be used: `detail` names the field, what is wrong with it and what is allowed.",
    401: "No token, or one that is not valid (any more). Sign in, and send the new one.",
    403: "Known, but without the right.",
    404: "Not there, or not yours: the two are told alike.",
    405: "This method is not possible here.",
    406: "None of the media types that `Accept` names can be given.",
    408: "The request took too long to arrive.",
    409: "Somebody else was first. Read what is there now, and try again.",
    413: "The body, or the file in it, is larger than the limit.",
    415: "The body, or the file in it, is of a media type that is not taken here.",
    429: "Asked too often: wait `Retry-After` seconds.",
    416: "There is nothing in that range: `Content-Range` says how long it is.",
    431: "The headers are larger than the limit.",
    500: "Something went wrong on our side. `detail` has a reference that the operator's log has too.",
    502: "The model's server failed.",
    503: "Something that is needed (Redis, the store, a worker) is not there now. Try again later.",
    504: "The model's server took too long.",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, and what to do next."""

    detail: str


class OpenAIFault(msgspec.Struct, frozen=True, kw_only=True):
    """An error as OpenAI's own servers tell it."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIProblem(Problem, frozen=True, kw_only=True):
    """What went wrong, told twice: as everywhere here, and for OpenAI's clients."""

    error: OpenAIFault
