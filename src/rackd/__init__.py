"""The rack daemon: holds the selected images on disk and serves them to machines.

Floors, lowest first; an import goes down, never up and never in a circle:

1. ``library`` (cache and partials) and ``snapshot`` (the tree);
2. ``planning`` (pure) and ``region_client``;
3. ``follower``, the loop: connect, notice, timer -> plan -> fetch -> link -> flip;
4. doors, thin: ``admin`` and ``machines``;
5. ``tap`` puts the process together and alone knows the reactor.
"""
