-- One row a candle: the last word we have on it. `klines_since` reads no file from before its date (a candle
-- cannot arrive before it opens), so that a short question need not read a long history.

CREATE OR REPLACE TEMP MACRO klines_since(first_date) AS TABLE
WITH
-- What REST says after the close stands above every push; before the close it is a push like any other.
word AS (
  SELECT *, source = 'rest' AND receive_time >= open_time + bar_width("interval") AS confirms
  FROM kline_update
  WHERE date >= first_date),
candle AS (
  SELECT
    venue, symbol, "interval", open_time,
    arg_max({'exchange_time': exchange_time, 'receive_time': receive_time, 'receive_ns': receive_ns,
             'send_ms': send_ms, 'seq': seq, 'idx': idx, 'conn': conn, 'source': source, 'open': open,
             'high': high, 'low': low, 'close': "close", 'volume': volume, 'date': date}, rank) AS last,
    -- V2 sends none of these, and arg_max passes over nulls: what V1 or REST said last stays.
    arg_max(quote_volume, rank) AS quote_volume,
    arg_max(trade_count, rank) AS trade_count,
    arg_max(taker_buy_volume, rank) AS taker_buy_volume,
    arg_max(taker_buy_quote_volume, rank) AS taker_buy_quote_volume,
    bool_or(confirms) AS confirmed,
    min(receive_ns) AS first_ns
  FROM (SELECT *, (CAST(confirms AS BIGINT) << 62) | (seq << 15) | idx AS rank FROM word)
  GROUP BY ALL),
-- When a later candle of the same series was first seen.
followed AS (
  SELECT *, min(first_ns) OVER (
    PARTITION BY venue, symbol, "interval" ORDER BY open_time ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS next_ns
  FROM candle),
decided AS (
  SELECT f.*, CASE WHEN confirmed THEN 'rest' WHEN next_ns + 5_000_000_000 <= m.last_ns THEN 'next' END AS confirmed_by
  FROM followed AS f LEFT JOIN last_moment AS m USING (venue))
SELECT
  venue, symbol, last.exchange_time, last.receive_time, last.receive_ns, last.send_ms, last.seq, last.idx, last.conn,
  last.source, "interval", open_time, last.open, last.high, last.low, last.close, last.volume, quote_volume,
  trade_count, taker_buy_volume, taker_buy_quote_volume, confirmed_by IS NOT NULL AS is_final, confirmed_by, last.date
FROM decided;

CREATE OR REPLACE TEMP VIEW kline AS SELECT * FROM klines_since(DATE '1970-01-01');
