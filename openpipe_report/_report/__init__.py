"""From the bytes that crossed the wire to the JSON of a report. Nothing here waits or sends."""
