"""Attacks on the host's files, environment and identity."""

from pipelines.sandbox.attacks import Attack

READ_ONLY = ("EROFS", "EACCES")  # the first where the library is of the user who runs the sandbox

# fmt: off
FILES = (
    Attack(name="read /etc/passwd", body="return open('/etc/passwd').read()", cause="ENOENT", landlock="EACCES"),
    Attack(name="read /etc/shadow", body="return open('/etc/shadow').read()", cause="ENOENT", landlock="EACCES"),
    Attack(name="list the kernels", body="return os.listdir('/boot')", cause="ENOENT", landlock="EACCES"),
    Attack(name="list /home", body="return os.listdir('/home')", cause="ENOENT", landlock="EACCES"),
    Attack(name="list /etc", body="return [name for name in os.listdir('/etc') if name != 'ld.so.cache']", cause=[], landlock="EACCES"),
    Attack(name="list /var", body="return os.listdir('/var')", cause="ENOENT", landlock="EACCES"),
    Attack(name="list /sys", body="return os.listdir('/sys')", cause="ENOENT", landlock="EACCES"),
    Attack(name="list /run", body="return os.listdir('/run')", cause="ENOENT", landlock="EACCES"),
    Attack(name="read kernel log", body="return open('/dev/kmsg').read(1)", cause="ENOENT", landlock="EACCES"),
    Attack(name="read kernel memory", body="return open('/dev/mem').read(1)", cause="ENOENT", landlock=("EACCES", "ENOENT")),
    Attack(name="open a disk", body="return os.open('/dev/sda', os.O_RDONLY)", cause="ENOENT"),
    Attack(name="open a terminal", body="return os.open('/dev/tty', os.O_RDWR)", cause="ENOENT", landlock="EACCES"),
    Attack(name="shared memory", body="return os.open('/dev/shm/x', os.O_CREAT | os.O_RDWR)", cause="ENOENT", landlock="EACCES"),
    Attack(name="write beside the root", body="return os.open('/x', os.O_CREAT | os.O_WRONLY)", cause="EROFS", landlock="EACCES"),
    Attack(name="write into the library",
           body="return os.open(os.__file__, os.O_WRONLY)", cause=READ_ONLY, landlock="EACCES"),
    Attack(name="put a module beside the library",
           body="return os.open(os.path.dirname(os.__file__) + '/evil.py', os.O_CREAT | os.O_WRONLY)", cause="EROFS", landlock="EACCES"),
    Attack(name="truncate the library", body="return os.truncate(os.__file__, 0)", cause=READ_ONLY, landlock="EPERM"),
    Attack(name="change a mode", body="return os.chmod(os.__file__, 0o777)", cause="EROFS", landlock="EPERM"),
    Attack(name="set the user id bit", body="return os.chmod(sys.executable, 0o4755)", cause="EROFS", landlock="EPERM"),
    Attack(name="change an owner", body="return os.chown(os.__file__, 0, 0)", cause="EPERM"),
    Attack(name="change a time", body="return os.utime(os.__file__)", cause="EROFS", landlock="EPERM"),
    Attack(name="delete the library", body="return os.unlink(os.__file__)", cause="EROFS", landlock="EPERM"),
    Attack(name="rename a folder", body="return os.rename('/usr/lib', '/usr/x')", cause="EROFS", landlock="EPERM"),
    Attack(name="a device of its own", body="return os.mknod('/tmp/x', 0o60600, 0)", cause="EPERM"),
    Attack(name="an extended attribute", body="return os.setxattr(os.__file__, 'user.x', b'1')", cause="EPERM"),
    Attack(name="a symbolic link to a file of the host",
           body="os.symlink('/etc/passwd', '/tmp/link'); return open('/tmp/link').read()", cause="ENOENT", landlock="EPERM"),
    Attack(name="a way up", body="return open('/tmp/' + '../' * 30 + 'etc/passwd').read()", cause="ENOENT", landlock="EACCES"),
    Attack(name="a hard link to the library", body="return os.link(os.__file__, '/tmp/x')", cause="EXDEV", landlock="EPERM"),
    Attack(name="a file by its handle", body="return call('open_by_handle_at', 0, 0, 0)", cause="denied"),
    Attack(name="leave by chroot", body="return os.chroot('/tmp')", cause="denied"),
    Attack(name="the way out by a descriptor",
           body="return [fd for fd in range(4, 2048) if not call('fcntl', fd, 1, 0) == 'EBADF']", cause=[]),
    Attack(name="more descriptors than its own", body="return os.fstat(4)", cause="EBADF"),
    Attack(name="the environment", body="return sorted(set(os.environ) - {'PWD'})",
           cause=["HOME", "LANG", "MALLOC_ARENA_MAX",
                  "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH", "TZ"]),
    Attack(name="be root", body="return os.setuid(0)", cause="EPERM"),
    Attack(name="capabilities",
           body="data = (ctypes.c_uint32 * 6)()\n"
                "_libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), data)\nreturn sum(data)", cause=0),
    Attack(name="get a capability",
           body="data = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)\n"
                "_libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), data)\nreturn errno.errorcode[ctypes.get_errno()]", cause="EPERM"),
)
# fmt: on
