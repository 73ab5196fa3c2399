"""Many prompts at once, with a bar, and one line of JSON for each: `python examples/batch.py [COUNT] > answers.jsonl`.

MODEL names the model, by default the embedded one. Ctrl-C keeps what is done.
"""

import json
import os
import sys

from cogent import Agent, CogentError, Model

WORDS = ["river", "mountain", "city", "animal", "tree", "fish", "bird", "planet"]


def main() -> None:
    """Ask for words, and print each answer as it comes."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    model = Model(os.environ.get("MODEL", "local"), max_tokens=24)
    agent = Agent(name="batch", model=model, instructions="Answer in a few words.")
    prompts = [
        f"Name a {WORDS[number % len(WORDS)]}. This is question {number}."
        for number in range(count)
    ]
    try:
        for index, result in agent.run_many_sync(prompts, concurrency=4, progress=True):
            if isinstance(result, CogentError):
                print(json.dumps({"index": index, "error": str(result)}), flush=True)
            else:
                print(json.dumps({"index": index, "text": str(result)}), flush=True)
    except KeyboardInterrupt:
        sys.exit("stopped; what was printed is done")


if __name__ == "__main__":
    try:
        main()
    except CogentError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has enough; Python must not try to write the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
