"""Redis, and what lives in it alone."""
