"""A spool with a delegate that records, for tests and for the processes that they start."""

from __future__ import annotations

import json
import os

from openpipe_report._spool.client import Spool
from openpipe_report._spool.folder import SpoolFolder
from openpipe_report._spool.timing import SpoolTiming

URL = "http://127.0.0.1:1/api/v1"
KEY = "opk_very-secret"
BRISK = SpoolTiming(look_every=0.01, pause=0.01, leave_alone=0.01)
"""Looks for what dead processes have left, and uses the folder after an error, without delay."""


class Entry:
    def __init__(self, number, size=0):
        self.number, self.body, self.idempotency_key, self.place = number, b"", "", None
        self.path = "report" if number % 2 else "logs/update-metadata"
        self.size = size


class RecordingDelegate:
    """Has room for anything, unless a test says otherwise."""

    def __init__(self):
        self.enqueued, self.read, self.aside, self.space = [], [], [], (20_000, 2**27)
        self.crowded = False

    def build(self, entry):
        entry.idempotency_key = f"key-{os.getpid()}-{entry.number}"
        entry.body = json.dumps([entry.number, "x" * entry.size]).encode()
        return entry

    def enqueue(self, entry):
        self.enqueued.append(entry)

    def tag_of(self, entry):
        return entry.number + 100

    def is_crowded(self):
        return self.crowded

    def set_aside(self, entry):
        self.aside.append(entry)

    def lose_aside(self):
        self.aside.clear()

    def room(self):
        return self.space

    def read_back(self, loaded):
        self.read.append(loaded)
        return True


def make(path, base_url=URL, api_key=KEY, max_bytes=2**28, timing=BRISK):
    delegate = RecordingDelegate()
    return Spool(SpoolFolder(str(path), base_url, api_key, max_bytes, timing), delegate), delegate


def put(spool, *numbers, size=0):
    entries = [Entry(number, size) for number in numbers]
    for entry in entries:
        spool.put(entry)
    return entries
