"""Ids of a batch's jobs."""

import pytest

from core.models.batches import BatchJob


def test_an_id_says_what_it_is_of() -> None:
    job = BatchJob.of("b.17.2.1")
    assert job == BatchJob(batch="b", number=17, step=2, attempt=1)
    assert (job.id, job.item) == ("b.17.2.1", "b.17")
    with pytest.raises(ValueError, match="values to unpack"):
        BatchJob.of("b")
