"""The services of chats."""
