"""The shipped embedder, loaded."""

import msgspec

from core.models.embeddings import EmbeddingDtype
from core.settings import Settings
from gpu import sources
from gpu.device_lock import DeviceLock
from gpu.embedder import Embedder


def loaded_embedder(settings: Settings, dtype: EmbeddingDtype = EmbeddingDtype.AUTO) -> Embedder:
    """On one thread; the caller closes it."""
    source = sources.embedder()
    assert source
    return Embedder(source, msgspec.structs.replace(settings, embedding_dtype=dtype), device_lock=DeviceLock(), threads=1)
