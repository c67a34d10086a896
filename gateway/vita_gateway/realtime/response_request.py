"""`response.create` as the conversation is asked for it, and as its response will be shown when it begins."""

from __future__ import annotations

from dataclasses import dataclass

from vita.conversation.v1 import conversation_service_pb2 as wire

from vita_gateway.openai_errors import ApiError
from vita_gateway.realtime.client_events import ResponseOptions
from vita_gateway.realtime.configuration import SessionConfiguration, tool_choice
from vita_gateway.realtime.server_events import REQUEST_KEY
from vita_gateway.tools import call_limit, wire_tools


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a `response.create` asked for, for when its response begins."""

    is_spoken: bool
    max_output_tokens: int | str
    is_out_of_band: bool


def response_request(
    options: ResponseOptions, session: SessionConfiguration, number: str
) -> tuple[Wanted, wire.CreateResponse]:
    """Return what is wanted and how the conversation is asked; `number` comes back with the response.

    Raises:
        ApiError: the options ask for what there is not.
    """
    if options.input:
        message = "response.input is not supported: create the items in the conversation"
        raise ApiError(message, code="unsupported_parameter", param="response.input")
    modalities = options.output_modalities or options.modalities
    is_spoken = "audio" in modalities if modalities else session.is_spoken
    limit = options.max_output_tokens or session.max_output_tokens
    wanted = Wanted(is_spoken, limit, is_out_of_band=options.conversation == "none")
    create = wire.CreateResponse(
        configuration=wire.SessionConfiguration(
            instructions=options.instructions,
            modality=wire.MODALITY_AUDIO if is_spoken else wire.MODALITY_TEXT,
            max_output_tokens=limit if isinstance(limit, int) else None,
            temperature=options.temperature,
            seed=options.seed,
            tools=None if options.tools is None else wire_tools(options.tools),
            tool_choice=None if options.tool_choice is None else tool_choice(options.tool_choice),
            max_tool_call_count=call_limit(options.parallel_tool_calls),
        ),
        metadata={**(options.metadata or {}), REQUEST_KEY: number},
        is_out_of_band=wanted.is_out_of_band,
    )
    return wanted, create
