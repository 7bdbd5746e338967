-- Who writes to a room does so with the fencing number of the last that opened it.
ALTER TABLE rooms ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;

-- Which server of a cluster a broadcast is on; only that one takes it up again.
ALTER TABLE broadcasts ADD COLUMN node TEXT;
