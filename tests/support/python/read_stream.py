"""Reads an event stream as the HTML standard says (9.2.6) and prints every event as a line of JSON.

    read_stream.py URL COUNT    opens the stream, reports "open", and ends after COUNT messages
    read_stream.py -            the same for every line "URL COUNT" of the standard input, one after the other
"""
import asyncio
import codecs
import json
import re
import sys

import aiohttp
from yarl import URL

LINE_END = re.compile("\r\n|\n|\r")


class Parser:
    def __init__(self, on_event):
        self.on_event = on_event
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.buffer, self.is_first, self.last_event_id = "", True, ""
        self.data, self.event, self.id = [], "", ""

    def feed(self, chunk):
        text = self.decoder.decode(chunk)
        if self.is_first and text:
            self.is_first = False
            text = text[1:] if text[0] == "\ufeff" else text
        self.buffer += text
        start = 0
        while match := LINE_END.search(self.buffer, start):
            # A CR at the end of what has come may be half of a CRLF.
            if match.group() == "\r" and match.end() == len(self.buffer):
                break
            self.take(self.buffer[start : match.start()])
            start = match.end()
        self.buffer = self.buffer[start:]

    def take(self, line):
        if line == "":
            self.last_event_id = self.id
            if self.data:
                self.on_event(self.event or "message", "\n".join(self.data), self.last_event_id)
            self.data, self.event = [], ""
            return
        field, _, value = line.partition(":")
        if value.startswith(" "):
            value = value[1:]
        if field == "data":
            self.data.append(value)
        elif field == "event":
            self.event = value
        elif field == "id" and "\0" not in value:
            self.id = value


async def read(session, url, count):
    received = 0

    def on_event(name, data, last_event_id):
        nonlocal received
        if name == "heartbeat":
            return
        if name == "message":
            print(json.dumps({"open": str(url)}), flush=True)
            return
        received += 1
        print(json.dumps({"type": name, "data": data, "lastEventId": last_event_id}))

    parser = Parser(on_event)
    async with session.get(url) as response:
        response.raise_for_status()
        async for chunk in response.content.iter_any():
            parser.feed(chunk)
            if received >= count:
                break


async def main(arguments):
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as session:
        lines = [" ".join(arguments)] if arguments != ["-"] else sys.stdin.read().splitlines()
        for line in lines:
            url, count = line.rsplit(" ", 1)
            # Percent-encoding stays as it is.
            await read(session, URL(url, encoded=True), int(count))


asyncio.run(main(sys.argv[1:]))
