import pytest

from core.models.catalog import ANY_TASK, Task
from pipelines.upstream_wire import tasks_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("text-embedding-3-small", ""),
        ("nomic-embed-text:latest", "nomic-bert"),
        ("all-minilm:22m", "bert"),
        ("bge-m3", "embeddings"),
        ("Qwen/Qwen3-Embedding-0.6B", ""),
    ],
)
def test_what_is_named_or_built_for_embedding_is_for_that_alone(name: str, kind: str) -> None:
    assert tasks_of(name, kind) == (Task.EMBEDDING,)


@pytest.mark.parametrize(("name", "kind"), [("gpt-4o", ""), ("llama3.2:1b", "llama"), ("bge-m3", ""), ("robert-chat", "")])
def test_of_other_models_nobody_knows(name: str, kind: str) -> None:
    assert tasks_of(name, kind) == ANY_TASK
