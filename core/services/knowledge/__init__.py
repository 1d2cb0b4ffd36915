"""The services of knowledge bases."""
