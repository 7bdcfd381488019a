"""
Visitors: people with a browser, who log in with an API key.

    sessions.py  the keys of those who are logged in, by a random id that their browser keeps
    cookies.py   the cookie with that id
    visitor.py   Visitor: who the request that is being answered is from
"""
