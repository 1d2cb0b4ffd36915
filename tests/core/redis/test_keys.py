"""Keys and their hash tags."""

from core.redis.keys import batch_keys, job_key


def test_all_of_a_batch_lies_on_one_node() -> None:
    names = [*batch_keys("b"), *batch_keys("b.17.2.1"), job_key("b.17.2.1")]
    assert {name.partition("}")[0] for name in names} == {"job:{b"}
