-- People sign up, channels are looked after, and a handle can change.

ALTER TABLE users ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN email TEXT;
ALTER TABLE users ADD COLUMN disabled_at BIGINT;
ALTER TABLE users ADD COLUMN disabled_reason TEXT;

CREATE UNIQUE INDEX users_email ON users (email) WHERE email IS NOT NULL;

-- A session is found by the HMAC of what its cookie says.
CREATE TABLE sessions (
    id           TEXT   NOT NULL PRIMARY KEY,
    owner        TEXT   NOT NULL REFERENCES users (id),
    lookup       BLOB   NOT NULL UNIQUE,
    agent        TEXT   NOT NULL,
    address      TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);

CREATE INDEX sessions_of_owner ON sessions (owner);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    id           TEXT   NOT NULL PRIMARY KEY,
    owner        TEXT   NOT NULL REFERENCES users (id),
    name         TEXT   NOT NULL,
    lookup       BLOB   NOT NULL UNIQUE,
    scopes       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT
);

CREATE INDEX api_tokens_of_owner ON api_tokens (owner);

-- A link with which somebody who lost a password sets another, once.
CREATE TABLE recoveries (
    id         TEXT   NOT NULL PRIMARY KEY,
    owner      TEXT   NOT NULL REFERENCES users (id),
    lookup     BLOB   NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX recoveries_of_owner ON recoveries (owner);

-- What a channel was called. The row redirects, and keeps the handle from being taken by others.
CREATE TABLE former_handles (
    handle     TEXT   NOT NULL PRIMARY KEY,
    channel    TEXT   NOT NULL REFERENCES channels (id),
    renamed_at BIGINT NOT NULL
);

CREATE INDEX former_handles_of_channel ON former_handles (channel);

ALTER TABLE channels ADD COLUMN category TEXT NOT NULL DEFAULT '';
ALTER TABLE channels ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE channels ADD COLUMN language TEXT NOT NULL DEFAULT '';

CREATE INDEX channels_of_owner ON channels (owner);

-- Who may moderate a channel: asked first, a moderator once they accepted.
CREATE TABLE moderators (
    channel     TEXT   NOT NULL REFERENCES channels (id),
    member      TEXT   NOT NULL REFERENCES users (id),
    invited_at  BIGINT NOT NULL,
    accepted_at BIGINT,
    PRIMARY KEY (channel, member)
);

CREATE INDEX moderators_of_member ON moderators (member);

ALTER TABLE stream_keys ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE stream_keys ADD COLUMN last_used_at BIGINT;

CREATE INDEX stream_keys_of_channel ON stream_keys (channel);

ALTER TABLE broadcasts ADD COLUMN title TEXT NOT NULL DEFAULT '';
ALTER TABLE broadcasts ADD COLUMN category TEXT NOT NULL DEFAULT '';
ALTER TABLE broadcasts ADD COLUMN end_reason TEXT;
