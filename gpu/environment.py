"""What must stand in a worker's environment before it imports torch. This module imports nothing, so that any launcher may read it."""

CHILD_ENVIRONMENT = {
    # MKL picks its code path by the alignment of its buffers unless told not to: without this, equal rows may differ in their last bit.
    "MKL_CBWR": "AVX2,STRICT",
    # Models are files on this machine; nothing may ask a hub for them.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}
