"""Names of keys, hash-tagged so that what one script touches lies on one node of a Redis Cluster.

A job's by its id, a queue's by its name. A batch's jobs have its id before the first dot of theirs, and its tag: they lie where it lies.
"""

WORKERS, WORKERS_ALIVE, WORKERS_DRAINING = "{workers}", "{workers}:alive", "{workers}:draining"
QUEUES = "queues"
BATCHES = "batches"
BEGUN = ".begun-"
SUSPECTS = ".suspects"


def job_key(job_id: str) -> str:
    """The hash with a job's spec, state and epoch."""
    batch, dot, rest = job_id.partition(".")
    return f"job:{{{batch}}}{dot}{rest}"


def events_key(job_id: str) -> str:
    """A job's event log: the stream's name, and its channel's."""
    return f"{job_key(job_id)}:events"


def result_key(job_id: str) -> str:
    """What a job gives that is too large for its log."""
    return f"{job_key(job_id)}:result"


def is_in_batch(job_id: str) -> bool:
    """Whether a job is one step of one item of a batch: then its id begins with the batch's."""
    return "." in job_id


def batch_keys(job_id: str) -> tuple[str, ...]:
    """What is kept of the batch that a job is, or is of: its hash and log, its counters, what is left of its items, and who is at work.

    Of each item at work the job that it is with; and, on a Cluster, the jobs that are not yet on their queues.
    """
    batch = job_id.partition(".")[0]
    job = job_key(batch)
    return (job, events_key(batch), *(f"{job}:{name}" for name in ("batch", "items", "flight", "submitting")))


def base_queue(queue: str) -> str:
    """The queue that a job was submitted to, of one that it was put back on."""
    return queue.partition(BEGUN)[0].removesuffix(SUSPECTS)


def namespace(queue: str) -> str:
    """Dramatiq's namespace of a queue and of those that its jobs are put back on: all their keys have one hash tag."""
    return f"dramatiq:{{{base_queue(queue)}}}"


def waiting_key(queue: str) -> str:
    """Dramatiq's list of the ids of messages that wait."""
    return f"{namespace(queue)}:{queue}"


def messages_key(queue: str) -> str:
    """Dramatiq's hash of messages that wait or are in somebody's hands, by their ids."""
    return f"{namespace(queue)}:{queue}.msgs"


def in_hand_key(queue: str, worker_id: str) -> str:
    """Dramatiq's set of the ids of messages that a worker fetched and has not acknowledged."""
    return f"{namespace(queue)}:__acks__.{worker_id}.{queue}"


def submitting_key(queue: str) -> str:
    """On a Cluster: ids of jobs about to be submitted, by when."""
    return f"{namespace(queue)}:{queue}.submitting"
