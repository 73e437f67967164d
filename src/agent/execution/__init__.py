"""Acts safely: assess, preview, ask, execute once, record.

safe_executor      the one way to act                      action           what a call of a tool would do
run_approved       from a decided request to its outcome   effects          carries an approved effect out, once
edits              edits and reopening of requests         results          what the caller and the model are told
controls, log      switches; one row for each action       execution_tools  the table of the built-in tools
reads/             one read as agent_reader                dry_run/         a write that is run and taken back
writes/            one write as agent_actor                undo/            row images and inverse statements
permissions/       what "always allow" covers              created_tools/   tools that the agent created
"""
