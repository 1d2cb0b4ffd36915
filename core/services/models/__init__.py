"""The services of models."""
