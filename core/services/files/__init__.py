"""The services of files."""
