-- When a server was last seen to broadcast, and how far the media went, in microseconds since the
-- broadcast began. After a crash the next server goes on from there.

ALTER TABLE broadcasts ADD COLUMN seen_at BIGINT;
ALTER TABLE broadcasts ADD COLUMN edge BIGINT NOT NULL DEFAULT 0;

-- How it came to its end; what ended before this was noted is not known.
ALTER TABLE broadcasts ADD COLUMN ended_how TEXT;
