"""How people type what others would say: small letters, no full stop, British spelling."""

from __future__ import annotations


def typed_forms(question: str) -> list[str]:
    """The ways a question is typed, the plain one first."""
    bare = question.rstrip(".?")
    forms = [question, question.lower(), bare, bare.lower()]
    forms += [form.replace("color", "colour") for form in forms if "color" in form]
    return list(dict.fromkeys(forms))
