"""The orchestrator's own `main`, with the modelled components in its process: `python -m …in_process --costs x1`.

Everything but the five components is the same: gRPC to the client, Redis, metrics, settings from the environment.
"""

from __future__ import annotations

import argparse
from functools import partial

import vita_orchestrator.main as orchestrator
from vita_replay.modelled.costs import costs_of
from vita_replay.modelled.llm import LlmSettings

from vita_evaluation.plumbing.answers import EIGHT_SECONDS
from vita_evaluation.plumbing.local import local_connection


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--costs", type=costs_of, required=True)
    parser.add_argument("--answer", default=EIGHT_SECONDS)
    given = parser.parse_args()
    # One name is another; nothing else of the process differs from what is measured.
    instead = partial(local_connection, given.costs, LlmSettings(answers=(given.answer,)))
    setattr(orchestrator, "connect", instead)  # noqa: B010 - a module has no such attribute to a type checker
    orchestrator.main()


if __name__ == "__main__":
    main()
