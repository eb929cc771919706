"""What the shell does without any daemon (pure)."""

from common.verbs import LOCAL, Kind, Parameter, Verb

VERBS: tuple[Verb, ...] = (
    Verb(
        "join",
        "",
        "enrol this machine as a rack",
        LOCAL,
        ids=("region", "token"),
        parameters=(
            Parameter("name", "the rack's name; default: as the token says"),
            Parameter("config", "where rackd.toml goes"),
            Parameter("state_dir", "where keys go"),
            Parameter("images_dir", "where images go"),
            Parameter("enrol_port", "the region's enrolment port", Kind.INTEGER),
            Parameter("rpc_port", "the region's RPC port", Kind.INTEGER),
        ),
    ),
    Verb(
        "publish-source",
        "",
        "add an image to a signed source tree",
        LOCAL,
        ids=("out",),
        parameters=(
            Parameter("key", "fingerprint of the signing key", required=True),
            Parameter("os", "operating system", required=True),
            Parameter("release", "release", required=True),
            Parameter("arch", "architecture", required=True),
            Parameter("subarch", "kernel, default generic"),
            Parameter("label", "label, default stable"),
            Parameter("version", "version, for example 20261121", required=True),
            Parameter("gnupg_home", "GnuPG home that holds the key"),
        ),
        open_keys=Parameter("FTYPE", "a file, by what it is (boot-kernel@=...)", Kind.BYTES),
    ),
    Verb(
        "check-config",
        "",
        "check a configuration file",
        LOCAL,
        ids=("file",),
    ),
)
