"""Models: frozen, keyword-only records, one noun a module.

Credentials are models of their own, so that serialising a whole model is always safe.
"""
