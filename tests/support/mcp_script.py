"""A program that answers as an MCP server with what it is given: `python mcp_script.py JSON`.

The JSON is `{"pages": [[tool, ...], ...], "results": {name: result}, "banner": text}`; `"hang": name` is a tool that
never answers and after which nothing else does.
"""

import json
import sys
import time
from typing import Any

script = json.loads(sys.argv[1])
pages = script["pages"]


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of a request."""
    if method == "initialize":
        version = params["protocolVersion"]
        return {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "script", "version": "1"},
        }
    if method == "tools/list":
        page = int(params.get("cursor") or 0)
        more = {"nextCursor": str(page + 1)} if page + 1 < len(pages) else {}
        return {"tools": pages[page], **more}
    if params["name"] == script.get("hang"):
        time.sleep(600)
    return script["results"][params["name"]]


if "banner" in script:
    print(script["banner"], flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
    if request["method"] in ("initialize", "tools/list", "tools/call"):
        reply["result"] = answer(request["method"], request.get("params") or {})
    else:
        reply["error"] = {"code": -32601, "message": "Method not found"}
    print(json.dumps(reply), flush=True)
