"""The web process: REST, the OpenAI-compatible API, event streams, Socket.IO, the GraphQL mount. Parse, call a service, serialise."""
