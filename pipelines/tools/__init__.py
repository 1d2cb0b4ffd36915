"""Tools that models call: told to them, their calls read out of what they say, and the results told back. Pure."""
