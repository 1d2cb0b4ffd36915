"""Attacks from a call that may reach hosts: by what its filter lets through, and by the way to the broker."""

from msgspec.structs import replace

from pipelines.sandbox.attacks import Attack
from tests.pipelines.sandbox.attacks_kernel import KERNEL

HOSTS = ("page.test",)

_OTHERWISE = {"a socket AF_INET", "a request", "connect half of a pair"}  # what such a call may do, or is refused by somebody else
_OWN = "(door.username + ':' + door.password).encode()"


def _ask(token: str, to: str = "http://page.test/") -> str:
    """The status of what the broker answers."""
    return f"""
import base64
from urllib.parse import urlsplit
door = urlsplit(os.environ["HTTP_PROXY"])
end = socket.create_connection((door.hostname, door.port))
said = base64.b64encode({token})
end.sendall(b"GET {to} HTTP/1.1\\r\\nHost: page.test\\r\\nProxy-Authorization: Basic " + said + b"\\r\\n\\r\\n")
return int(end.recv(4096).split()[1])
"""


# fmt: off
_ROWS = (
    Attack(name="bind", body="socket.socket().bind(('127.0.0.1', 0))", cause="EPERM"),
    Attack(name="listen", body="socket.socket().listen()", cause="EPERM"),
    Attack(name="accept", body="socket.socket().accept()", cause="EPERM"),
    Attack(name="a server", body="socket.create_server(('127.0.0.1', 0))", cause="EPERM"),
    Attack(name="UDP", body="return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).fileno()", cause="EPERM"),
    Attack(name="ICMP", body="return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1).fileno()", cause="EPERM"),
    Attack(name="TCP by IPv6", body="return socket.socket(socket.AF_INET6).fileno()", cause="EPERM"),
    Attack(name="SCTP", body="return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).fileno()", cause="EPERM"),
    Attack(name="TCP by several ways", body="return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).fileno()", cause="EPERM"),
    Attack(name="a Unix socket", body="return socket.socket(socket.AF_UNIX).fileno()", cause="EPERM"),
    Attack(name="half of a pair to a path", body="socket.socketpair()[0].connect('/run/docker.sock')", cause="ENOENT"),
    Attack(name="half of a pair to an abstract name", body="socket.socketpair()[0].connect('\\0x')", cause="ECONNREFUSED"),
    Attack(name="an address on the web", body="socket.socket().connect(('192.0.2.1', 80))", cause="ENETUNREACH"),
    Attack(name="the metadata service", body="socket.socket().connect(('169.254.169.254', 80))", cause="ENETUNREACH"),
    Attack(name="another port", body="socket.socket().connect(('127.0.0.1', 6379))", cause="ECONNREFUSED"),
    Attack(name="another address of the machine itself", body="socket.socket().connect(('127.0.0.2', 22))", cause="ECONNREFUSED"),
    Attack(name="connect by sending",
           body="socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', 6379))", cause="EPERM"),
    Attack(name="connect by a message",
           body="socket.socket().sendmsg([b'x'], [], 0x20000000, ('192.0.2.1', 80))", cause="ENETUNREACH"),
    Attack(name="a program of BPF on a socket",
           body="socket.socket().setsockopt(socket.SOL_SOCKET, 26, bytes(16))", cause="EPERM"),
    Attack(name="bind to a device", body="socket.socket().setsockopt(socket.SOL_SOCKET, 25, b'lo')", cause="EPERM"),
    Attack(name="TLS in the kernel", body="socket.socket().setsockopt(socket.IPPROTO_TCP, 31, b'tls')", cause="EPERM"),
    Attack(name="repair a connection", body="socket.socket().setsockopt(socket.IPPROTO_TCP, 19, 1)", cause="EPERM"),
    Attack(name="a firewall", body="socket.socket().setsockopt(socket.IPPROTO_IP, 64, bytes(64))", cause="EPERM"),
    Attack(name="no token", body=_ask("b''"), cause=407),
    Attack(name="a wrong token", body=_ask("b'call:' + b'A' * 43"), cause=407),
    Attack(name="an empty token", body=_ask("b'call:'"), cause=407),
    Attack(name="a host that is not granted", body=_ask(_OWN, "http://other.test/"), cause=403),
    Attack(name="a host behind the name of one that is granted", body=_ask(_OWN, "http://page.test@other.test/"), cause=403),
)
# fmt: on
OUTWARD = tuple(replace(attack, hosts=HOSTS) for attack in (*_ROWS, *(attack for attack in KERNEL if attack.name not in _OTHERWISE)))
