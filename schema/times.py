"""Models keep Unix seconds; GraphQL's 32-bit Int ends in 2038, so its times are ISO 8601."""

from datetime import UTC, datetime


def to_datetime(seconds: int) -> datetime:
    """Unix seconds as an aware UTC time."""
    return datetime.fromtimestamp(seconds, UTC)
