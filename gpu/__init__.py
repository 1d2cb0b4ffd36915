"""The model runtime: devices, models, the generation engine. The only folder that imports torch and transformers.

Importing the package itself imports neither.
"""
