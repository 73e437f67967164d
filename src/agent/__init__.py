"""An agent that learns a Postgres application by itself and asks a human before anything risky.

settings    the only reader of the environment        errors, types   shared by all
db          server, logins, pools, migrations         providers       models and embeddings
runtime     puts them together                        learning        discover, remember, search
approval    ask a human                               execution       assess, preview, run, record
state, prompts, tools, nodes, graph                   the LangGraph application
cli         `agent ...`                               testing         fakes that ship with the product
demo        the demo application and its conversation
"""

__version__ = "0.1.0"
