"""The kernel's calls that Python has no function for, by ctypes."""

import ctypes
import os
import platform

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_RDONLY = 2, 4, 8, 1

_MS_BIND, _MS_REC = 0x1000, 0x4000
_CAPABILITY_VERSION = 0x20080522
_CAPABILITIES = 64
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SECCOMP_SET_MODE_FILTER = 1
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION = 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def unshare(namespaces: int) -> None:
    """Leave namespaces for new ones; of PIDs, the next child does."""
    _check(_libc.unshare(namespaces), "unshare")


def set_namespace(descriptor: int, kind: int) -> None:
    """Go to a namespace; of PIDs, the next child does."""
    _check(_libc.setns(descriptor, kind), "setns")


def mount_tmpfs(path: str, flags: int, options: str) -> None:
    """An empty file system in memory."""
    _check(_libc.mount(b"tmpfs", path.encode(), b"tmpfs", ctypes.c_ulong(flags), options.encode()), f"tmpfs on {path}")


def bind_again(descriptor: int, path: str) -> None:
    """Show what a mount hides, with all that is mounted there; what was read-only stays so."""
    source = f"/proc/self/fd/{descriptor}".encode()
    _check(_libc.mount(source, path.encode(), None, ctypes.c_ulong(_MS_BIND | _MS_REC), None), f"bind to {path}")


def prctl(option: int, value: int) -> None:
    """Set something of this process."""
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def map_own_ids() -> None:
    """Be the same user and group in the new user namespace."""
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{os.getuid()} {os.getuid()} 1"),
        ("gid_map", f"{os.getgid()} {os.getgid()} 1"),
    ):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, content.encode())
        os.close(descriptor)


def drop_capabilities() -> None:
    """Have none, and never get any."""
    for capability in range(_CAPABILITIES):
        _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)  # refused for what does not exist, or has none to drop
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def load_filter(instructions: bytes) -> None:
    """A seccomp filter, for ever."""
    program = _Program(len(instructions) // 8, instructions)
    _call(_SECCOMP[platform.machine()], _SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(program), what="seccomp")


def landlock_version() -> int:
    """Which Landlock the kernel has."""
    return _call(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION, what="landlock")


def landlock_create(attributes: bytes) -> int:
    """A ruleset's descriptor."""
    return _call(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0, what="landlock_create_ruleset")


def landlock_add(ruleset: int, rule: bytes) -> None:
    """Allow something under a path."""
    _call(_LANDLOCK_ADD, ruleset, 1, rule, 0, what="landlock_add_rule")


def landlock_restrict(ruleset: int) -> None:
    """Hold this process to a ruleset, for ever."""
    _call(_LANDLOCK_RESTRICT, ruleset, 0, what="landlock_restrict_self")


def _call(number: int, *arguments: object, what: str) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments), what)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
