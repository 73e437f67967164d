"""The command line: a module for each group of commands parses, calls one operation, and renders its result.

main              which commands there are            commands, running            what all of them share
chat, session     the conversation                    conversation, stream         a turn as it is seen
render, text      tables, errors, JSON, safe text     approval_view, prompt        what is decided, what is typed
"""
