from google.rpc import status_pb2 as _status_pb2
from vita.conversation.v1 import item_pb2 as _item_pb2
from vita.media.v1 import media_pb2 as _media_pb2
from vita.recording.v1 import recording_pb2 as _recording_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Modality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODALITY_UNSPECIFIED: _ClassVar[Modality]
    MODALITY_TEXT: _ClassVar[Modality]
    MODALITY_AUDIO: _ClassVar[Modality]

class ToolUse(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_USE_UNSPECIFIED: _ClassVar[ToolUse]
    TOOL_USE_AUTO: _ClassVar[ToolUse]
    TOOL_USE_NONE: _ClassVar[ToolUse]
    TOOL_USE_REQUIRED: _ClassVar[ToolUse]

class QueryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUERY_STATE_UNSPECIFIED: _ClassVar[QueryState]
    QUERY_STATE_SPEECH: _ClassVar[QueryState]
    QUERY_STATE_TEXT: _ClassVar[QueryState]
    QUERY_STATE_NOISE: _ClassVar[QueryState]

class ResponseOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESPONSE_OUTCOME_UNSPECIFIED: _ClassVar[ResponseOutcome]
    RESPONSE_OUTCOME_COMPLETED: _ClassVar[ResponseOutcome]
    RESPONSE_OUTCOME_INTERRUPTED: _ClassVar[ResponseOutcome]
    RESPONSE_OUTCOME_CANCELLED: _ClassVar[ResponseOutcome]
    RESPONSE_OUTCOME_IGNORED: _ClassVar[ResponseOutcome]
    RESPONSE_OUTCOME_LENGTH: _ClassVar[ResponseOutcome]
    RESPONSE_OUTCOME_FAILED: _ClassVar[ResponseOutcome]
MODALITY_UNSPECIFIED: Modality
MODALITY_TEXT: Modality
MODALITY_AUDIO: Modality
TOOL_USE_UNSPECIFIED: ToolUse
TOOL_USE_AUTO: ToolUse
TOOL_USE_NONE: ToolUse
TOOL_USE_REQUIRED: ToolUse
QUERY_STATE_UNSPECIFIED: QueryState
QUERY_STATE_SPEECH: QueryState
QUERY_STATE_TEXT: QueryState
QUERY_STATE_NOISE: QueryState
RESPONSE_OUTCOME_UNSPECIFIED: ResponseOutcome
RESPONSE_OUTCOME_COMPLETED: ResponseOutcome
RESPONSE_OUTCOME_INTERRUPTED: ResponseOutcome
RESPONSE_OUTCOME_CANCELLED: ResponseOutcome
RESPONSE_OUTCOME_IGNORED: ResponseOutcome
RESPONSE_OUTCOME_LENGTH: ResponseOutcome
RESPONSE_OUTCOME_FAILED: ResponseOutcome

class ConverseRequest(_message.Message):
    __slots__ = ("open", "audio", "image", "interrupt", "configure", "commit_audio", "clear_audio", "create_item", "delete_item", "retrieve_item", "truncate_item", "create_response", "report_playback", "client_records", "client_event_id")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    INTERRUPT_FIELD_NUMBER: _ClassVar[int]
    CONFIGURE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_AUDIO_FIELD_NUMBER: _ClassVar[int]
    CLEAR_AUDIO_FIELD_NUMBER: _ClassVar[int]
    CREATE_ITEM_FIELD_NUMBER: _ClassVar[int]
    DELETE_ITEM_FIELD_NUMBER: _ClassVar[int]
    RETRIEVE_ITEM_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_ITEM_FIELD_NUMBER: _ClassVar[int]
    CREATE_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REPORT_PLAYBACK_FIELD_NUMBER: _ClassVar[int]
    CLIENT_RECORDS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    open: Open
    audio: _media_pb2.AudioChunk
    image: _media_pb2.ImageFrame
    interrupt: Interrupt
    configure: Configure
    commit_audio: CommitAudio
    clear_audio: ClearAudio
    create_item: CreateItem
    delete_item: DeleteItem
    retrieve_item: RetrieveItem
    truncate_item: TruncateItem
    create_response: CreateResponse
    report_playback: ReportPlayback
    client_records: ClientRecords
    client_event_id: str
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., audio: _Optional[_Union[_media_pb2.AudioChunk, _Mapping]] = ..., image: _Optional[_Union[_media_pb2.ImageFrame, _Mapping]] = ..., interrupt: _Optional[_Union[Interrupt, _Mapping]] = ..., configure: _Optional[_Union[Configure, _Mapping]] = ..., commit_audio: _Optional[_Union[CommitAudio, _Mapping]] = ..., clear_audio: _Optional[_Union[ClearAudio, _Mapping]] = ..., create_item: _Optional[_Union[CreateItem, _Mapping]] = ..., delete_item: _Optional[_Union[DeleteItem, _Mapping]] = ..., retrieve_item: _Optional[_Union[RetrieveItem, _Mapping]] = ..., truncate_item: _Optional[_Union[TruncateItem, _Mapping]] = ..., create_response: _Optional[_Union[CreateResponse, _Mapping]] = ..., report_playback: _Optional[_Union[ReportPlayback, _Mapping]] = ..., client_records: _Optional[_Union[ClientRecords, _Mapping]] = ..., client_event_id: _Optional[str] = ...) -> None: ...

