"""GraphQL's address."""

from api.graphql.schemas import GraphQLParameters, GraphQLRequest, GraphQLResponse
from api.graphql.view import graphql
from api.http.authentication import Access
from api.http.route import Route

HTML = ("text/html",)
GRAPHQL = ("application/graphql-response+json",)
GRAPHQL_REFUSED = ((400, GraphQLResponse), (405, GraphQLResponse), (415, GraphQLResponse))
EVENTS = ("text/event-stream",)

ROUTES = (
    Route(
        "GET",
        "/graphql",
        graphql,
        Access.ANYONE,
        counted=False,
        query=GraphQLParameters,
        answer=GraphQLResponse,
        media=GRAPHQL + HTML,
        others=GRAPHQL_REFUSED,
    ),
    Route(
        "POST",
        "/graphql",
        graphql,
        Access.ANYONE,
        counted=False,
        body=GraphQLRequest,
        answer=GraphQLResponse,
        media=GRAPHQL + EVENTS,
        others=GRAPHQL_REFUSED,
    ),
)
