"""The metrics of a rack (pure). A row here is a row of docs/monitoring.md."""

from common.metrics import OF_DAEMONS, Kind, Metric

GAUGE, COUNTER = Kind.GAUGE, Kind.COUNTER

STATUS = "rackferry_rackd_status"
CONNECTED = "rackferry_rackd_region_connected"
GENERATION = "rackferry_rackd_generation"
REGION_GENERATION = "rackferry_rackd_region_generation"
IMAGES = "rackferry_rackd_images"
IMAGE_BYTES = "rackferry_rackd_image_bytes"
FREE_BYTES = "rackferry_rackd_free_bytes"
SYNCS = "rackferry_rackd_syncs_total"
SYNC_SECONDS = "rackferry_rackd_sync_seconds_total"
SYNC_FAILURES = "rackferry_rackd_sync_failures_total"
FETCHED_BYTES = "rackferry_rackd_fetched_bytes_total"
FETCHED_AGAIN_BYTES = "rackferry_rackd_fetched_again_bytes_total"
SERVED_FILES = "rackferry_rackd_served_files_total"
SERVED_BYTES = "rackferry_rackd_served_bytes_total"
SCRUB_RUNNING = "rackferry_rackd_scrub_running"
SCRUB_CHECKED = "rackferry_rackd_scrub_checked_bytes"
SCRUB_DAMAGED = "rackferry_rackd_scrub_damaged"
SCRUB_END = "rackferry_rackd_scrub_last_end_timestamp_seconds"

METRICS = (
    Metric(STATUS, GAUGE, "1; the status is a label", ("status",)),
    Metric(CONNECTED, GAUGE, "1 while a region answers"),
    Metric(GENERATION, GAUGE, "generation of the tree that machines see; 0: none"),
    Metric(REGION_GENERATION, GAUGE, "generation of the region, as last heard"),
    Metric(IMAGES, GAUGE, "images in the tree that machines see"),
    Metric(IMAGE_BYTES, GAUGE, "their size"),
    Metric(FREE_BYTES, GAUGE, "free space beyond the reserve"),
    Metric(SYNCS, COUNTER, "syncs that ended, by how", ("outcome",)),
    Metric(SYNC_SECONDS, COUNTER, "how long syncs took, together"),
    Metric(SYNC_FAILURES, COUNTER, "syncs that failed, by the reason", ("code",)),
    Metric(FETCHED_BYTES, COUNTER, "bytes that were fetched and kept"),
    Metric(FETCHED_AGAIN_BYTES, COUNTER, "bytes that transfers took and threw away"),
    Metric(SERVED_FILES, COUNTER, "answers with bytes of a file"),
    Metric(SERVED_BYTES, COUNTER, "bytes of files that were asked for by machines"),
    Metric(SCRUB_RUNNING, GAUGE, "1 while a scrub runs"),
    Metric(SCRUB_CHECKED, GAUGE, "bytes read by the running scrub, else by the last"),
    Metric(SCRUB_DAMAGED, GAUGE, "damaged files found by the running scrub, else by the last"),
    Metric(SCRUB_END, GAUGE, "when the last scrub ended"),
    *OF_DAEMONS,
)
