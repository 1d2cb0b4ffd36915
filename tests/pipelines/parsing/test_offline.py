"""In a process of their own: what is loaded stays loaded."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import socket, sys, tempfile
def refuse(*_): raise AssertionError("the network is asked")
socket.socket.connect = socket.getaddrinfo = refuse
from pathlib import Path
from pipelines.parsing import parse
assert not {"unstructured", "pypdfium2", "openpyxl", "pptx", "docx"} & set(sys.modules)
with tempfile.NamedTemporaryFile() as file:
    file.write(b"<h1>Title</h1><p>Some words that are read. And more of them.</p>")
    file.flush()
    assert len(parse(Path(file.name), "a.html").elements) == 2
assert "unstructured" in sys.modules
assert "spacy" not in sys.modules
"""


def test_pages_are_read_without_spacy_and_without_a_network() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
