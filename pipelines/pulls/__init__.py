"""Models brought to this installation."""
