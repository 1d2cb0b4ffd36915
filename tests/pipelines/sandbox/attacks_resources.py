"""Attacks by taking too much, and by leaving something behind."""

from msgspec.structs import replace

from pipelines.sandbox.attacks import LIMITS, Attack

_SHORT = replace(LIMITS, seconds=0.5)
_PATIENT = replace(LIMITS, seconds=60)  # on a busy machine, a second of the processor takes many
_LITTLE_CPU = replace(_PATIENT, cpu_seconds=1)
_SMALL = replace(LIMITS, temporary_bytes=4 << 20, file_bytes=1 << 20)

# fmt: off
RESOURCES = (
    Attack(name="memory at once", body="return len(bytearray(4 << 30))", cause="memory_limit"),
    Attack(name="memory by and by", body="taken = []\nwhile True:\n    taken.append(bytearray(32 << 20))", cause="memory_limit",
           limits=replace(_PATIENT, cpu_seconds=10)),
    Attack(name="memory that is mapped", body="import mmap\nreturn [mmap.mmap(-1, 1 << 30) for _ in range(4)]", cause="ENOMEM"),
    Attack(name="a number without end", body="return 10 ** 10 ** 10", cause="cpu_limit", limits=_LITTLE_CPU),
    Attack(name="a loop without end", body="while True: pass", cause="cpu_limit", limits=_LITTLE_CPU),
    Attack(name="a loop that ignores signals",
           body="for number in (signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM): signal.signal(number, signal.SIG_IGN)\nwhile True: pass",
           cause="cpu_limit", limits=_LITTLE_CPU),
    Attack(name="a regular expression without end",
           body="import re\nreturn re.match('(a+)+$', 'a' * 60 + 'b')", cause="cpu_limit", limits=_LITTLE_CPU),
    Attack(name="a sleep without end", body="time.sleep(3600)", cause="time_limit", limits=_SHORT),
    Attack(name="a wait that catches everything",
           body="while True:\n    try:\n        time.sleep(3600)\n    except BaseException:\n        pass",
           cause="time_limit", limits=_SHORT),
    Attack(name="a lock that nobody frees", body="lock = threading.Lock()\nlock.acquire()\nlock.acquire()",
           cause="time_limit", limits=_SHORT),
    Attack(name="threads that never end",
           body="for _ in range(3): threading.Thread(target=time.sleep, args=(3600,)).start()\nreturn 'ended'", cause="ended"),
    Attack(name="output without end", body="while True: print('x' * 10_000)", cause="output_limit"),
    Attack(name="errors without end", body="while True: os.write(2, b'x' * 10_000)", cause="output_limit"),
    Attack(name="an answer without end", body="while True: os.write(3, b'x' * 10_000)", cause="output_limit"),
    Attack(name="a large result", body="return 'x' * 100_000", cause="output_limit"),
    Attack(name="a result that is deep",
           body="value = []\nfor _ in range(100_000): value = [value]\nreturn value", cause="not_serialisable"),
    Attack(name="a result that holds itself", body="value = []\nvalue.append(value)\nreturn value", cause="not_serialisable"),
    Attack(name="a recursion without end", body="def again(): return again()\nreturn again()", cause="RecursionError"),
    Attack(name="an exception that raises", body="class Evil(Exception):\n    def __str__(self): raise self\nraise Evil", cause="Evil"),
    Attack(name="descriptors without end",
           body="taken = []\nwhile True: taken.append(os.open('/dev/null', os.O_RDONLY))", cause="EMFILE"),
    Attack(name="pipes without end", body="taken = []\nwhile True: taken.append(os.pipe())", cause="EMFILE"),
    Attack(name="a large file", body="with open('/tmp/large', 'wb', 0) as file:\n    while True: file.write(bytes(65536))",
           cause="EFBIG", landlock="EACCES", limits=_SMALL),
    Attack(name="many files", body="for n in range(99):\n    with open(f'/tmp/many-{n}', 'wb', 0) as file: file.write(bytes(500_000))",
           cause="ENOSPC", landlock="EACCES", limits=_SMALL),
    Attack(name="many names", body="for n in range(99_999): os.mkdir(f'/tmp/many-{n}')", cause="ENOSPC", landlock="EPERM", limits=_SMALL),
    Attack(name="a core dump", body="import resource\nreturn resource.getrlimit(resource.RLIMIT_CORE)", cause=[0, 0]),
    Attack(name="a timer's signal", body="signal.alarm(1)\ntime.sleep(3600)", cause="time_limit", landlock="crashed"),
)
THREADS = Attack(
    name="threads without end",
    body="made = 1\ntry:\n    while made < 500:\n        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
         "        made += 1\nexcept RuntimeError:\n    return made\nreturn made",
    cause=32,
)
# fmt: on
