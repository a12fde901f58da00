"""The objects inside the cloud's messages: envelope, Chat and Message, as the public documents show them."""

# Event types, spelled as on the wire.
CHAT_CREATED = "chat.created"
CHAT_UPDATED = "chat.updated"
TURN_CREATED = "conversation.chat.created"
TURN_IN_PROGRESS = "conversation.chat.in_progress"
TURN_COMPLETED = "conversation.chat.completed"
TURN_FAILED = "conversation.chat.failed"
TURN_CANCELED = "conversation.chat.canceled"
REQUIRES_ACTION = "conversation.chat.requires_action"
MESSAGE_DELTA = "conversation.message.delta"
MESSAGE_COMPLETED = "conversation.message.completed"
SENTENCE_START = "conversation.audio.sentence_start"
AUDIO_DELTA = "conversation.audio.delta"
AUDIO_COMPLETED = "conversation.audio.completed"
TRANSCRIPT_UPDATE = "conversation.audio_transcript.update"
TRANSCRIPT_COMPLETED = "conversation.audio_transcript.completed"
BUFFER_COMPLETED = "input_audio_buffer.completed"
BUFFER_CLEARED = "input_audio_buffer.cleared"
SPEECH_STARTED = "input_audio_buffer.speech_started"
SPEECH_STOPPED = "input_audio_buffer.speech_stopped"
CONVERSATION_CLEARED = "conversation.cleared"
ERROR = "error"

# Events that belong to a turn: what a turn's faults may choose. The others belong to the connection.
OF_A_TURN = (TURN_CREATED, TURN_IN_PROGRESS, TURN_COMPLETED, TURN_FAILED, TURN_CANCELED, REQUIRES_ACTION, MESSAGE_DELTA,
             MESSAGE_COMPLETED, SENTENCE_START, AUDIO_DELTA, AUDIO_COMPLETED, TRANSCRIPT_UPDATE, TRANSCRIPT_COMPLETED)
ALL = OF_A_TURN + (CHAT_CREATED, CHAT_UPDATED, BUFFER_COMPLETED, BUFFER_CLEARED, SPEECH_STARTED, SPEECH_STOPPED,
                   CONVERSATION_CLEARED, ERROR)


class Ids:
    """19-digit ids like the service's, counted, so that a run can be repeated."""

    def __init__(self, first=7500000000000000000):
        self._last = first

    def next(self):
        self._last += 1
        return str(self._last)


def envelope(event_id, event_type, data, logid, unix_ms):
    message = {"id": event_id, "event_type": event_type}
    if data is not None:
        message["data"] = data
    message["detail"] = {"logid": logid, "respond_at": str(unix_ms)}
    return message


def chat(turn, bot_id, section_id, status, unix_s, error=None, required_action=None):
    """The Chat object of a turn; error: (code, msg) or None."""
    code, msg = error or (0, "")
    data = {
        "id": turn.chat_id,
        "conversation_id": turn.conversation_id,
        "bot_id": bot_id,
        "section_id": section_id,
        "status": status,
        "created_at": unix_s,
        "last_error": {"code": code, "msg": msg},
        "meta_data": {},
    }
    if status == "completed":
        words_in, words_out = len(turn.heard.split()), len(turn.said.split())
        data["completed_at"] = unix_s
        data["usage"] = {"token_count": words_in + words_out, "output_count": words_out, "input_count": words_in}
    if status == "failed":
        data["failed_at"] = unix_s
    if required_action is not None:
        data["required_action"] = required_action
    return data


def required_action(calls):
    """calls: [(id, name, arguments as JSON text), …]."""
    return {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments},
                 "require_info": None}
                for call_id, name, arguments in calls
            ]
        },
    }


def message(message_id, turn, bot_id, section_id, kind, content_type, content):
    """The Message object: kind is its `type`. A turn that is no chat has no chat_id."""
    data = {
        "id": message_id,
        "conversation_id": turn.conversation_id,
        "bot_id": bot_id,
        "section_id": section_id,
        "role": "assistant",
        "type": kind,
        "content_type": content_type,
        "content": content,
    }
    if turn.chat_id:
        data["chat_id"] = turn.chat_id
    return data
