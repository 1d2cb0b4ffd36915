"""Each layer of the sandbox stops something by itself: with that layer taken out, an attack that it stops goes through."""

import pytest

from core.errors import Unavailable
from pipelines.sandbox import commands
from pipelines.sandbox.attacks import Attack, attempt, cause
from pipelines.sandbox.outcome import Isolation
from pipelines.sandbox.sandbox import Sandbox

_IN_CONFINEMENT = "from pipelines.sandbox.inside import confinement, kernel; confinement."
WITHOUT = {
    "the filter": "load_filter = lambda program: None",
    "capabilities dropped": "drop_capabilities = lambda: kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)",
    "limits": "_limit = lambda limits, memory_bytes: None",
    "descriptors closed": "_close_others = lambda: None",
    "file systems of its own": "mount_tmpfs = lambda path, flags, options: None",
    "Landlock": "landlock_restrict = lambda rules: None",
}
_SOCKET = Attack(name="a socket", body="return socket.socket().fileno()", cause="EPERM")
_CAPABILITIES = Attack(
    name="capabilities",
    body="data = (ctypes.c_uint32 * 6)()\n_libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), data)\nreturn sum(data)",
    cause=0,
)
_MEMORY = Attack(name="memory", body="return len(bytearray(1 << 30))", cause="memory_limit")
_DESCRIPTORS = Attack(name="descriptors", body="return [fd for fd in range(4, 64) if call('fcntl', fd, 1, 0) != 'EBADF']", cause=[])
_PROCESSES = Attack(name="processes", body="return os.listdir('/proc')", cause=[], landlock="EACCES")
_USERS = Attack(name="users", body="return open('/etc/passwd').read()[:4]", cause="ENOENT", landlock="EACCES")

CASES = [
    (Isolation.BUBBLEWRAP, "the filter", _SOCKET),
    (Isolation.BUBBLEWRAP, "capabilities dropped", _CAPABILITIES),
    (Isolation.BUBBLEWRAP, "limits", _MEMORY),
    (Isolation.BUBBLEWRAP, "descriptors closed", _DESCRIPTORS),
    (Isolation.BUBBLEWRAP, "file systems of its own", _PROCESSES),
    (Isolation.LANDLOCK, "the filter", _SOCKET),
    (Isolation.LANDLOCK, "limits", _MEMORY),
    (Isolation.LANDLOCK, "descriptors closed", _DESCRIPTORS),
    (Isolation.LANDLOCK, "Landlock", _USERS),
]


@pytest.mark.parametrize(("isolation", "layer", "attack"), CASES, ids=[f"{kind}-{layer}".replace(" ", "_") for kind, layer, _ in CASES])
async def test_without_a_layer_its_attack_goes_through(
    isolation: Isolation, layer: str, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await denied(isolation, attack)
    monkeypatch.setattr(commands, "_PROGRAM", commands._PROGRAM.replace("del sys", f"{_IN_CONFINEMENT}{WITHOUT[layer]}; del sys"))
    assert not await denied(isolation, attack)


async def denied(isolation: Isolation, attack: Attack) -> bool:
    try:
        async with Sandbox.open(isolations=[isolation]) as sandbox:
            return attack.denied(isolation, cause(await attempt(sandbox, attack)))
    except Unavailable as error:
        pytest.skip(error.detail)
