"""
Charts of the reports that match a filter: calls, errors, durations, tokens and cost over time.

    timeline.py  the numbers: statistics by time and by model or label
    measures.py  what a chart shows of them
    links.py     the filter that a bar or a legend entry stands for
    drawing.py   a chart as SVG
    memory.py    keeps charts for some seconds
    plotting.py  the parts of pygal that it needs
    palette.py   the colours, light and dark

Nothing here knows HTTP; a timeline is read from the store's queries.
"""
