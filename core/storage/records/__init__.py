"""The records port, and the stores behind it."""
