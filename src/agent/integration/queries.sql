-- add: what a process counted of an agent since it last did
INSERT INTO agents.integration_metrics AS m
       (agent, hour, total_requests, successful_requests, failed_requests, events_processed, cache_hits, cache_misses, total_ms)
VALUES (%(agent)s, date_trunc('hour', now()), %(total_requests)s, %(successful_requests)s, %(failed_requests)s, %(events_processed)s,
        %(cache_hits)s, %(cache_misses)s, %(total_ms)s)
    ON CONFLICT (tenant_id, agent, hour) DO UPDATE
   SET total_requests = m.total_requests + excluded.total_requests, successful_requests = m.successful_requests + excluded.successful_requests,
       failed_requests = m.failed_requests + excluded.failed_requests, events_processed = m.events_processed + excluded.events_processed,
       cache_hits = m.cache_hits + excluded.cache_hits, cache_misses = m.cache_misses + excluded.cache_misses, total_ms = m.total_ms + excluded.total_ms

-- totals: what each agent did in the last hours, over all processes
SELECT agent, sum(total_requests)::bigint AS total_requests, sum(successful_requests)::bigint AS successful_requests,
       sum(failed_requests)::bigint AS failed_requests, sum(events_processed)::bigint AS events_processed, sum(cache_hits)::bigint AS cache_hits,
       sum(cache_misses)::bigint AS cache_misses, sum(total_ms) AS total_ms
  FROM agents.integration_metrics WHERE tenant_id = %(tenant_id)s AND hour > now() - make_interval(hours => %(hours)s) GROUP BY agent

-- forget: metrics of long ago
DELETE FROM agents.integration_metrics WHERE tenant_id = %(tenant_id)s AND hour < now() - make_interval(days => %(days)s)
