"""The command line: each command parses its input, calls one operation and renders the result.

main        lists the commands                        framework   builds groups, options and the error edge
runner      runs an operation with an open runtime    commands/   holds a module for each group of commands
terminal/   shows text, tables, turns and requests, and reads lines
"""
