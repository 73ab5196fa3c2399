"""Ask about pictures and documents: from disk, from bytes and, where the provider fetches them, from the web."""

import argparse
import asyncio
import os
import struct
import sys
import zlib

from cogent import Agent, CogentError, File, Image, Model

PICTURES = (".gif", ".jpeg", ".jpg", ".png", ".webp")
BILL = b"""Bill 17, Cafe Nord
2 coffee    7.00
1 cake      4.50
total      11.50
"""


def picture() -> Image:
    """A red square of 64 by 64 pixels: what a program has in memory needs no file."""
    rows = (b"\0" + b"\xe0\x30\x30" * 64) * 64
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in parts.items():
        checksum = zlib.crc32(kind + body)
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
    return Image(data)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "files", nargs="*", help="paths or URLs; without any, a picture and a bill"
    )
    parser.add_argument("--question", default="What do you see, and what does it cost?")
    parser.add_argument("--model", default=os.environ.get("MODEL", "local"))
    arguments = parser.parse_args()

    parts: list[Image | File] = [
        Image(source) if source.lower().endswith(PICTURES) else File(source)
        for source in arguments.files
    ]
    is_embedded = arguments.model.startswith("local")
    if not parts:
        parts = [File(BILL, name="bill.txt")]
        if not is_embedded:  # which reads text alone
            parts.append(picture())

    # The embedded model is so small that it does not always find an end.
    model = Model(arguments.model, max_tokens=200 if is_embedded else None)
    agent = Agent(name="reader", model=model)
    async for chunk in agent.run_stream([arguments.question, *parts]):
        print(chunk.content, end="", flush=True)
    print(flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except CogentError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell expects after Ctrl-C
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has enough; Python must not try to write the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
