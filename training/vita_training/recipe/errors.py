"""What an operator can mend: the commands print its one line and stop."""

from __future__ import annotations


class RecipeError(ValueError):
    """What was asked for cannot be taught or written, or what it names cannot be read; what was saved stays."""
