"""The database schema, as a list of migrations. A released migration never changes.

``PRAGMA user_version`` is the number of migrations applied. Secrets are stored hashed: tokens,
codes, cookies and links with SHA-256, the password with argon2id. Times are in seconds since the
epoch.
"""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE owner (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            handle BLOB NOT NULL,
            password TEXT
        )
        """,
        """
        CREATE TABLE passkeys (
            id INTEGER PRIMARY KEY,
            credential BLOB NOT NULL UNIQUE,
            public_key BLOB NOT NULL,
            sign_count INTEGER NOT NULL,
            name TEXT NOT NULL,
            created REAL NOT NULL,
            last_used REAL
        )
        """,
        """
        CREATE TABLE sessions (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            way TEXT NOT NULL,
            device TEXT NOT NULL,
            created REAL NOT NULL,
            last_used REAL NOT NULL,
            expires REAL NOT NULL
        )
        """,
        """
        CREATE TABLE links (
            hash BLOB PRIMARY KEY,
            purpose TEXT NOT NULL,
            name TEXT,
            browser BLOB,
            expires REAL NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE grants (
            id INTEGER PRIMARY KEY,
            client_id TEXT NOT NULL,
            name TEXT NOT NULL,
            scope TEXT NOT NULL,
            created REAL NOT NULL,
            revoked REAL
        )
        """,
        """
        CREATE TABLE codes (
            hash BLOB PRIMARY KEY,
            grant_id INTEGER NOT NULL REFERENCES grants ON DELETE CASCADE,
            redirect_uri TEXT NOT NULL,
            challenge TEXT,
            expires REAL NOT NULL,
            used REAL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE tokens (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            grant_id INTEGER REFERENCES grants ON DELETE CASCADE,
            name TEXT NOT NULL,
            client_id TEXT NOT NULL,
            scope TEXT NOT NULL,
            created REAL NOT NULL,
            expires REAL,
            last_used REAL,
            revoked REAL
        )
        """,
        "CREATE INDEX tokens_by_grant ON tokens (grant_id)",
        """
        CREATE TABLE refreshes (
            hash BLOB PRIMARY KEY,
            grant_id INTEGER NOT NULL REFERENCES grants ON DELETE CASCADE,
            scope TEXT NOT NULL,
            expires REAL NOT NULL,
            used REAL
        ) WITHOUT ROWID
        """,
    ),
    (
        """
        CREATE TABLE browsers (
            hash BLOB PRIMARY KEY,
            expires REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
    ("ALTER TABLE tokens ADD COLUMN renewable INTEGER NOT NULL DEFAULT 0",),
    ("ALTER TABLE sessions ADD COLUMN proven REAL",),
    (
        """
        CREATE TABLE syndication (
            uid TEXT NOT NULL,
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (uid, name)
        ) WITHOUT ROWID
        """,
    ),
)
