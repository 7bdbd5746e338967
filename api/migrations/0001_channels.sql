-- Ids are UUIDv7 in text, times are microseconds since the Unix epoch, booleans are told by a time
-- or its absence: the same on every engine.

CREATE TABLE users (
    id            TEXT    NOT NULL PRIMARY KEY,
    handle        TEXT    NOT NULL UNIQUE,
    password_hash TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('operator', 'streamer', 'viewer')),
    created_at    BIGINT  NOT NULL
);

CREATE TABLE channels (
    id               TEXT   NOT NULL PRIMARY KEY,
    owner            TEXT   NOT NULL REFERENCES users (id),
    handle           TEXT   NOT NULL UNIQUE,
    name             TEXT   NOT NULL,
    title            TEXT   NOT NULL,
    second_publisher TEXT   NOT NULL DEFAULT 'refuse' CHECK (second_publisher IN ('refuse', 'replace')),
    created_at       BIGINT NOT NULL
);

-- A key is found by its HMAC and shown to its owner from its ciphertext; the key itself is nowhere.
CREATE TABLE stream_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    channel    TEXT   NOT NULL REFERENCES channels (id),
    lookup     BLOB   NOT NULL UNIQUE,
    sealed     BLOB   NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE broadcasts (
    id       TEXT   NOT NULL PRIMARY KEY,
    channel  TEXT   NOT NULL REFERENCES channels (id),
    began_at BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE INDEX broadcasts_of_channel ON broadcasts (channel, began_at);
CREATE INDEX broadcasts_open ON broadcasts (began_at) WHERE ended_at IS NULL;
