"""The port of bytes, and the places behind it."""
