"""
What is PostgreSQL's own. Needs the extra `postgres`.

    url         reads the URL, and shows it without its password
    engine      the connections and their settings
    failures    the driver's errors as the store's
    schema      creates and upgrades the tables
    search      the search index: words as a tsvector
    database    PostgreSQLDatabase, of these
"""
