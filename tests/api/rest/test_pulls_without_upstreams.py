from tests.api.conftest import Client


async def test_without_an_ollama_a_name_without_a_slash_says_what_to_configure(ada: Client) -> None:
    for body in ({"name": "llama3.3:70b"}, {"name": "a/b", "source": "ollama"}):
        reply = await ada.post("/api/models/pull", body)
        assert reply.status == 400
        assert "PENSTOCK_OLLAMA_BASE_URLS" in reply.body["detail"]
