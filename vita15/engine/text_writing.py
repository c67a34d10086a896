"""What is appended as words, in tokens: plain text, tools and their calls, and the state mark of a replayed answer."""

from __future__ import annotations

from vita15.chat_template import ChatTemplate
from vita15.engine.errors import BadRequest
from vita15.engine.text_context import TextContext
from vita15.engine.text_protocol import AppendCall, AppendText
from vita15.tokenizer import Tokenizer
from vita15.tool_format import call_text, response_text, system_text


class Writer:
    """Writes into contexts, in one vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.template = ChatTemplate(tokenizer)
        self._tokenizer = tokenizer

    def append_text(self, context: TextContext, operation: AppendText) -> None:
        """Add words to the turn of their role; in the role "tool" each operation is one tool's answer.

        Raises:
            ContextFull: they do not fit; nothing was added.
            BadRequest: no such role or state, tools outside the system turn or for a model without; nothing was added.
        """
        text = operation.text
        if operation.tools:
            if operation.role != "system":
                raise BadRequest(f"tools: in the role {operation.role!r}; only the system turn offers them")
            check_calls(self._tokenizer)
            text = system_text(text, operation.tools)
        elif operation.role == "tool":
            text = "\n" * (context.role == "tool") + response_text(text)
        mark = self._state_token(context, operation.state) if operation.role == "assistant" else None
        context.append(operation.role, self._tokenizer.encode(text), state_token=mark)

    def append_call(self, context: TextContext, operation: AppendCall) -> None:
        """Add a call to the assistant's turn. Raises likewise."""
        check_calls(self._tokenizer)
        text = "\n" * (context.role == "assistant" and context.has_words) + call_text(operation.call)
        mark = self._state_token(context)
        context.append("assistant", self._tokenizer.encode_answer(text), state_token=mark)

    def _state_token(self, context: TextContext, state: str = "") -> int:
        ids = self._tokenizer.state_ids
        state = state or ("speech" if context.is_after_speech else "text")
        if state not in ids:
            raise BadRequest(f"state: {state!r} is none of {', '.join(ids)}")
        return ids[state]


def check_calls(tokenizer: Tokenizer) -> tuple[int, int]:
    """Return the ids of the marks of a call. Raises BadRequest: the vocabulary has none."""
    if tokenizer.call_ids is None:
        raise BadRequest("tools: this model was trained without; its vocabulary lacks the marks of a call")
    return tokenizer.call_ids
