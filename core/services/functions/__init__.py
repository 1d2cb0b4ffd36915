"""The services of functions."""
