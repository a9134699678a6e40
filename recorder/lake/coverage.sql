-- What we have and have not: adjacent intervals of each (venue, symbol, channel), from its first proof of life to
-- the last known moment. Made from `session` and `gap` alone; all times are our clock.

-- The last moment at which we know that the recorder lived. What backfill says and heals, perhaps long after the
-- recorder was stopped, is no sign of its life; the end of a gap is.
CREATE OR REPLACE TEMP VIEW last_moment AS
SELECT venue, max(receive_ns) AS last_ns
FROM (SELECT venue, receive_ns FROM clock
      UNION ALL SELECT venue, receive_ns FROM session WHERE event <> 'backfill'
      UNION ALL SELECT venue, least(to_ns, receive_ns) FROM gap)
GROUP BY venue;

CREATE OR REPLACE TEMP VIEW coverage AS
WITH
stream AS (
  SELECT venue, symbol, channel, min(receive_ns) AS start_ns, any_value(last_ns) AS end_ns
  FROM session JOIN last_moment USING (venue)
  WHERE event = 'live'
  GROUP BY venue, symbol, channel),

-- 1. What was said about a stream, in order. A start that no stop precedes means that the process died some time
--    after its last sign of life: that is where the break begins, unless the next run said better (`lost`, before its
--    `start`, from what the journal held).
sign_of_life AS (
  SELECT venue, seq, idx, receive_ns, event, detail FROM session WHERE event NOT IN ('backfill', 'lost')
  UNION ALL SELECT venue, seq, idx, receive_ns, 'clock', '' FROM clock),
process AS (
  SELECT *, lag(receive_ns) OVER (PARTITION BY venue ORDER BY seq, idx) AS before_ns FROM sign_of_life),
said AS (
  SELECT venue, symbol, channel, seq, idx, event, receive_ns,
         CASE event WHEN 'lost' THEN coalesce(CAST(detail ->> 'since_ns' AS BIGINT), receive_ns) ELSE receive_ns END AS at_ns,
         coalesce(detail ->> 'reason', event) AS reason
  FROM session
  WHERE event IN ('live', 'lost', 'unsubscribe')
  UNION ALL
  SELECT venue, s.symbol, s.channel, seq, idx, event, receive_ns,
         CASE event WHEN 'start' THEN coalesce(before_ns, receive_ns) ELSE receive_ns END,
         CASE event WHEN 'start' THEN 'process down' ELSE 'stopped' END
  FROM process JOIN stream AS s USING (venue)
  WHERE event IN ('start', 'stop')),

-- 2. Breaks: from the first word that ends life to the next proof of it, or to the end.
turn AS (
  SELECT *,
         lag(event) OVER story AS before,
         min(receive_ns) FILTER (event = 'live') OVER later AS live_ns,
         bool_or(event = 'start') OVER later AS started_again
  FROM said
  WINDOW story AS (PARTITION BY venue, symbol, channel ORDER BY seq, idx),
         later AS (PARTITION BY venue, symbol, channel ORDER BY seq, idx ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)),
break AS (
  SELECT venue, symbol, channel, seq, at_ns AS from_ns, live_ns AS to_ns, reason,
         reason = 'stopped' AND live_ns IS NULL AND NOT coalesce(started_again, false) AS is_end,
         CASE event WHEN 'unsubscribe' THEN 'not_recording' ELSE 'gap' END AS status
  FROM turn
  WHERE event = 'unsubscribe' OR (event IN ('lost', 'stop', 'start') AND before = 'live')),

-- 3. Gap rows: exact. A gap is healed once any row says so of its whole length, whichever recorder wrote it: seqs of
--    different recorders cannot be compared. The seq is that of the first row, which capture wrote.
told AS (
  SELECT venue, symbol, channel, from_ns, max(to_ns) AS to_ns, arg_min(seq, receive_ns) AS seq,
         arg_min(reason, receive_ns) AS reason,
         CASE WHEN max(to_ns) FILTER (healed) >= max(to_ns) THEN 'healed' ELSE 'gap' END AS status
  FROM gap
  GROUP BY venue, symbol, channel, from_ns),
bad AS (
  SELECT venue, symbol, channel, from_ns, to_ns, reason, status FROM told
  UNION ALL
  -- A break that a later gap row tells of is that row's matter.
  SELECT venue, symbol, channel, from_ns, to_ns, reason, status FROM break AS b
  WHERE NOT is_end AND (status = 'not_recording' OR NOT EXISTS (
    SELECT 1 FROM told AS t
    WHERE t.venue = b.venue AND t.symbol = b.symbol AND t.channel = b.channel AND t.seq > b.seq
      AND t.to_ns > b.from_ns AND t.from_ns < coalesce(b.to_ns, t.to_ns)))),

