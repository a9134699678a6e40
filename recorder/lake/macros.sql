-- Questions that everybody asks. Times are exchange times, `from` <= t < `to`, as TIMESTAMP or ISO text (UTC unless
-- the text names an offset); null leaves that end open. A row that arrived more than a day away from its exchange
-- time is not seen: that day of slack is what lets a question read only the files that it needs.

-- Bars from trades, one row for each bar that [from, to) touches, whole. `complete`: the bar lies inside what
-- coverage calls ok or healed. A complete bar without trades has volume 0 and null prices; one that is not complete
-- has nulls only. An open end is where coverage begins or ends. Sizes of perpetuals are contracts. `vwap` is a double;
-- the rest is exact.
CREATE OR REPLACE TEMP MACRO ohlcv(symbol, "interval", "from", "to") AS TABLE
WITH
traded AS MATERIALIZED (
  SELECT venue, time_bucket(bar_width("interval"), exchange_time) AS open_time,
         first(price ORDER BY exchange_time, trade_id, seq, idx) AS open, max(price) AS high, min(price) AS low,
         last(price ORDER BY exchange_time, trade_id, seq, idx) AS "close", sum(size) AS volume,
         sum(price * size) AS quote_volume, count(*) AS trade_count,
         coalesce(sum(size) FILTER (NOT buyer_is_maker), 0) AS taker_buy_volume
  FROM trade AS t
  WHERE t.symbol = symbol
    AND exchange_time >= time_bucket(bar_width("interval"), utc_from("from"))
    AND exchange_time < time_bucket(bar_width("interval"), utc_to("to") - INTERVAL 1 MICROSECOND) + bar_width("interval")
    AND date BETWEEN first_date("from") - 1 AND last_date("to") + 1
  GROUP BY ALL),
covered AS MATERIALIZED (SELECT * FROM coverage AS c WHERE c.symbol = symbol AND c.channel = 'trade'),
hole AS (SELECT venue, CAST(from_time AS TIMESTAMP) AS from_time, to_time FROM covered WHERE status NOT IN ('ok', 'healed')),
span AS (
  SELECT venue, min(from_time) AS from_time, max(to_time) AS to_time FROM covered GROUP BY venue
  UNION ALL
  SELECT venue, NULL, NULL FROM traded WHERE venue NOT IN (SELECT venue FROM covered) GROUP BY venue),
bar AS (
  SELECT s.venue, s.from_time, s.to_time,
         unnest(generate_series(
           time_bucket(bar_width("interval"), coalesce(utc("from"), s.from_time, t.first_bar)),
           coalesce(utc("to"), s.to_time, t.last_bar + INTERVAL 1 MICROSECOND) - INTERVAL 1 MICROSECOND,
           bar_width("interval"))) AS open_time
  FROM (SELECT venue, CAST(from_time AS TIMESTAMP) AS from_time, CAST(to_time AS TIMESTAMP) AS to_time FROM span) AS s
  LEFT JOIN (SELECT venue, min(open_time) AS first_bar, max(open_time) AS last_bar FROM traded GROUP BY venue) AS t
    USING (venue)),
judged AS (
  SELECT b.venue, b.open_time,
         coalesce(b.from_time <= b.open_time AND b.open_time + bar_width("interval") <= b.to_time, false)
         AND NOT coalesce(h.to_time > b.open_time, false) AS complete
  FROM (SELECT *, open_time + bar_width("interval") - INTERVAL 1 MICROSECOND AS last_time FROM bar) AS b
  ASOF LEFT JOIN hole AS h ON b.venue = h.venue AND b.last_time >= h.from_time)
