"""Floor 1: the ops store, what we decided and did. SQLAlchemy Core on SQLite or PostgreSQL.

Every function takes an open ``Connection`` so that callers decide what commits together.
"""
