"""The services of users."""
