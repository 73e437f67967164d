"""Providers: what the agent reaches outside of itself, and the chat model that needs no provider.

chat              one client for every chat model        offline_model     the built-in chat model
embeddings        texts to vectors                       mail              mail to a server or a folder
"""
