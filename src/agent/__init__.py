"""An agent that learns a Postgres application by itself and asks a human before anything risky.

cli         `agent ...`                               chat, status    turns as events; how everything is set up
graph       the LangGraph application                 nodes, decisions, state, checkpoints   what it is made of
middleware, tools   the same for other people's agents                prompts         what the model reads
execution   assess, preview, run, record              approval        ask a human
threads     conversations: turns and tool calls       learning        discover, remember, search
runtime     puts everything together                  providers       models and embeddings
db          server, logins, pools, migrations         settings        the only reader of the environment
errors, types, logs, storable, tokens                 shared by all
demo        the demonstration application             testing         fakes that ship with the product
"""

__version__ = "0.1.0"
