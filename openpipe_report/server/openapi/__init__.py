"""
The description of the API in OpenAPI 3.1.

    schemas     the JSON schemas of bodies and answers
    operations  the paths, with their parameters and answers
    document    the whole document, for one receiver
"""
