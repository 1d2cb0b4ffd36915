"""The contract with the workers: every kind of job, with its actor and its queue. A message carries the job's id, nothing else.

The web process enqueues these and never imports an actor.
"""

from typing import ClassVar

import msgspec

from core.models.pools import Pool


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: the job's key everywhere: its hash, its event log, its lease."""

    actor: ClassVar[str]
    queue: ClassVar[str]

    id: str


class GenerateReply(Job, frozen=True, kw_only=True):
    """An answer of a local model."""

    actor, queue = "generate_reply", "gpu.generate"


class RelayReply(Job, frozen=True, kw_only=True):
    """An answer of an upstream model."""

    actor, queue = "relay_reply", "relay.generate"


class EmbedTexts(Job, frozen=True, kw_only=True):
    """Vectors of the local embedding model."""

    actor, queue = "embed_texts", "gpu.embed"


class RelayEmbed(Job, frozen=True, kw_only=True):
    """Vectors of an upstream's model."""

    actor, queue = "relay_embed", "relay.embed"


class PullModel(Job, frozen=True, kw_only=True):
    """A model brought here."""

    actor, queue = "pull_model", "cpu.pull"


KINDS: tuple[type[Job], ...] = (GenerateReply, RelayReply, EmbedTexts, RelayEmbed, PullModel)
GENERATE: dict[Pool, type[Job]] = {Pool.GPU: GenerateReply, Pool.RELAY: RelayReply}
EMBED: dict[Pool, type[Job]] = {Pool.GPU: EmbedTexts, Pool.RELAY: RelayEmbed}
BY_QUEUE = {kind.queue: kind for kind in KINDS}


def queues(pool: Pool) -> tuple[str, ...]:
    """The queues that a pool's workers consume; a queue's name is ``pool.kind``."""
    return tuple(kind.queue for kind in KINDS if kind.queue.startswith(f"{pool}."))
