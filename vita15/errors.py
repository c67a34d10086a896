"""What can go wrong in the model; the process around it turns these into its own errors, by `reason`.

ModelError
├── BadPicture        not a picture, or larger than allowed
├── SpeechTooLong     an utterance ran past the end of the position table
└── CheckpointError   a manifest, or a file that it names, is not what it should be
"""

from __future__ import annotations


class ModelError(Exception):
    """An expected failure; `reason` is the name of a vita.conversation.v1.ErrorReason."""

    reason: str = "ERROR_REASON_INTERNAL"


class BadPicture(ModelError):
    """Bytes that are no picture, or a picture larger than allowed."""

    reason = "ERROR_REASON_BAD_MEDIA"


class SpeechTooLong(ModelError):
    """More speech in one utterance than the model has positions for."""

    reason = "ERROR_REASON_BAD_INPUT"


class CheckpointError(ModelError):
    """A checkpoint that must not be served; the message names the file and the field."""
