"""The console: pages under `/console` for a browser, rendered on the server from the same operations as the API.

A page is a module in `routes/`, a template in `templates/` and a line in `navigation.py`. Pages parse, call and render; they are
live by server-sent events, and can be read without a script.
"""
