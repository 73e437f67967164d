"""Acting safely: assess, preview, ask, execute once, record.

safe_executor     the one way to act                    execution_tools   the tools, each an entry of a table
sql_policy        what a statement is (pure)            sql_parsing, sql_allowed, sql_kinds, deny, catalog   what it needs
reading           reads, as agent_reader                acting, preview, effects   writes, as agent_actor
controls          stop switch and read-only mode        log               a row for every action
"""
