"""What must stand in a worker's environment before it imports torch. This module imports nothing, so that anybody may read it."""

CHILD_ENVIRONMENT = {
    # Models are files on this machine; nothing may ask a hub for them.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}
