"""`vita`: one command with a verb for each thing to do."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from vita_runtime.errors import StartupError, VitaError

# Verb: its module, which has `add_arguments(parser)` and `run(arguments) -> exit status`, and a line of help.
VERBS = {
    "up": ("vita_cli.up", "run the whole stack here, until Ctrl-C"),
    "down": ("vita_cli.down", "stop the stack that `vita up` runs"),
    "talk": ("vita_cli.talk", "ask a running stack one question, aloud or written"),
    "replay": ("vita_cli.replay", "run a recorded turn again, and say where it first differs"),
    "demo": ("vita_cli.demo", "hold the shipped conversation about the shipped picture"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that the arguments name; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    top = argparse.ArgumentParser(prog="vita", description="Serve VITA-1.5, which hears, sees and answers aloud.")
    verbs = top.add_subparsers(required=True, metavar="VERB", dest="verb")
    for verb, (module, summary) in VERBS.items():
        parser = verbs.add_parser(verb, help=summary, description=summary)
        # Only what runs is imported: `vita up` supervises for days and has no use for a client's libraries.
        if given[:1] == [verb]:
            importlib.import_module(module).add_arguments(parser)
    parsed = top.parse_args(given)
    try:
        return importlib.import_module(VERBS[parsed.verb][0]).run(parsed)
    except (StartupError, VitaError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
