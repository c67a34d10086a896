"""`vita`: one command with a verb for each thing to do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from vita_runtime.errors import StartupError, VitaError

from vita_cli import up

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that the arguments name; return the exit status."""
    parsed = parser().parse_args(arguments)
    command: Command = parsed.command
    try:
        return command(parsed)
    except (StartupError, VitaError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    top = argparse.ArgumentParser(prog="vita", description="Serve VITA-1.5, which hears, sees and answers aloud.")
    verbs = top.add_subparsers(required=True, metavar="VERB")
    up.add_verbs(verbs)
    return top


if __name__ == "__main__":
    sys.exit(main())