SELECT
  j.venue, symbol AS symbol, j.open_time,
  CASE WHEN complete THEN t.open END AS open, CASE WHEN complete THEN t.high END AS high,
  CASE WHEN complete THEN t.low END AS low, CASE WHEN complete THEN t.close END AS "close",
  CAST(CASE WHEN complete THEN coalesce(t.volume, 0) END AS DECIMAL(30,12)) AS volume,
  CAST(CASE WHEN complete THEN coalesce(t.quote_volume, 0) END AS DECIMAL(30,12)) AS quote_volume,
  CASE WHEN complete THEN coalesce(t.trade_count, 0) END AS trade_count,
  CAST(CASE WHEN complete THEN coalesce(t.taker_buy_volume, 0) END AS DECIMAL(30,12)) AS taker_buy_volume,
  CASE WHEN complete AND t.volume > 0 THEN CAST(t.quote_volume AS DOUBLE) / CAST(t.volume AS DOUBLE) END AS vwap,
  complete
FROM judged AS j LEFT JOIN traded AS t USING (venue, open_time)
ORDER BY j.venue, j.open_time;

-- The book at `t`: the last whole push with exchange_time <= t, no older than a day.
CREATE OR REPLACE TEMP MACRO book_at(symbol, t) AS TABLE
WITH last AS (
  SELECT venue, max_by({'seq': seq, 'idx': idx, 'exchange_time': exchange_time}, (exchange_time, seq, idx)) AS push
  FROM depth AS p
  WHERE p.symbol = symbol AND exchange_time <= utc(t) AND exchange_time > utc(t) - INTERVAL 1 DAY
    AND date BETWEEN first_date(t) - 1 AND last_date(t)
  GROUP BY venue)
SELECT d.*
FROM depth AS d JOIN last AS l
  ON d.venue = l.venue AND d.seq = l.push.seq AND d.idx = l.push.idx AND d.exchange_time = l.push.exchange_time
WHERE d.symbol = symbol AND d.date BETWEEN first_date(t) - 1 AND last_date(t);

-- Each level of each pushed book as a row; level 1 is the best.
CREATE OR REPLACE TEMP MACRO levels(symbol, "from", "to") AS TABLE
WITH book AS (
  SELECT * FROM depth AS d
  WHERE d.symbol = symbol AND exchange_time >= utc_from("from") AND exchange_time < utc_to("to")
    AND date BETWEEN first_date("from") AND last_date("to"))
SELECT venue, b.symbol, exchange_time, receive_time, seq, version, 'bid' AS side,
       unnest(range(1, len(bid_prices) + 1)) AS level, unnest(bid_prices) AS price, unnest(bid_sizes) AS size
FROM book AS b
UNION ALL
SELECT venue, b.symbol, exchange_time, receive_time, seq, version, 'ask',
       unnest(range(1, len(ask_prices) + 1)), unnest(ask_prices), unnest(ask_sizes)
FROM book AS b;

-- Mid and spread at each bbo push with both sides, exact. `complete`: the quote is known to have held until the next
-- row; false on the last quote before a gap.
CREATE OR REPLACE TEMP MACRO spread(symbol, "from", "to") AS TABLE
WITH
quote AS (
  SELECT *, lead(receive_ns, 1, receive_ns) OVER (PARTITION BY venue ORDER BY seq, idx) AS next_ns
  FROM bbo AS b
  WHERE b.symbol = symbol AND exchange_time >= utc_from("from") AND exchange_time < utc_to("to")
    AND date BETWEEN first_date("from") AND last_date("to")),
covered AS (SELECT * FROM coverage AS c WHERE c.symbol = symbol AND c.channel = 'bbo' AND status IN ('ok', 'healed'))
SELECT q.venue, q.symbol, q.exchange_time, q.receive_time, q.seq, q.bid_price, q.bid_size, q.ask_price, q.ask_size,
       (q.bid_price + q.ask_price) * 0.5 AS mid, q.ask_price - q.bid_price AS spread,
       coalesce(make_timestamp_ns(q.next_ns) <= c.to_time, false) AS complete
FROM quote AS q
ASOF LEFT JOIN covered AS c ON q.venue = c.venue AND q.receive_time >= c.from_time
WHERE q.bid_price IS NOT NULL AND q.ask_price IS NOT NULL
ORDER BY q.exchange_time, q.seq, q.idx;
