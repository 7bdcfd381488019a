"""
One module per tool, which sets it up as its documentation says, with another destination.

Each module has `IMPORTS`, the names of the modules that a user's program imports for it, and
`set_up(sink)`, which returns a `comparison.tool.Tool`. The tool itself is imported by `set_up()`,
for it is installed in its own environment only.
"""
