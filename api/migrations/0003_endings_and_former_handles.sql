-- When a server was last seen to broadcast, and how far the media went, in microseconds since the
-- broadcast began. After a crash the next server goes on from there.

ALTER TABLE broadcasts ADD COLUMN seen_at BIGINT;
ALTER TABLE broadcasts ADD COLUMN edge BIGINT NOT NULL DEFAULT 0;

-- How it came to its end; what ended before this was noted is not known.
ALTER TABLE broadcasts ADD COLUMN ended_how TEXT;

-- Nobody learns from signing up who else has an account: an address may stand in several.
DROP INDEX users_email;
CREATE INDEX users_email ON users (email) WHERE email IS NOT NULL;

-- A handle that somebody gave up is nobody else's for a while.
CREATE TABLE former_user_handles (
    handle     TEXT   NOT NULL PRIMARY KEY,
    owner      TEXT   NOT NULL REFERENCES users (id),
    renamed_at BIGINT NOT NULL
);

CREATE INDEX former_user_handles_of ON former_user_handles (owner, renamed_at);
