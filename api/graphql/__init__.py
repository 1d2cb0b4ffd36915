"""GraphQL over HTTP and websockets: where the schema is mounted."""
