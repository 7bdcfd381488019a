"""
The pages at `/`, where a person looks at reports with a browser.

They are made on the server, with Jinja2, and work without script; one module of script adds live
rows, keys, copying and folding. Payloads are hostile: all text is escaped, and the policy of every
answer (`headers.py`) keeps a browser from running or loading anything but this package's own files.

A view is a module with `add_to(site)`, which adds its paths. `views.py` lists them, and
`navigation.py` the entries of the header.
"""
