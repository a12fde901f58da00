"""Every legal form of an audio event is either found where json finds it, or handed over to json."""

import json

from json_scan import FOUND, MALFORMED, UNUSUAL, JSONScan


def scanner():
    return JSONScan((b"event_type",), b"data", (b"content", b"chat_id"))


def spans(text, pad=b"\xff\x22{"):
    """Scan `text` in the middle of a buffer full of traps; returns the verdict and the found texts."""
    text = text if isinstance(text, bytes) else text.encode()
    buf = bytearray(pad + text + pad)
    scan = scanner()
    verdict = scan.scan(buf, len(pad), len(pad) + len(text))
    found = [bytes(buf[a : a + n]).decode() if a >= 0 else None for a, n in zip(scan.at, scan.n)]
    return verdict, found


DELTA = {"id": "e1", "event_type": "conversation.audio.delta", "data": {"content": "QUJD", "chat_id": "c7"}}


def test_a_plain_delta():
    assert spans(json.dumps(DELTA)) == (FOUND, ["conversation.audio.delta", "QUJD", "c7"])


def test_any_key_order_and_white_space():
    text = ' {\n"data" : {\t"chat_id":"c7" ,\r\n "n":[1,{"content":"no"}], "content" :"QUJD"} , "event_type": "x" }  '
    assert spans(text) == (FOUND, ["x", "QUJD", "c7"])


def test_a_nested_object_with_a_content_of_its_own_is_skipped():
    text = '{"data":{"meta":{"content":"bad","deep":[{"chat_id":"bad"}]},"content":"ok"},"content":"bad"}'
    assert spans(text) == (FOUND, [None, "ok", None])


def test_strings_hold_quotes_braces_and_backslashes():
    text = '{"note":"\\"}{\\\\","data":{"text":"a\\\\\\"content\\":\\"x","content":"ok"},"event_type":"e"}'
    assert spans(text) == (FOUND, ["e", "ok", None])


def test_escapes_in_wanted_strings_and_keys_go_to_json():
    assert spans('{"event_type":"a\\u002eb"}')[0] == UNUSUAL
    assert spans('{"data":{"content":"AB\\/C"}}')[0] == UNUSUAL
    assert spans('{"data":{"c\\u006fntent":"ABCD"}}')[0] == UNUSUAL
    assert spans('{"d\\u0061ta":{"content":"ABCD"}}')[0] == UNUSUAL


def test_absent_empty_and_not_a_string():
    assert spans("{}") == (FOUND, [None, None, None])
    assert spans('{"data":{}}') == (FOUND, [None, None, None])
    assert spans('{"data":{"content":"","chat_id":5}}') == (FOUND, [None, "", None])
    assert spans('{"data":[{"content":"x"}],"event_type":null}') == (FOUND, [None, None, None])


def test_the_last_of_repeated_members_counts():
    assert spans('{"event_type":"a","event_type":"b"}') == (FOUND, ["b", None, None])
    assert spans('{"data":{"content":"a"},"data":{"chat_id":"b"}}') == (FOUND, [None, None, "b"])
    assert spans('{"event_type":"a","event_type":7}') == (FOUND, [None, None, None])


def test_tens_of_thousands_of_extra_bytes():
    text = '{"a":%s,"b":"%s","data":{"x":%s,"content":"QUJD"}}' % ("[1, 2]" , "y" * 30000, "[" + "0," * 9999 + "0]")
    assert spans(text) == (FOUND, [None, "QUJD", None])


def test_every_cut_of_a_message_is_malformed():
    text = json.dumps(DELTA)
    for n in range(len(text)):
        assert spans(text[:n])[0] == MALFORMED, text[:n]


def test_what_is_not_one_object_is_malformed():
    for text in ("", " ", "[]", '"x"', "1", "{}{}", "{} x", '{"a"}', '{"a":}', '{"a":1,}', '{"a":1 "b":2}', "{a:1}", '{,}', '{"a":"b"'):
        assert spans(text)[0] == MALFORMED, text


def test_utf8_is_carried_through():
    assert spans('{"data":{"chat_id":"鹨"},"event_type":"é"}') == (FOUND, ["é", None, "鹨"])


def test_scanning_allocates_nothing():
    from check import assert_no_allocation

    message = bytearray(json.dumps(DELTA).encode())
    scan = scanner()
    assert_no_allocation(scan.scan, message, 0, len(message))
