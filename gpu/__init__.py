"""The model runtime: devices, models, the generation engine. The only folder that imports torch and transformers; importing the package itself imports neither."""