class ConverseResponse(_message.Message):
    __slots__ = ("sequence_number", "turn_id", "opened", "text_delta", "answer_audio", "configured", "speech_started", "speech_stopped", "audio_committed", "audio_cleared", "item_added", "item_deleted", "item_retrieved", "item_truncated", "response_started", "query_judged", "response_done", "output_held", "output_released", "failure", "session_ending", "tool_called")
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    ANSWER_AUDIO_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    SPEECH_STARTED_FIELD_NUMBER: _ClassVar[int]
    SPEECH_STOPPED_FIELD_NUMBER: _ClassVar[int]
    AUDIO_COMMITTED_FIELD_NUMBER: _ClassVar[int]
    AUDIO_CLEARED_FIELD_NUMBER: _ClassVar[int]
    ITEM_ADDED_FIELD_NUMBER: _ClassVar[int]
    ITEM_DELETED_FIELD_NUMBER: _ClassVar[int]
    ITEM_RETRIEVED_FIELD_NUMBER: _ClassVar[int]
    ITEM_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_STARTED_FIELD_NUMBER: _ClassVar[int]
    QUERY_JUDGED_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_DONE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_HELD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_RELEASED_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ENDING_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLED_FIELD_NUMBER: _ClassVar[int]
    sequence_number: int
    turn_id: str
    opened: Opened
    text_delta: TextDelta
    answer_audio: AnswerAudio
    configured: Configured
    speech_started: SpeechStarted
    speech_stopped: SpeechStopped
    audio_committed: AudioCommitted
    audio_cleared: AudioCleared
    item_added: ItemAdded
    item_deleted: ItemDeleted
    item_retrieved: ItemRetrieved
    item_truncated: ItemTruncated
    response_started: ResponseStarted
    query_judged: QueryJudged
    response_done: ResponseDone
    output_held: OutputHeld
    output_released: OutputReleased
    failure: Failure
    session_ending: SessionEnding
    tool_called: ToolCalled
    def __init__(self, sequence_number: _Optional[int] = ..., turn_id: _Optional[str] = ..., opened: _Optional[_Union[Opened, _Mapping]] = ..., text_delta: _Optional[_Union[TextDelta, _Mapping]] = ..., answer_audio: _Optional[_Union[AnswerAudio, _Mapping]] = ..., configured: _Optional[_Union[Configured, _Mapping]] = ..., speech_started: _Optional[_Union[SpeechStarted, _Mapping]] = ..., speech_stopped: _Optional[_Union[SpeechStopped, _Mapping]] = ..., audio_committed: _Optional[_Union[AudioCommitted, _Mapping]] = ..., audio_cleared: _Optional[_Union[AudioCleared, _Mapping]] = ..., item_added: _Optional[_Union[ItemAdded, _Mapping]] = ..., item_deleted: _Optional[_Union[ItemDeleted, _Mapping]] = ..., item_retrieved: _Optional[_Union[ItemRetrieved, _Mapping]] = ..., item_truncated: _Optional[_Union[ItemTruncated, _Mapping]] = ..., response_started: _Optional[_Union[ResponseStarted, _Mapping]] = ..., query_judged: _Optional[_Union[QueryJudged, _Mapping]] = ..., response_done: _Optional[_Union[ResponseDone, _Mapping]] = ..., output_held: _Optional[_Union[OutputHeld, _Mapping]] = ..., output_released: _Optional[_Union[OutputReleased, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., session_ending: _Optional[_Union[SessionEnding, _Mapping]] = ..., tool_called: _Optional[_Union[ToolCalled, _Mapping]] = ...) -> None: ...

class TurnDetection(_message.Message):
    __slots__ = ("is_enabled", "threshold", "prefix_padding_ms", "silence_duration_ms", "is_response_created", "is_response_interrupted", "unfinished_silence_duration_ms")
    IS_ENABLED_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PREFIX_PADDING_MS_FIELD_NUMBER: _ClassVar[int]
    SILENCE_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    IS_RESPONSE_CREATED_FIELD_NUMBER: _ClassVar[int]
    IS_RESPONSE_INTERRUPTED_FIELD_NUMBER: _ClassVar[int]
    UNFINISHED_SILENCE_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    is_enabled: bool
    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    is_response_created: bool
    is_response_interrupted: bool
    unfinished_silence_duration_ms: int
    def __init__(self, is_enabled: _Optional[bool] = ..., threshold: _Optional[float] = ..., prefix_padding_ms: _Optional[int] = ..., silence_duration_ms: _Optional[int] = ..., is_response_created: _Optional[bool] = ..., is_response_interrupted: _Optional[bool] = ..., unfinished_silence_duration_ms: _Optional[int] = ...) -> None: ...

class Tool(_message.Message):
    __slots__ = ("name", "description", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    parameters: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., parameters: _Optional[str] = ...) -> None: ...

class Tools(_message.Message):
    __slots__ = ("tools",)
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedCompositeFieldContainer[Tool]
    def __init__(self, tools: _Optional[_Iterable[_Union[Tool, _Mapping]]] = ...) -> None: ...

class ToolChoice(_message.Message):
    __slots__ = ("use", "tool_name")
    USE_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    use: ToolUse
    tool_name: str
    def __init__(self, use: _Optional[_Union[ToolUse, str]] = ..., tool_name: _Optional[str] = ...) -> None: ...

class SessionConfiguration(_message.Message):
    __slots__ = ("instructions", "modality", "turn_detection", "max_output_tokens", "temperature", "seed", "max_tile_count", "is_paced", "tools", "tool_choice", "max_tool_call_count")
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    TURN_DETECTION_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_TILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    IS_PACED_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOOL_CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    instructions: str
    modality: Modality
    turn_detection: TurnDetection
    max_output_tokens: int
    temperature: float
    seed: int
    max_tile_count: int
    is_paced: bool
    tools: Tools
    tool_choice: ToolChoice
    max_tool_call_count: int
    def __init__(self, instructions: _Optional[str] = ..., modality: _Optional[_Union[Modality, str]] = ..., turn_detection: _Optional[_Union[TurnDetection, _Mapping]] = ..., max_output_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., seed: _Optional[int] = ..., max_tile_count: _Optional[int] = ..., is_paced: _Optional[bool] = ..., tools: _Optional[_Union[Tools, _Mapping]] = ..., tool_choice: _Optional[_Union[ToolChoice, _Mapping]] = ..., max_tool_call_count: _Optional[int] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("session_id", "tenant_id", "configuration", "is_ephemeral", "recording")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    IS_EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    tenant_id: str
    configuration: SessionConfiguration
    is_ephemeral: bool
    recording: _recording_pb2.Form
    def __init__(self, session_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., configuration: _Optional[_Union[SessionConfiguration, _Mapping]] = ..., is_ephemeral: _Optional[bool] = ..., recording: _Optional[_Union[_recording_pb2.Form, str]] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("session_id", "is_resumed", "configuration", "recording")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    IS_RESUMED_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    is_resumed: bool
    configuration: SessionConfiguration
    recording: _recording_pb2.Form
    def __init__(self, session_id: _Optional[str] = ..., is_resumed: _Optional[bool] = ..., configuration: _Optional[_Union[SessionConfiguration, _Mapping]] = ..., recording: _Optional[_Union[_recording_pb2.Form, str]] = ...) -> None: ...

class Configure(_message.Message):
    __slots__ = ("configuration",)
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    configuration: SessionConfiguration
    def __init__(self, configuration: _Optional[_Union[SessionConfiguration, _Mapping]] = ...) -> None: ...

class Configured(_message.Message):
    __slots__ = ("configuration",)
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    configuration: SessionConfiguration
    def __init__(self, configuration: _Optional[_Union[SessionConfiguration, _Mapping]] = ...) -> None: ...

class Interrupt(_message.Message):
    __slots__ = ("response_id",)
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    def __init__(self, response_id: _Optional[str] = ...) -> None: ...

class CommitAudio(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClearAudio(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateItem(_message.Message):
    __slots__ = ("item", "previous_item_id")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item: _item_pb2.Item
    previous_item_id: str
    def __init__(self, item: _Optional[_Union[_item_pb2.Item, _Mapping]] = ..., previous_item_id: _Optional[str] = ...) -> None: ...

class DeleteItem(_message.Message):
    __slots__ = ("item_id",)
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    def __init__(self, item_id: _Optional[str] = ...) -> None: ...

class RetrieveItem(_message.Message):
    __slots__ = ("item_id",)
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    def __init__(self, item_id: _Optional[str] = ...) -> None: ...

class TruncateItem(_message.Message):
    __slots__ = ("item_id", "audio_end_ms")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_END_MS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    audio_end_ms: int
    def __init__(self, item_id: _Optional[str] = ..., audio_end_ms: _Optional[int] = ...) -> None: ...

class CreateResponse(_message.Message):
    __slots__ = ("configuration", "metadata", "is_out_of_band")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    IS_OUT_OF_BAND_FIELD_NUMBER: _ClassVar[int]
    configuration: SessionConfiguration
    metadata: _containers.ScalarMap[str, str]
    is_out_of_band: bool
    def __init__(self, configuration: _Optional[_Union[SessionConfiguration, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., is_out_of_band: _Optional[bool] = ...) -> None: ...

class ReportPlayback(_message.Message):
    __slots__ = ("response_id", "played_ms")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    PLAYED_MS_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    played_ms: int
    def __init__(self, response_id: _Optional[str] = ..., played_ms: _Optional[int] = ...) -> None: ...

class ClientRecords(_message.Message):
    __slots__ = ("records", "sent_ns", "response_id")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SENT_NS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_recording_pb2.Record]
    sent_ns: int
    response_id: str
    def __init__(self, records: _Optional[_Iterable[_Union[_recording_pb2.Record, _Mapping]]] = ..., sent_ns: _Optional[int] = ..., response_id: _Optional[str] = ...) -> None: ...

class SpeechStarted(_message.Message):
    __slots__ = ("item_id", "audio_start_ms")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_START_MS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    audio_start_ms: int
    def __init__(self, item_id: _Optional[str] = ..., audio_start_ms: _Optional[int] = ...) -> None: ...

class SpeechStopped(_message.Message):
    __slots__ = ("item_id", "audio_end_ms")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_END_MS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    audio_end_ms: int
    def __init__(self, item_id: _Optional[str] = ..., audio_end_ms: _Optional[int] = ...) -> None: ...

class AudioCommitted(_message.Message):
    __slots__ = ("item_id", "previous_item_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    previous_item_id: str
    def __init__(self, item_id: _Optional[str] = ..., previous_item_id: _Optional[str] = ...) -> None: ...

class AudioCleared(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ItemAdded(_message.Message):
    __slots__ = ("item", "previous_item_id")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item: _item_pb2.Item
    previous_item_id: str
    def __init__(self, item: _Optional[_Union[_item_pb2.Item, _Mapping]] = ..., previous_item_id: _Optional[str] = ...) -> None: ...

class ItemDeleted(_message.Message):
    __slots__ = ("item_id",)
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    def __init__(self, item_id: _Optional[str] = ...) -> None: ...

class ItemRetrieved(_message.Message):
    __slots__ = ("item",)
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item: _item_pb2.Item
    def __init__(self, item: _Optional[_Union[_item_pb2.Item, _Mapping]] = ...) -> None: ...

class ItemTruncated(_message.Message):
    __slots__ = ("item_id", "audio_end_ms", "text")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_END_MS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    audio_end_ms: int
    text: str
    def __init__(self, item_id: _Optional[str] = ..., audio_end_ms: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class ResponseStarted(_message.Message):
    __slots__ = ("response_id", "item_id", "metadata", "generation")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    item_id: str
    metadata: _containers.ScalarMap[str, str]
    generation: int
    def __init__(self, response_id: _Optional[str] = ..., item_id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., generation: _Optional[int] = ...) -> None: ...

class QueryJudged(_message.Message):
    __slots__ = ("response_id", "state", "speech_probability", "text_probability", "noise_probability")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SPEECH_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    TEXT_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    NOISE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    state: QueryState
    speech_probability: float
    text_probability: float
    noise_probability: float
    def __init__(self, response_id: _Optional[str] = ..., state: _Optional[_Union[QueryState, str]] = ..., speech_probability: _Optional[float] = ..., text_probability: _Optional[float] = ..., noise_probability: _Optional[float] = ...) -> None: ...

class TextDelta(_message.Message):
    __slots__ = ("response_id", "text")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    text: str
    def __init__(self, response_id: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class ToolCalled(_message.Message):
    __slots__ = ("response_id", "item", "previous_item_id")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    item: _item_pb2.Item
    previous_item_id: str
    def __init__(self, response_id: _Optional[str] = ..., item: _Optional[_Union[_item_pb2.Item, _Mapping]] = ..., previous_item_id: _Optional[str] = ...) -> None: ...

class AnswerAudio(_message.Message):
    __slots__ = ("response_id", "audio", "start_ms")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    audio: _media_pb2.AudioChunk
    start_ms: int
    def __init__(self, response_id: _Optional[str] = ..., audio: _Optional[_Union[_media_pb2.AudioChunk, _Mapping]] = ..., start_ms: _Optional[int] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("input_text_token_count", "input_audio_token_count", "input_image_token_count", "output_text_token_count", "output_audio_token_count")
    INPUT_TEXT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    INPUT_AUDIO_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    INPUT_IMAGE_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TEXT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_AUDIO_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    input_text_token_count: int
    input_audio_token_count: int
    input_image_token_count: int
    output_text_token_count: int
    output_audio_token_count: int
    def __init__(self, input_text_token_count: _Optional[int] = ..., input_audio_token_count: _Optional[int] = ..., input_image_token_count: _Optional[int] = ..., output_text_token_count: _Optional[int] = ..., output_audio_token_count: _Optional[int] = ...) -> None: ...

class StageTimes(_message.Message):
    __slots__ = ("first_text_ms", "first_code_ms", "first_audio_ms", "last_audio_ms")
    FIRST_TEXT_MS_FIELD_NUMBER: _ClassVar[int]
    FIRST_CODE_MS_FIELD_NUMBER: _ClassVar[int]
    FIRST_AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    first_text_ms: int
    first_code_ms: int
    first_audio_ms: int
    last_audio_ms: int
    def __init__(self, first_text_ms: _Optional[int] = ..., first_code_ms: _Optional[int] = ..., first_audio_ms: _Optional[int] = ..., last_audio_ms: _Optional[int] = ...) -> None: ...

class ResponseDone(_message.Message):
    __slots__ = ("response_id", "outcome", "item", "usage", "failure", "stage_times", "audio_ms", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    STAGE_TIMES_FIELD_NUMBER: _ClassVar[int]
    AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    outcome: ResponseOutcome
    item: _item_pb2.Item
    usage: Usage
    failure: _status_pb2.Status
    stage_times: StageTimes
    audio_ms: int
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, response_id: _Optional[str] = ..., outcome: _Optional[_Union[ResponseOutcome, str]] = ..., item: _Optional[_Union[_item_pb2.Item, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., failure: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., stage_times: _Optional[_Union[StageTimes, _Mapping]] = ..., audio_ms: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class OutputHeld(_message.Message):
    __slots__ = ("response_id",)
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    def __init__(self, response_id: _Optional[str] = ...) -> None: ...

class OutputReleased(_message.Message):
    __slots__ = ("response_id",)
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    def __init__(self, response_id: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("status", "client_event_id")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    client_event_id: str
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., client_event_id: _Optional[str] = ...) -> None: ...

class SessionEnding(_message.Message):
    __slots__ = ("session_id", "grace_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    grace_ms: int
    def __init__(self, session_id: _Optional[str] = ..., grace_ms: _Optional[int] = ...) -> None: ...
