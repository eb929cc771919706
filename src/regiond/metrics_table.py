"""The metrics of a region (pure). A row here is a row of docs/monitoring.md."""

from common.metrics import OF_DAEMONS, Kind, Metric

GAUGE, COUNTER = Kind.GAUGE, Kind.COUNTER

GENERATION = "rackferry_region_generation"
IMPORTS = "rackferry_imports_total"
IMPORT_SECONDS = "rackferry_import_seconds_total"
IMPORT_BYTES = "rackferry_import_fetched_bytes_total"
IMPORT_BYTES_AGAIN = "rackferry_import_fetched_again_bytes_total"
IMPORT_FAILURES = "rackferry_import_failures_total"
IMPORT_RUNNING = "rackferry_import_running"
LAST_IMPORT_SECONDS = "rackferry_last_import_seconds"
SOURCE_SUCCESS = "rackferry_source_last_success_timestamp_seconds"
SOURCE_LAGGING = "rackferry_source_lagging"
IMAGES = "rackferry_images"
BLOB_BYTES = "rackferry_blob_bytes"
DATABASE_BYTES = "rackferry_database_size_bytes"
FREE_BYTES = "rackferry_database_free_bytes"
CACHE_HITS = "rackferry_chunk_cache_hits_total"
CACHE_MISSES = "rackferry_chunk_cache_misses_total"
RACK_STATUS = "rackferry_rack_status"
RACK_BEHIND = "rackferry_rack_generations_behind"
RACK_LAG_SINCE = "rackferry_rack_lag_since_timestamp_seconds"
RACK_SKEW = "rackferry_rack_clock_skew_seconds"
RACK_RATE = "rackferry_rack_transfer_rate_bytes"
RACK_SYNCED = "rackferry_rack_last_sync_timestamp_seconds"
RACK_BYTES = "rackferry_rack_sent_bytes_total"
SCRUB_RUNNING = "rackferry_scrub_running"
SCRUB_CHECKED = "rackferry_scrub_checked_bytes"
SCRUB_DAMAGED = "rackferry_scrub_damaged"
SCRUB_END = "rackferry_scrub_last_end_timestamp_seconds"
DAMAGED_BLOBS = "rackferry_damaged_files"

METRICS = (
    Metric(GENERATION, GAUGE, "number of the published state"),
    Metric(IMPORTS, COUNTER, "imports that ended, by how", ("outcome",)),
    Metric(IMPORT_SECONDS, COUNTER, "how long imports took, together"),
    Metric(IMPORT_BYTES, COUNTER, "bytes that imports fetched and kept"),
    Metric(IMPORT_BYTES_AGAIN, COUNTER, "bytes that transfers took and threw away"),
    Metric(IMPORT_FAILURES, COUNTER, "what failed in imports, by the reason", ("code",)),
    Metric(IMPORT_RUNNING, GAUGE, "1 while an import runs"),
    Metric(LAST_IMPORT_SECONDS, GAUGE, "how long the last import of this process took"),
    Metric(SOURCE_SUCCESS, GAUGE, "when a boot source was last read well", ("source",)),
    Metric(SOURCE_LAGGING, GAUGE, "1 while a boot source shows older documents", ("source",)),
    Metric(IMAGES, GAUGE, "images in the database", ("state",)),
    Metric(BLOB_BYTES, GAUGE, "bytes of images in the database", ("state",)),
    Metric(DATABASE_BYTES, GAUGE, "size of the database"),
    Metric(FREE_BYTES, GAUGE, "free space on the disk of an embedded database"),
    Metric(CACHE_HITS, COUNTER, "chunks that were asked for and in memory"),
    Metric(CACHE_MISSES, COUNTER, "chunks that were read from the database"),
    Metric(RACK_STATUS, GAUGE, "1; the status is a label", ("rack", "status")),
    Metric(RACK_BEHIND, GAUGE, "generations since the one a rack holds; 0: synced", ("rack",)),
    Metric(RACK_LAG_SINCE, GAUGE, "since when a rack is behind; absent: it is not", ("rack",)),
    Metric(RACK_SKEW, GAUGE, "how far a rack's clock was ahead when it connected", ("rack",)),
    Metric(RACK_RATE, GAUGE, "bytes per second of a sync that is running", ("rack",)),
    Metric(RACK_SYNCED, GAUGE, "when a sync of a rack last ended well", ("rack",)),
    Metric(RACK_BYTES, COUNTER, "bytes of images sent to a rack by this region", ("rack",)),
    Metric(SCRUB_RUNNING, GAUGE, "1 while a scrub runs"),
    Metric(SCRUB_CHECKED, GAUGE, "bytes read by the running scrub, else by the last"),
    Metric(SCRUB_DAMAGED, GAUGE, "damaged files found by the running scrub, else by the last"),
    Metric(SCRUB_END, GAUGE, "when the last scrub ended"),
    Metric(DAMAGED_BLOBS, GAUGE, "files of images that went bad and are not there again yet"),
    *OF_DAEMONS,
)
