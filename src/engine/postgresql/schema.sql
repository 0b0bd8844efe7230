-- Whimbrel's own tables and the functions that stand at both ends of every script. Made once, under the lock.

CREATE SCHEMA whimbrel;
COMMENT ON SCHEMA whimbrel IS 'Which migration scripts this database has, and who may apply the next one. Made by Whimbrel; do not change.';

-- One row. Every effect's transaction locks it and compares the token; raising the token waits for whoever is inside.
CREATE TABLE whimbrel.fence (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  format integer NOT NULL,
  token bigint NOT NULL DEFAULT 0,
  claimed boolean NOT NULL DEFAULT false,
  run_uid text NOT NULL DEFAULT '',
  run bigint NOT NULL DEFAULT 0,
  plan text NOT NULL DEFAULT '',
  cluster text NOT NULL DEFAULT '',
  pid integer,
  backend_start timestamptz,
  raised_at timestamptz,
  -- The journal row that the transaction holding this row works on.
  entry bigint
);
INSERT INTO whimbrel.fence (format) VALUES (1);

CREATE TABLE whimbrel.journal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  state text NOT NULL CHECK (state IN ('Started', 'Applied', 'Undoing', 'Undone')),
  statement integer NOT NULL DEFAULT 0,
  history text NOT NULL,
  rank bigint NOT NULL,
  key text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('Versioned', 'Repeatable')),
  version text,
  description text NOT NULL,
  file text NOT NULL,
  checksum text NOT NULL,
  body text,
  token bigint NOT NULL,
  run_uid text NOT NULL,
  run bigint NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz
);
-- Without the run in it: a second run that starts the same script again must fail here, before the script's text.
CREATE UNIQUE INDEX journal_once ON whimbrel.journal (history, key) WHERE kind = 'Versioned' AND state <> 'Undone';

CREATE TABLE whimbrel.history (
  history text NOT NULL,
  rank bigint NOT NULL,
  key text NOT NULL,
  kind text NOT NULL,
  version text,
  description text NOT NULL,
  file text NOT NULL,
  checksum text NOT NULL,
  -- Repeatable scripts only: what the next change is taken back to.
  body text,
  run_uid text NOT NULL,
  run bigint NOT NULL,
  applied_by text NOT NULL DEFAULT session_user,
  applied_at timestamptz NOT NULL,
  undone_at timestamptz,
  PRIMARY KEY (history, rank)
);
CREATE UNIQUE INDEX history_once ON whimbrel.history (history, key) WHERE kind = 'Versioned' AND undone_at IS NULL;

-- Lock and fence for one transaction. A plain look at the token would be no fence: a newer epoch could raise it
-- between the look and our commit.
CREATE FUNCTION whimbrel.hold(my_token bigint, my_run text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  seen record;
BEGIN
  IF NOT pg_try_advisory_xact_lock(8604243006615348588) THEN
    RAISE EXCEPTION USING ERRCODE = 'WB001', MESSAGE = 'another session holds the lock';
  END IF;
  SELECT token, claimed, run_uid INTO STRICT seen FROM whimbrel.fence FOR UPDATE;
  IF seen.token <> my_token OR NOT seen.claimed OR seen.run_uid <> my_run THEN
    RAISE EXCEPTION USING ERRCODE = 'WB002', MESSAGE = seen.token;
  END IF;
END $$;

CREATE FUNCTION whimbrel.open(
  my_token bigint, my_run text, my_number bigint, a_history text, a_rank bigint, a_key text, a_kind text,
  a_version text, a_description text, a_file text, a_checksum text, a_body text
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  begun bigint;
BEGIN
  PERFORM whimbrel.hold(my_token, my_run);
  INSERT INTO whimbrel.journal
    (state, history, rank, key, kind, version, description, file, checksum, body, token, run_uid, run)
  VALUES ('Started', a_history, a_rank, a_key, a_kind, a_version, a_description, a_file, a_checksum, a_body,
    my_token, my_run, my_number)
  RETURNING id INTO begun;
  UPDATE whimbrel.fence SET entry = begun;
END $$;

-- Takes no argument: a quote left open in a script must find no other quote in what follows it. Rows that this very
-- transaction wrote have its number in xmin, so a script that ended the transaction and began another is noticed.
CREATE FUNCTION whimbrel.close() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  me xid := pg_current_xact_id()::xid;
  done whimbrel.journal;
BEGIN
  UPDATE whimbrel.journal SET state = 'Applied', ended_at = clock_timestamp()
  WHERE id = (SELECT f.entry FROM whimbrel.fence f WHERE f.xmin = me) AND xmin = me AND state = 'Started'
  RETURNING * INTO done;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'WB003', MESSAGE = 'the script ended its own transaction';
  END IF;
  INSERT INTO whimbrel.history
    (history, rank, key, kind, version, description, file, checksum, body, run_uid, run, applied_at)
  VALUES (done.history, done.rank, done.key, done.kind, done.version, done.description, done.file, done.checksum,
    done.body, done.run_uid, done.run, done.ended_at);
  -- The script may have freed the session's lock; the transaction's own is held until the commit.
  PERFORM pg_try_advisory_lock(8604243006615348588);
END $$;

CREATE FUNCTION whimbrel.open_undo(
  my_token bigint, my_run text, my_number bigint, a_history text, a_rank bigint, a_key text
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  younger text;
  begun bigint;
BEGIN
  PERFORM whimbrel.hold(my_token, my_run);
  SELECT key INTO younger FROM whimbrel.history
  WHERE history = a_history AND rank > a_rank AND undone_at IS NULL ORDER BY rank DESC LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'WB004', MESSAGE = younger;
  END IF;
  UPDATE whimbrel.journal SET state = 'Undoing', token = my_token, run_uid = my_run, run = my_number
  WHERE history = a_history AND rank = a_rank AND key = a_key AND state IN ('Started', 'Applied')
  RETURNING id INTO begun;
  IF NOT FOUND THEN
    -- A restored copy has its journal cleared and its history kept.
    INSERT INTO whimbrel.journal
      (state, history, rank, key, kind, version, description, file, checksum, token, run_uid, run)
    SELECT 'Undoing', history, rank, key, kind, version, description, file, checksum, my_token, my_run, my_number
    FROM whimbrel.history WHERE history = a_history AND rank = a_rank AND key = a_key AND undone_at IS NULL
    RETURNING id INTO begun;
  END IF;
  IF begun IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'WB005', MESSAGE = a_key;
  END IF;
  UPDATE whimbrel.fence SET entry = begun;
END $$;

CREATE FUNCTION whimbrel.close_undo() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  me xid := pg_current_xact_id()::xid;
  done whimbrel.journal;
BEGIN
  UPDATE whimbrel.journal SET state = 'Undone', ended_at = clock_timestamp()
  WHERE id = (SELECT f.entry FROM whimbrel.fence f WHERE f.xmin = me) AND xmin = me AND state = 'Undoing'
  RETURNING * INTO done;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'WB003', MESSAGE = 'the script ended its own transaction';
  END IF;
  UPDATE whimbrel.history SET undone_at = done.ended_at
  WHERE history = done.history AND rank = done.rank AND undone_at IS NULL;
  PERFORM pg_try_advisory_lock(8604243006615348588);
END $$;
