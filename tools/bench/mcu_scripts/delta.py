"""One audio event as the cloud sends it, its members in the documented order."""

import binascii

MS = 60  # of sound
HEAD = (
    b'{"id":"7500000000000000003","event_type":"conversation.audio.delta","data":{"id":"7500000000000000002",'
    b'"conversation_id":"7500000000000000004","role":"assistant","type":"answer","content":"'
)
TAIL = (
    b'","content_type":"audio","chat_id":"7500000000000000001"},'
    b'"detail":{"logid":"20250101000000ABCDEF0123456789ABCD"}}'
)


def message(audio, headroom=0):
    """headroom: bytes left free before the message."""
    content = binascii.b2a_base64(audio)
    at = headroom + len(HEAD)
    text = bytearray(at + len(content) - 1 + len(TAIL))  # few copies: the heap is small
    text[headroom:at] = HEAD
    text[at : -len(TAIL)] = memoryview(content)[:-1]
    text[-len(TAIL) :] = TAIL
    return text
