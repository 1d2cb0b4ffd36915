"""JSON read and written, however deep or large it is."""
