-- Scripts without a transaction, statement by statement. Format 2: made with the rest, or added to a schema of format 1.

-- The statement at the cursor was sent outside of a transaction at this time, and no answer has been written down.
ALTER TABLE whimbrel.journal ADD COLUMN outside_at timestamptz;
-- What was there before it, as the probe of its kind needs it.
ALTER TABLE whimbrel.journal ADD COLUMN before text;

-- Moves the cursor of a script that this run has begun. Whoever finds it elsewhere has read something else than what
-- is there, and must not go on.
CREATE FUNCTION whimbrel.move(
  my_token bigint, my_run text, a_history text, a_rank bigint, is_done integer, now_done integer, was_outside boolean,
  goes_outside boolean, a_before text
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  begun bigint;
BEGIN
  PERFORM whimbrel.hold(my_token, my_run);
  UPDATE whimbrel.journal SET statement = now_done, token = my_token, before = a_before,
    outside_at = CASE WHEN goes_outside THEN clock_timestamp() END
  WHERE history = a_history AND rank = a_rank AND state = 'Started' AND run_uid = my_run AND statement = is_done
    AND (outside_at IS NOT NULL) = was_outside
  RETURNING id INTO begun;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'WB006', MESSAGE = 'the journal does not have the script at statement ' || is_done;
  END IF;
  UPDATE whimbrel.fence SET entry = begun;
END $$;

-- Stands behind a statement in a transaction. No argument, for the reason that close() has none.
CREATE FUNCTION whimbrel.moved() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  me xid := pg_current_xact_id()::xid;
BEGIN
  PERFORM 1 FROM whimbrel.journal
  WHERE id = (SELECT f.entry FROM whimbrel.fence f WHERE f.xmin = me) AND xmin = me AND state = 'Started';
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'WB003', MESSAGE = 'the script ended its own transaction';
  END IF;
  PERFORM pg_try_advisory_lock(8604243006615348588);
END $$;

-- Nothing of it has happened: as if it had never been begun.
CREATE FUNCTION whimbrel.forget(my_token bigint, my_run text, a_history text, a_rank bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM whimbrel.hold(my_token, my_run);
  UPDATE whimbrel.fence SET entry = NULL;
  DELETE FROM whimbrel.journal
  WHERE history = a_history AND rank = a_rank AND state = 'Started' AND run_uid = my_run AND statement = 0
    AND outside_at IS NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'WB006', MESSAGE = 'the journal does not have the script at its begin';
  END IF;
END $$;

UPDATE whimbrel.fence SET format = 2;
