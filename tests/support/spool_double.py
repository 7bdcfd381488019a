"""A spool with a delegate that records, for tests and for the processes that they start."""

from __future__ import annotations

import json
import os

from openpipe_report._spool.client import Spool


class Entry:
    def __init__(self, number, size=0):
        self.number, self.body, self.idempotency_key, self.stored = number, b"", "", False
        self.size = size


class RecordingDelegate:
    def __init__(self):
        self.enqueued, self.recovered, self.space = [], [], (20_000, 2**27)

    def build(self, entry):
        entry.idempotency_key = f"key-{os.getpid()}-{entry.number}"
        entry.body = json.dumps([entry.number, "x" * entry.size]).encode()
        return entry

    def enqueue(self, entry):
        self.enqueued.append(entry)

    def room(self):
        return self.space

    def recover(self, stored):
        self.recovered.append(stored)


def make(path, base_url="http://127.0.0.1:1/api/v1", api_key="opk_very-secret", max_bytes=2**28):
    delegate = RecordingDelegate()
    spool = Spool(path, base_url=base_url, api_key=api_key, delegate=delegate, max_bytes=max_bytes)
    return spool, delegate


def put(spool, *numbers, size=0):
    entries = [Entry(number, size) for number in numbers]
    for entry in entries:
        spool.put(entry)
    return entries
