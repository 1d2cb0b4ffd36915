"""Whether an address can be listened on, asked before anything is started."""

import socket

from core.errors import SettingsError


def claim(host: str, port: int) -> None:
    """Listen for a moment. Raises SettingsError that says what is wrong with the address."""
    try:
        kind, protocol, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(kind, protocol, number) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web process does: a port in TIME_WAIT is free
            probe.bind(address)
            probe.listen(1)
    except socket.gaierror:
        message = f"PENSTOCK_HOST: {host!r} is no address of this machine."
        raise SettingsError(message) from None
    except PermissionError:
        message = f"Port {port} may be opened by root only. Choose one above 1023: --port 8080."
        raise SettingsError(message) from None
    except OSError as error:
        message = f"Port {port} on {host} cannot be used ({error.strerror}). Stop what listens there, or choose another: --port {port + 1}."
        raise SettingsError(message) from None
