"""Knowing and remembering: the database's structure, memories, and the search in both.

auto_discover     catalogs to structure, kept up to date   catalog, assembly, profiles, structure   how
privacy           what is masked or denied                 names, words, lexical                    texts made comparable
schema_linking    a question's part of the structure       schema_index, schema_text                how
memory            save, read, forget                       vectors                                  their embeddings
semantic_search   find memories                            learning_middleware                      load before, save after
"""
