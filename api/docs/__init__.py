"""The API's documentation, for programs and for people."""
