import redis.asyncio

from api.socketio.server import SocketServer
from tests.polling import until
from tests.ports import free_port


async def test_what_the_processes_tell_each_other_goes_by_whichever_address_answers(redis_url: str) -> None:
    alive = redis_url.removeprefix("redis://").removesuffix("/0")
    server = SocketServer(f"redis://127.0.0.1:{free_port()},{alive}/0")
    async with redis.asyncio.Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe("socketio:0")
        await server.emit("message", "hi", room="a chat")
        message = await until(lambda: heard.get_message(timeout=1), "it is told")
        assert b'"hi"' in message["data"]
    await server.close()
