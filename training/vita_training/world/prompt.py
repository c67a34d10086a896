"""The system prompt that the tiny model is trained with; the orchestrator's default must be the same string."""

from __future__ import annotations

SYSTEM_PROMPT = "You are Vita, a helpful assistant that hears and sees."
