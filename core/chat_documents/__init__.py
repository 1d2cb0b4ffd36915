"""The document that a client posts for a chat, and what it makes of the chat. Pure."""
