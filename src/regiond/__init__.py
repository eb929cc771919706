"""The region daemon: imports images from signed sources and serves them to racks.

Floors, lowest first; an import goes down, never up and never in a circle:

1. ``store`` (alone knows SQL) and ``sources`` (what upstream is);
2. ``planning`` (pure) and ``chunk_cache``;
3. ``importer`` runs a plan;
4. ``region``, the use-cases: what can be asked of a region;
5. doors, thin: ``racks`` (enrolment, sessions, images), ``web``, ``admin``;
6. ``parts`` and ``doors``, put together by ``tap``, which alone knows the reactor.
"""
