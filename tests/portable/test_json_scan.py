"""Every legal form of an audio event is either found where json finds it, or handed over to json."""

import json

import kernels
import kernels_py
from check import seeded_bytes
from json_scan import FOUND, MALFORMED, UNUSUAL, JSONScan
from test_kernels import implementations

ALL = implementations("kernels_json_viper", "kernels_host")
_random_bytes = seeded_bytes(11)


def scanner():
    return JSONScan((b"event_type",), b"data", (b"content", b"chat_id"))


def found(scan, buf):
    """The texts of the wanted members, None for those that are absent."""
    state = scan.state
    return [
        bytes(buf[state[i] : state[i] + state[i + 1]]) if state[i] >= 0 else None for i in range(2, len(state), 2)
    ]


def walked(kernel, buf, start, end):
    """A whole walk of one kernel: the verdict and the spans, as far as they mean something."""
    scan = scanner()
    verdict = kernel.json_walk(buf, start, end, scan.names, scan.state)
    return verdict, found(scan, buf) if verdict == FOUND else None


def spans(text, pad=b"\xff\x22{"):
    """Scan `text` in the midst of traps, with every kernel; returns the verdict and the texts that were found."""
    text = text if isinstance(text, bytes) else text.encode()
    for at in range(4):
        buf = bytearray(bytes(at) + pad + text + pad)
        start = at + len(pad)
        results = [walked(kernel, buf, start, start + len(text)) for kernel in ALL]
        assert results.count(results[0]) == len(results), (at, text[:300], results)
    scan = scanner()
    verdict = scan.scan(buf, start, start + len(text))
    assert (verdict, found(scan, buf) if verdict == FOUND else None) == results[0]
    return verdict, [None if word is None else word.decode() for word in found(scan, buf)] if verdict == FOUND else None


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


def test_what_stands_beside_the_message_is_no_part_of_it():
    for pad in (b"}", b"{}", b'"}', b'"', b'{"event_type":"x"}', b"\\"):
        for text in ("", "  ", "{", '{"a":[', '{"a":[}', '{"a":"', '{"a":"}', '{"a', '{"a}', '{"event_type":"x', "{}}"):
            assert spans(text, pad)[0] == MALFORMED, (text, pad)
        assert spans("{}", pad) == (FOUND, [None, None, None])


def test_what_is_not_one_object_is_malformed():
    for text in ('{"a"::1}', '{"a":,"b":1}', '{}"a":1}', '{},"a":1}', '{"a":[1}', '{"a":1}]', '{"a":"b"'):
        assert spans(text)[0] == MALFORMED, text
    for text in ("", " ", "[]", '"x"', "1", "{}{}", "{} x", '{"a"}', '{"a":}', '{"a":1,}', '{"a":1 "b":2}', "{a:1}", '{,}', '{"a":"b"'):
        assert spans(text)[0] == MALFORMED, text


def test_strings_of_every_length_and_alignment_end_where_they_end():
    for n in range(70):
        text = "".join(["-#!]^\x7fz"[i % 7] for i in range(n)])
        for tail in ("", "\u00e9", "\\\\", '\\"', '\\\\\\"'):
            assert spans('{"%s":1,"x":"%s","event_type":"%s"}' % (text, text + tail, text)) == (
                FOUND,
                [text, None, None],
            )


def test_utf8_is_carried_through():
    assert spans('{"data":{"chat_id":"鹨"},"event_type":"é"}') == (FOUND, ["é", None, "鹨"])


def test_scanning_allocates_nothing():
    from check import assert_no_allocation

    message = bytearray(json.dumps(DELTA).encode())
    scan = scanner()
    assert_no_allocation(scan.scan, message, 0, len(message))


# The walk in steps


def stepped(kernel, buf, start, end):
    """Walk with a stop at the content; returns the verdicts on the way and the spans, the content's length aside."""
    scan = scanner()
    state = scan.state
    state[1] = 2
    verdicts = []
    at = start
    while True:
        at = kernel.json_walk(buf, at, end, scan.names, state)
        verdicts.append(at)
        if at < 0:
            return verdicts, [state[i] for i in (2, 4, 6)] if at == FOUND else None
        at = kernels_py.string_end(buf, at, end) + 1
        if not at:
            return verdicts, None


def test_a_walk_in_steps_finds_what_a_whole_one_finds():
    texts = (
        json.dumps(DELTA),
        '{"data":{"content":"QUJD","chat_id":"c7"},"event_type":"x"}',
        '{"data":{"content":"","content":"QUJD"},"data":{"chat_id":"c"}}',
        '{"event_type":"x","data":{"chat_id":"c7","content":"QUJD","content":5},"content":"no"}',
        '{"d\\u0061ta":1,"data":{"content":"QUJD"}}',
    )
    for text in texts:
        for at in range(4):
            buf = bytearray(bytes(at) + text.encode() + b'"')
            end = at + len(text)
            results = [stepped(kernel, buf, at, end) for kernel in ALL]
            assert results.count(results[0]) == len(results), (text, results)
            verdicts, places = results[0]
            scan = scanner()
            assert scan.scan(buf, at, end) == verdicts[-1]
            if places is not None:
                assert places == [scan.state[i] for i in (2, 4, 6)], text


def test_the_kernels_agree_on_any_bytes_and_never_leave_the_message():
    samples = [json.dumps(DELTA).encode(), b'{"data":{"a":[1,{"b":"\\""}],"content":"AB\\/C"},"event_type":null}']
    letters = b'{}[]",:\\ \n0aetd\x00\x80\xff#!'
    for _ in range(300):
        chance = _random_bytes(6)
        text = bytearray(samples[chance[0] & 1])
        for i in range(1 + (chance[1] & 3)):
            text[chance[2 + i] * len(text) >> 8] = letters[chance[5 - i] % len(letters)]
        for trap in (b"", b'"', b'}', b"\\\"}"):
            buf = bytearray(text + trap)
            before = bytes(buf)
            results = [walked(kernel, buf, 0, len(text)) for kernel in ALL]
            steps = [stepped(kernel, buf, 0, len(text)) for kernel in ALL]
            assert results.count(results[0]) == len(results), (text, results)
            assert steps.count(steps[0]) == len(steps), (text, steps)
            assert bytes(buf) == before


def test_what_json_reads_is_found_as_json_reads_it():
    """One byte of an event changed at every place: the scan says FOUND only with the values that json gives."""
    text = json.dumps(DELTA).encode()
    for place in range(len(text)):
        for letter in b'"\\}{,: x':
            changed = text[:place] + bytes([letter]) + text[place + 1 :]
            verdict, words = spans(changed)
            if verdict == FOUND:
                try:
                    message = json.loads(changed)
                except ValueError:
                    continue  # no validator
                data = message.get("data")
                data = data if isinstance(data, dict) else {}
                wanted = [message.get("event_type"), data.get("content"), data.get("chat_id")]
                assert words == [word if isinstance(word, str) else None for word in wanted], changed