-- A stream's story ends at the last sign of life; or where an ordered stop ended it, until there is a start again.
span AS (
  SELECT venue, symbol, channel, start_ns, least(end_ns, stop_ns) AS end_ns
  FROM stream LEFT JOIN (
    SELECT venue, symbol, channel, max(from_ns) AS stop_ns FROM break WHERE is_end GROUP BY venue, symbol, channel)
    USING (venue, symbol, channel)),

-- 4. Per status, what overlaps is one interval, with the reason of its beginning.
within AS (
  SELECT venue, symbol, channel, status, reason,
         greatest(from_ns, start_ns) AS from_ns, least(coalesce(to_ns, end_ns), end_ns) AS to_ns
  FROM bad JOIN span USING (venue, symbol, channel)
  WHERE from_ns < end_ns AND coalesce(to_ns, end_ns) > start_ns),
numbered AS (
  SELECT *, count(*) FILTER (from_ns >= reached) OVER (story ROWS UNBOUNDED PRECEDING) AS island
  FROM (SELECT *, max(to_ns) OVER (story ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
        FROM within
        WHERE to_ns > from_ns
        WINDOW story AS (PARTITION BY venue, symbol, channel, status ORDER BY from_ns, to_ns))
  WINDOW story AS (PARTITION BY venue, symbol, channel, status ORDER BY from_ns, to_ns)),
island AS (
  SELECT venue, symbol, channel, status, min(from_ns) AS from_ns, max(to_ns) AS to_ns, arg_min(reason, from_ns) AS reason
  FROM numbered
  GROUP BY venue, symbol, channel, status, island),

-- 5. Cut the whole span at every edge; each piece takes the strongest status that covers it.
edge AS (
  SELECT venue, symbol, channel, start_ns AS ns FROM span
  UNION SELECT venue, symbol, channel, end_ns FROM span
  UNION SELECT venue, symbol, channel, from_ns FROM island
  UNION SELECT venue, symbol, channel, to_ns FROM island),
piece AS (
  SELECT venue, symbol, channel, ns AS from_ns,
         lead(ns) OVER (PARTITION BY venue, symbol, channel ORDER BY ns) AS to_ns
  FROM edge),
judged AS (
  SELECT p.venue, p.symbol, p.channel, p.from_ns, p.to_ns,
         CASE WHEN off.to_ns > p.from_ns THEN {'status': 'not_recording', 'reason': off.reason}
              WHEN lost.to_ns > p.from_ns THEN {'status': 'gap', 'reason': lost.reason}
              WHEN mended.to_ns > p.from_ns THEN {'status': 'healed', 'reason': mended.reason}
              ELSE {'status': 'ok', 'reason': ''} END AS is
  FROM piece AS p
  ASOF LEFT JOIN (FROM island WHERE status = 'not_recording') AS off
    ON p.venue = off.venue AND p.symbol = off.symbol AND p.channel = off.channel AND p.from_ns >= off.from_ns
  ASOF LEFT JOIN (FROM island WHERE status = 'gap') AS lost
    ON p.venue = lost.venue AND p.symbol = lost.symbol AND p.channel = lost.channel AND p.from_ns >= lost.from_ns
  ASOF LEFT JOIN (FROM island WHERE status = 'healed') AS mended
    ON p.venue = mended.venue AND p.symbol = mended.symbol AND p.channel = mended.channel AND p.from_ns >= mended.from_ns
  WHERE p.to_ns IS NOT NULL),

-- 6. Neighbours that say the same are one.
joined AS (
  SELECT *, count(*) FILTER (changed) OVER (story ROWS UNBOUNDED PRECEDING) AS run
  FROM (SELECT *, "is" IS DISTINCT FROM lag("is") OVER (PARTITION BY venue, symbol, channel ORDER BY from_ns) AS changed
        FROM judged)
  WINDOW story AS (PARTITION BY venue, symbol, channel ORDER BY from_ns))
SELECT venue, symbol, channel,
       make_timestamp_ns(min(from_ns)) AS from_time, make_timestamp_ns(max(to_ns)) AS to_time,
       any_value("is".status) AS status, any_value("is".reason) AS reason
FROM joined
GROUP BY venue, symbol, channel, run
ORDER BY venue, symbol, channel, from_time;
