"""Acting safely: assess, preview, ask, execute once, record.

safe_executor   the one way to act        plans       what an action is       approved, effects   from a decided row, once
statements/     what one statement is     reads/      as agent_reader         writes/             as agent_actor, and undo
origins/        where values come from    made_tools/ the agent's own tools   execution_tools     every built-in tool
proposals       effects outside           deciding    edits, reopening        controls, log       switches; a row an action
"""
