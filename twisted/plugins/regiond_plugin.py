from twisted.application.service import ServiceMaker

regiond = ServiceMaker(
    "regiond",
    "regiond.tap",
    "Import boot images from signed sources and serve them to racks.",
    "regiond",
)
