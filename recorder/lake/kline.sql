-- One row a candle: the last word we have on it. `klines_since` reads no file from before its date (a candle
-- cannot arrive before it opens), so that a short question need not read a long history.

CREATE OR REPLACE TEMP MACRO klines_since(first_date) AS TABLE
WITH
-- What REST says after the close stands above every push; before the close it is a push like any other.
word AS (
  SELECT *, coalesce(source = 'rest' AND receive_time >= open_time + candle_width("interval"), false) AS confirms
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

-- Where the push, REST and our own trades do not say the same of a closed candle, one row a field; null: it does not
-- say. Only candles that REST has confirmed, and that were not seen before `first_date`. A push speaks only for
-- candles that no gap of the candle stream touches, trades only for candles that lie inside what their coverage calls
-- ok or healed, and two seconds away from its edges: those are by our clock, candles by the venue's, and a trade takes
-- its time to reach us.
CREATE OR REPLACE TEMP MACRO kline_differences_since(first_date) AS TABLE
WITH
word AS (
  SELECT *, coalesce(source = 'rest' AND receive_time >= open_time + candle_width("interval"), false) AS confirms,
         (seq << 15) | idx AS rank, CAST(trade_count AS DECIMAL(30,12)) AS trades
  FROM kline_update
  WHERE date >= first_date AND open_time >= first_date),
heard AS MATERIALIZED (
  SELECT
    venue, symbol, "interval", open_time, open_time + candle_width("interval") AS close_time,
    [{'field': 'open', 'push': arg_max(open, rank) FILTER (source <> 'rest'),
      'rest': arg_max(open, rank) FILTER (confirms)},
     {'field': 'high', 'push': arg_max(high, rank) FILTER (source <> 'rest'),
      'rest': arg_max(high, rank) FILTER (confirms)},
     {'field': 'low', 'push': arg_max(low, rank) FILTER (source <> 'rest'),
      'rest': arg_max(low, rank) FILTER (confirms)},
     {'field': 'close', 'push': arg_max("close", rank) FILTER (source <> 'rest'),
      'rest': arg_max("close", rank) FILTER (confirms)},
     {'field': 'volume', 'push': arg_max(volume, rank) FILTER (source <> 'rest'),
      'rest': arg_max(volume, rank) FILTER (confirms)},
     {'field': 'quote_volume', 'push': arg_max(quote_volume, rank) FILTER (source <> 'rest'),
      'rest': arg_max(quote_volume, rank) FILTER (confirms)},
     {'field': 'trade_count', 'push': arg_max(trades, rank) FILTER (source <> 'rest'),
      'rest': arg_max(trades, rank) FILTER (confirms)},
     {'field': 'taker_buy_volume', 'push': arg_max(taker_buy_volume, rank) FILTER (source <> 'rest'),
      'rest': arg_max(taker_buy_volume, rank) FILTER (confirms)},
     {'field': 'taker_buy_quote_volume', 'push': arg_max(taker_buy_quote_volume, rank) FILTER (source <> 'rest'),
      'rest': arg_max(taker_buy_quote_volume, rank) FILTER (confirms)}] AS said
  FROM word
  GROUP BY venue, symbol, "interval", open_time
  HAVING bool_or(confirms)),
-- What our own trades make of the candle.
traded AS (
  SELECT t.venue, t.symbol, h."interval", h.open_time,
         MAP {'open': first(t.price ORDER BY t.exchange_time, t.trade_id, t.seq, t.idx), 'high': max(t.price),
              'low': min(t.price), 'close': last(t.price ORDER BY t.exchange_time, t.trade_id, t.seq, t.idx),
              'volume': CAST(sum(t.size) AS DECIMAL(30,12)),
              'quote_volume': CAST(sum(t.price * t.size_base) AS DECIMAL(30,12)),
              'trade_count': CAST(count(*) AS DECIMAL(30,12)),
              'taker_buy_volume': CAST(coalesce(sum(t.size) FILTER (NOT t.buyer_is_maker), 0) AS DECIMAL(30,12)),
              'taker_buy_quote_volume': CAST(coalesce(
                sum(t.price * t.size_base) FILTER (NOT t.buyer_is_maker), 0) AS DECIMAL(30,12))} AS sums
  FROM (SELECT * FROM trade JOIN (SELECT DISTINCT venue, symbol, "interval" FROM heard) USING (venue, symbol)
        WHERE date >= first_date) AS t
  ASOF JOIN heard AS h
    ON t.venue = h.venue AND t.symbol = h.symbol AND t."interval" = h."interval" AND t.exchange_time >= h.open_time
  WHERE t.exchange_time < h.close_time
  GROUP BY ALL),
covered AS MATERIALIZED (
  SELECT venue, symbol, channel, CAST(from_time AS TIMESTAMP) AS from_time, CAST(to_time AS TIMESTAMP) AS to_time,
         status = 'ok' OR (status = 'healed' AND channel = 'trade') AS good
  FROM coverage WHERE channel IN ('trade', 'kline')),
span AS (
  SELECT venue, symbol, min(from_time) FILTER (channel = 'trade') AS trade_from,
         max(to_time) FILTER (channel = 'trade') AS trade_to, min(from_time) FILTER (channel = 'kline') AS kline_from,
         max(to_time) FILTER (channel = 'kline') AS kline_to
  FROM covered GROUP BY venue, symbol),
judged AS (
  SELECT h.*, sums,
         coalesce(h.open_time >= trade_from + INTERVAL 2 SECOND AND h.close_time <= trade_to - INTERVAL 2 SECOND, false)
         AND NOT coalesce(no_trades.to_time > h.open_time - INTERVAL 2 SECOND, false) AS has_trades,
         coalesce(h.close_time > kline_from AND h.close_time <= kline_to, false)
         AND NOT coalesce(no_push.to_time > h.open_time, false) AS has_push
  FROM heard AS h
  LEFT JOIN span USING (venue, symbol)
  LEFT JOIN traded USING (venue, symbol, "interval", open_time)
  ASOF LEFT JOIN (FROM covered WHERE channel = 'trade' AND NOT good) AS no_trades
    ON h.venue = no_trades.venue AND h.symbol = no_trades.symbol
      AND h.close_time + INTERVAL 2 SECOND > no_trades.from_time
  ASOF LEFT JOIN (FROM covered WHERE channel = 'kline' AND NOT good) AS no_push
    ON h.venue = no_push.venue AND h.symbol = no_push.symbol AND h.close_time >= no_push.from_time),
compared AS (
  SELECT venue, symbol, "interval", open_time, one.field AS field, CASE WHEN has_push THEN one.push END AS push,
         one.rest AS rest,
         CASE WHEN NOT has_trades THEN NULL
              WHEN sums IS NOT NULL THEN sums[one.field]
              WHEN one.field NOT IN ('open', 'high', 'low', 'close') THEN CAST(0 AS DECIMAL(30,12)) END AS trades
  FROM (SELECT *, unnest(said) AS one FROM judged))
SELECT * FROM compared
WHERE coalesce(push <> rest, false) OR coalesce(trades <> rest, false) OR coalesce(push <> trades, false)
ORDER BY venue, symbol, "interval", open_time, field;

CREATE OR REPLACE TEMP VIEW kline_difference AS SELECT * FROM kline_differences_since(DATE '1970-01-01');
