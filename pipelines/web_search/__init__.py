"""Searching the web by way of an engine that an administrator has chosen."""
