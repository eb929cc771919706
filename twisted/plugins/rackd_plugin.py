from twisted.application.service import ServiceMaker

rackd = ServiceMaker(
    "rackd",
    "rackd.tap",
    "Hold the selected boot images on disk and serve them to machines.",
    "rackd",
)
