-- Whether pictures are made anew for viewers who cannot have them as they are.
ALTER TABLE channels ADD COLUMN transcodes BIGINT NOT NULL DEFAULT 0 CHECK (transcodes IN (0, 1));
