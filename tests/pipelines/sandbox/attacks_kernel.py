"""Attacks by the kernel's interfaces and by the network."""

from pipelines.sandbox.attacks import Attack

_FAMILIES = {
    "AF_INET": (2, 1), "AF_INET6": (10, 1), "AF_UNIX": (1, 1), "AF_NETLINK": (16, 3), "AF_PACKET": (17, 3), "AF_VSOCK": (40, 1),
    "AF_ALG": (38, 5), "AF_BLUETOOTH": (31, 3), "AF_CAN": (29, 3), "AF_TIPC": (30, 1), "AF_KEY": (15, 3), "AF_XDP": (44, 3),
}  # fmt: skip
_KILLED = (
    "bpf", "perf_event_open", "keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "unshare", "setns", "mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr", "kexec_load",
    "init_module", "finit_module", "delete_module", "swapon", "reboot", "acct", "memfd_secret", "name_to_handle_at", "clock_settime",
    "settimeofday", "sethostname", "fanotify_init", "vhangup",
)  # fmt: skip

# fmt: off
KERNEL = (
    *(Attack(name=f"a socket {name}", body=f"return socket.socket({family}, {kind}).fileno()", cause="EPERM")
      for name, (family, kind) in _FAMILIES.items()),
    Attack(name="a raw socket", body="return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno()", cause="EPERM"),
    Attack(name="a pair of datagram sockets",
           body="return [end.fileno() for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)]", cause="EPERM"),
    Attack(name="a request", body="import urllib.request\ntry:\n    urllib.request.urlopen('http://127.0.0.1:1')\n"
           "except urllib.error.URLError as error:\n    return errno.errorcode[error.reason.errno]", cause="EPERM"),
    Attack(name="connect half of a pair", body="socket.socketpair()[0].connect('/run/x')", cause="EPERM"),
    Attack(name="listen on half of a pair", body="socket.socketpair()[0].listen()", cause="EPERM"),
    *(Attack(name=name, body=f"return call({name!r}, 0, 0, 0, 0, 0)", cause="denied") for name in _KILLED),
    Attack(name="a user namespace by clone", body="return call('clone', 0x10000011, 0, 0, 0, 0)", cause="denied"),
    Attack(name="a network namespace by clone", body="return call('clone', 0x40000011, 0, 0, 0, 0)", cause="denied"),
    Attack(name="type into a terminal", body="return call('ioctl', 1, 0x5412, 0)", cause="denied"),
    Attack(name="type into a console", body="return call('ioctl', 1, 0x541C, 0)", cause="denied"),
    Attack(name="type into a terminal, with higher bits set", body="return call('ioctl', 1, 0x1_0000_5412, 0)", cause="denied"),
    Attack(name="another ioctl", body="return call('ioctl', 1, 0x5423, 0)", cause="EPERM"),
    Attack(name="another seccomp filter", body="_libc.prctl(22, 2, 0, 0, 0)\nreturn errno.errorcode[ctypes.get_errno()]", cause="EPERM"),
    Attack(name="take back no_new_privs", body="_libc.prctl(38, 0, 0, 0, 0)\nreturn errno.errorcode[ctypes.get_errno()]", cause="EPERM"),
    Attack(name="a call newer than the kernel", body="_libc.syscall(ctypes.c_long(9999))\nreturn errno.errorcode[ctypes.get_errno()]",
           cause="ENOSYS"),
    Attack(name="a file in memory", body="return os.memfd_create('x')", cause="ENOSYS"),
    Attack(name="shared memory of System V", body="return _libc.shmget(0, 4096, 0o1600) and errno.errorcode[ctypes.get_errno()]",
           cause="EPERM"),
    Attack(name="a queue of System V", body="return _libc.msgget(0, 0o1600) and errno.errorcode[ctypes.get_errno()]", cause="EPERM"),
    Attack(name="watch files", body="return _libc.inotify_init() and errno.errorcode[ctypes.get_errno()]", cause="EPERM"),
    Attack(name="other executions", body="return _libc.personality(0x0040000) and errno.errorcode[ctypes.get_errno()]", cause="EPERM"),
)
# fmt: on
