"""The web process: REST, the OpenAI-compatible API, server-sent events, Socket.IO and the GraphQL mount. Parse, call a service, serialise."""
