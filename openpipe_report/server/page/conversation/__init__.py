"""
A report as a conversation: payloads of any endpoint to turns with parts, and turns to first words.

    parts.py       the values that templates show
    contents.py    one message's content, of any API
    messages.py    messages and items, and each tool's result into its call
    requests.py    what was asked, and the parameters beside it
    answers.py     what was answered
    turns.py       both together
    words.py       first words of both, for lists

Payloads may be any JSON. Nothing raises: what has no known shape is shown as JSON.
"""
