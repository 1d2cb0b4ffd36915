#!/usr/bin/env bash
# tokenizers 0.23.3: the "id" of an added token in tokenizer.json is not honoured where the token is not in the model's vocabulary.
#
# The guess: tokenizer.json lists each added token with its id, so a file that is read back gives every token the id that it names.
# What happens: tokens that the model's vocabulary lacks are numbered anew, from the size of the vocabulary on, in the order of the list;
# the ids in the file are dropped without a word. Only a file without gaps, in order, comes back as it was written.
# Seen: "<x>" with "id": 77 beside a vocabulary of two is token 2, and 77 is nothing.
# What it costs: whoever edits a tokenizer.json (takes a token out, adds one for a fine-tuned model whose embedding rows are fixed) gets
# other ids for the tokens behind it. Nothing fails: the model reads and writes the wrong rows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check tokenizers==0.23.3
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import json

from tokenizers import Tokenizer
from tokenizers.models import WordLevel

written = json.loads(Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a")).to_str())
plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
written["added_tokens"] = [{"id": 77, "content": "<x>", **plain}]
read = Tokenizer.from_str(json.dumps(written))
found = read.token_to_id("<x>")
print(f'"<x>" was written as 77 and read as {found}; 77 is {read.id_to_token(77)!r}')
assert found == 2 and read.id_to_token(77) is None, "this has changed: ids of added tokens are honoured now"
PY
