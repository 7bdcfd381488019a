"""
A report as a conversation: payloads of any endpoint to turns with parts, and turns to first words.

    parts.py       the values that templates show
    contents.py    one message's content, of any API
    requests.py    what was asked, and the parameters beside it
    answers.py     what was answered
    turns.py       both together, with each tool's result beside its call
    words.py       first words of both, for lists

Payloads may be any JSON. Nothing raises: what has no known shape is shown as JSON.
"""
