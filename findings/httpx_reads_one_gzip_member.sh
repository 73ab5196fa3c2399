#!/usr/bin/env bash
# RFC 1952 lets a gzip file have several members, which together are its content: Python's gzip module reads all of them.
# httpx and httpx2 read the first, drop the others without a word, and the answer looks whole.
source "$(dirname "$0")/support/setup.sh"
install httpx==0.28.1 httpx2==2.16.2
python <<'PYTHON'
import gzip

import httpx
import httpx2
from canned import report

body = gzip.compress(b"first, ") + gzip.compress(b"second")
headers = {"content-encoding": "gzip"}
seen = {"gzip": gzip.decompress(body).decode()}
for library in (httpx, httpx2):
    seen[library.__name__] = library.Response(200, headers=headers, content=body).text

described = {"gzip": "first, second", "httpx": "first, ", "httpx2": "first, "}
report("the text of a body of two gzip members", seen, described)
PYTHON
