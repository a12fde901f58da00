"""An emulated Coze realtime voice cloud: `/v1/chat` as publicly documented, for desks, demos and tests.

Written from the protocol alone: nothing here imports the firmware or its libraries, so that a shared bug cannot
cancel out. Every choice is made by a scenario (a JSON file), by the clock handed in and by a seeded generator.

    scenario ──► Cloud ──connect──► Connection   messages and time in ─► messages out     protocol.py  (pure)
                   │                     │                                                 answers.py   (pure)
                   └─ turns, utterances  └─ take() ─► aiohttp, plain or TLS                server.py    (sockets)

From a shell: `python -m tools cloud --help`. From Python: `tools.cloud.server.CloudServer`.
"""
