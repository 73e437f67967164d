"""A client of Pysher, unmodified, in a process of its own. It prints what happens, one JSON a line, until its input ends."""

import json
import os
import sys

import pysher

given = json.loads(sys.argv[1])
client = pysher.Pusher(
    given["key"], secret=given["secret"], custom_host="127.0.0.1", port=given["port"], secure=False,
    user_data={"user_id": "py", "user_info": {"name": "Py"}},
)  # fmt: skip


def say(what, channel, data):
    print(json.dumps([what, {"channel": channel, "data": data}]), flush=True)


def connected(_data):
    for name in ("open", "private-one", "presence-two"):
        channel = client.subscribe(name)
        channel.bind("greet", lambda data, name=name: say("event", name, json.loads(data)))
        channel.bind("pusher_internal:subscription_succeeded", lambda data, name=name: say("subscribed", name, None))


client.connection.bind("pusher:connection_established", connected)
client.connect()
sys.stdin.read()
os._exit(0)
