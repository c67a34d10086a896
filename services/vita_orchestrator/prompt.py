"""What the assistant is told about itself when a client says nothing else."""

from __future__ import annotations

# The tiny model is trained with exactly this string (training/vita_training/world/prompt.py); a test holds the two.
SYSTEM_PROMPT = "You are Vita, a helpful assistant that hears and sees."
