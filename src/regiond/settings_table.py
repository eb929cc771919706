"""What admins can change of a region at run time: one line for each setting (pure).

The values are in the database, so that all regions have the same; ``config list`` shows
them, docs/configuration.md explains them. A new setting is a new line here and there.
"""

from common.bandwidth import UNLIMITED
from common.settings import LIMITS, LIMITS_ABOVE_0, TRUTH, Setting, Table, whole

PARALLEL_TRANSFERS = "boot_images_parallel_transfers"
MOST_TRANSFERS = 16
IMPORT_RATE = "boot_images_rate_limit"
RACKS_RATE = "racks_rate_limit"
STREAM_UPLOADS = "images_stream_uploads"

_TABLE = Table((
    Setting("boot_images_auto_import", True, TRUTH, "import by itself"),
    Setting("boot_images_import_interval_minutes", 60, whole(1, 10080), "from one import to the next"),
    Setting(PARALLEL_TRANSFERS, 4, whole(1, MOST_TRANSFERS), "files that are fetched at once"),
    Setting(IMPORT_RATE, UNLIMITED, LIMITS, "how fast images come, from all sources together"),
    Setting("boot_images_reserve_mib", 1024, whole(0, 1 << 20), "what an import leaves free on the database's disk"),
    Setting("boot_images_versions", 1, whole(1, 100), "versions that are kept of each image"),
    Setting("events_days", 30, whole(1, 3650), "how long past events can be read"),
    Setting(STREAM_UPLOADS, False, TRUTH, "show uploaded images in the region's own stream"),
    Setting(RACKS_RATE, UNLIMITED, LIMITS_ABOVE_0, "how fast images go out, to racks and others"),
))  # fmt: skip

SETTINGS = _TABLE.settings
setting = _TABLE.find
read_changes = _TABLE.read_changes
all_values = _TABLE.all_values
