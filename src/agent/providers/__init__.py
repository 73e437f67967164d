"""The outside world: chat models and embeddings by provider string, and the model that needs no provider.

models            one way to ask, with retries and fallbacks    chat_providers, model_stream, model_failures, pricing   how
embeddings        texts to vectors                              offline                                                 the built-in model
"""
