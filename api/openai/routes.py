"""Every address of OpenAI's API."""

from api.http.authentication import Access
from api.http.route import Route
from api.openai import completions, embeddings
from api.openai.schemas import ChatCompletion, ChatCompletionChunk
from core.models.completions import CompletionRequest
from core.models.embeddings import EmbeddingRequest

COMPLETIONS = ("/api/chat/completions", "/v1/chat/completions")
EVENTS = ("text/event-stream",)
EMBEDDINGS = ("/v1/embeddings", "/api/embeddings")

ROUTES = (
    Route(
        "POST",
        "/api/openai/v1/chat/completions",
        completions.create,
        Access.ACTIVE,
        body=CompletionRequest,
        answer=ChatCompletion,
        pieces=ChatCompletionChunk,
        also=COMPLETIONS,
        media=EVENTS,
        errors=(404, 502, 504),
    ),
    Route(
        "POST",
        "/api/openai/v1/embeddings",
        embeddings.create,
        Access.ACTIVE,
        body=EmbeddingRequest,
        answer=embeddings.EmbeddingsResponse,
        also=EMBEDDINGS,
        errors=(404, 502, 504),
    ),
)
