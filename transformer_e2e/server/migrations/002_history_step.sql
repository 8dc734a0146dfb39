-- Readers ask for rows by `_step`, page after page; without a column each page would parse the whole history.
ALTER TABLE history ADD COLUMN step INTEGER;
UPDATE history SET step = line;
CREATE INDEX history_by_step ON history (run_id, step);
