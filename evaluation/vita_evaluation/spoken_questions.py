"""How many spoken questions about pictures are answered rightly.

`python -m vita_evaluation.spoken_questions` asks the engines themselves; with `--url http://127.0.0.1:PORT` it asks a
running stack through its public API. The exit status is 0 if at least `--least` of the answers are right.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from vita_training.world.prompt import SYSTEM_PROMPT

from vita_evaluation import offline
from vita_evaluation.content import says_the_same
from vita_evaluation.offline import Assistant, Script
from vita_evaluation.question_set import HELD_OUT, SpokenQuestion, load_questions

REQUEST_DEADLINE_S = 60

Ask = Callable[[SpokenQuestion], str]


@contextmanager
def ask_offline(checkpoint: Path) -> Iterator[Ask]:
    """Ask each question of the engines, each in a new conversation; noise is written as "(noise)"."""
    assistant = Assistant(checkpoint, together=1)

    def script(question: SpokenQuestion) -> Script[offline.Answer]:
        pictures = [assistant.see(question.picture.read_bytes())] if question.picture else []
        yield from offline.say("system", SYSTEM_PROMPT)
        yield from offline.ask(pictures=pictures, speech=assistant.hear(offline.read_wav(question.wav)))
        return (yield from offline.answer(("speech", "noise")))

    def ask(question: SpokenQuestion) -> str:
        (said,) = assistant.hold([script(question)])
        return "(noise)" if said.state == "noise" else said.text

    yield ask


@contextmanager
def ask_stack(url: str, key: str) -> Iterator[Ask]:
    """Ask each question by `POST /v1/chat/completions`, on one connection that ends with the block."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(question: SpokenQuestion) -> str:
        sound = base64.b64encode(question.wav.read_bytes()).decode()
        content: list[dict[str, object]] = []
        if question.picture:
            picture = base64.b64encode(question.picture.read_bytes()).decode()
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}})
        content.append({"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}})
        body = {"model": "vita-tiny", "messages": [{"role": "user", "content": content}]}
        response = client.post("/v1/chat/completions", json=body)
        response.raise_for_status()
        return response.json()["choices"][0]["message"]["content"] or "(noise)"

    with httpx.Client(base_url=url, timeout=REQUEST_DEADLINE_S, headers=headers) as client:
        yield ask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", type=Path, default=HELD_OUT)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/tiny"))
    parser.add_argument("--url", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--least", type=float, default=0.5)
    options = parser.parse_args()
    asking = ask_stack(options.url, options.key) if options.url else ask_offline(options.checkpoint)
    questions, right = load_questions(options.set), 0
    with asking as ask:
        for question in questions:
            said = ask(question)
            right += says_the_same(question.expected, said)
            mark = "right" if says_the_same(question.expected, said) else "WRONG"
            print(f"{mark}  {question.text}  →  {said}" + ("" if mark == "right" else f"  (not: {question.expected})"))
    print(json.dumps({"set": options.set.name, "questions": len(questions), "right": right}))
    raise SystemExit(0 if right >= options.least * len(questions) else 1)


if __name__ == "__main__":
    main()
