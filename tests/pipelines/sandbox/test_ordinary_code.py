"""What an ordinary function does is not refused: one test a claim, on each kind of isolation."""

import pytest

from pipelines.sandbox.outcome import Isolation
from pipelines.sandbox.sandbox import Sandbox
from tests.pipelines.sandbox.calls import call, result

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANYWHERE = {
    "threads": "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool: list(pool.map(abs, range(9)))",
    "waiting for descriptors": "import os, select\nends = os.pipe()\nselect.select([ends[0]], [], [], 0.01)\nselect.poll().poll(1)",
    "a map of memory": "import mmap\nm = mmap.mmap(-1, 4096)\nm[0] = 1\nm.close()",
    "the machine": "import os, platform\nplatform.platform(), os.cpu_count(), os.sched_getaffinity(0), os.sysconf('SC_PHYS_PAGES')",
    "chance": "import os, secrets\nsecrets.token_hex(), open('/dev/urandom', 'rb').read(3)",
    "a context for TLS": "import ssl\nssl.create_default_context()",
    "a callback of C": "import ctypes\nctypes.CFUNCTYPE(None)(lambda: None)()",
    "a timer": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)",
    "its own use": "import os, resource\nresource.getrusage(0), os.times()",
    "compression": "import bz2, gzip, lzma, zlib\nlzma.compress(gzip.compress(bz2.compress(zlib.compress(b'x'))))",
    "linear algebra": "import numpy\na = numpy.random.rand(60, 60)\nnumpy.linalg.svd(a @ a), numpy.fft.fft(a)",
    "a schema": "import pydantic\nclass M(pydantic.BaseModel):\n    a: int\nM.model_json_schema()",
    "a request that is not let out": (
        "import requests\ntry: requests.get('http://127.0.0.1:1', timeout=1)\nexcept requests.ConnectionError as error: str(error)"
    ),
}
WITH_FILES = {
    "files": (
        "import os, pathlib, shutil, tempfile\n"
        "folder = pathlib.Path(tempfile.mkdtemp())\nfile = folder / 'a'\nfile.write_text('x')\nfile.chmod(0o600)\n"
        "shutil.copy2(file, folder / 'b')\nshutil.move(folder / 'b', folder / 'c')\nos.symlink('c', folder / 'l')\n"
        "os.link(file, folder / 'h')\nos.truncate(file, 0)\nassert len(list(folder.iterdir())) == 4\nshutil.rmtree(folder)"
    ),
    "an archive": "import zipfile\nwith zipfile.ZipFile('/tmp/z.zip', 'w') as archive: archive.writestr('a', 'x')",
    "a database": (
        "import sqlite3\nbase = sqlite3.connect('/tmp/base')\nbase.execute('pragma journal_mode = wal')\n"
        "base.execute('create table t (a)')\nbase.execute('insert into t values (1)')\nbase.commit()"
    ),
    "an array in a file": "import numpy\nnumpy.save('/tmp/a.npy', numpy.ones(3))\nassert numpy.load('/tmp/a.npy').sum() == 3",
}


async def run(sandbox: Sandbox, body: str) -> object:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return result(await call(sandbox, f"def f():\n{lines}"))


@pytest.mark.parametrize("name", ANYWHERE)
async def test_code_that_needs_no_file_is_run(sandbox: Sandbox, name: str) -> None:
    assert await run(sandbox, ANYWHERE[name]) is None


@pytest.mark.parametrize("name", WITH_FILES)
async def test_code_that_needs_files_has_a_folder_of_its_own(sandbox: Sandbox, name: str) -> None:
    if sandbox.isolation == Isolation.LANDLOCK:
        pytest.skip("by Landlock alone, nothing may be written")
    assert await run(sandbox, WITH_FILES[name]) is None
