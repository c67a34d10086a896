"""Turn markers are ChatML's."""

from __future__ import annotations

import pytest

from vita15.chat_template import ChatTemplate
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit


def test_a_prompt_reads_as_chatml(tokenizer: Tokenizer) -> None:
    ids = ChatTemplate(tokenizer).prompt([("system", "Be kind."), ("user", "Hi")])
    text = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert ids == tokenizer.encode(text, allow_special=True)


def test_an_answer_that_said_its_end_lacks_only_the_newline(tokenizer: Tokenizer) -> None:
    template = ChatTemplate(tokenizer)
    assert [tokenizer.im_end, *template.closing(is_end_said=True)] == template.closing()


@pytest.mark.parametrize(
    ("role", "name"), [("system", "system"), ("user", "user"), ("assistant", "assistant"), ("tool", "user")]
)
def test_every_role_opens_with_its_name_and_a_tool_with_the_users(tokenizer: Tokenizer, role: str, name: str) -> None:
    first, *rest = ChatTemplate(tokenizer).opening(role)
    assert (first, tokenizer.decode(rest)) == (tokenizer.im_start, f"{name}\n")


def test_an_unknown_role_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="developer"):
        ChatTemplate(tokenizer).opening("developer")


def test_what_is_handed_out_is_the_callers(tokenizer: Tokenizer) -> None:
    template = ChatTemplate(tokenizer)
    template.opening("user").clear()
    template.closing(is_end_said=True).clear()
    assert template.opening("user")
    assert template.closing(is_end_said=True)
