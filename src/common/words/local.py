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
            Parameter("config", "where rackd.toml goes", values="path"),
            Parameter("state_dir", "where keys go", values="path"),
            Parameter("images_dir", "where images go", values="path"),
            Parameter("enrol_port", "the region's enrolment port", Kind.INTEGER),
            Parameter("rpc_port", "the region's RPC port", Kind.INTEGER),
        ),
        example="region.example rg1.TOKEN name=rack-1",
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
            Parameter("gnupg_home", "GnuPG home that holds the key", values="path"),
        ),
        open_keys=Parameter(
            "FTYPE",
            "a file, by what it is (boot-kernel@=...)",
            Kind.BYTES,
            choices=("boot-kernel", "boot-initrd", "squashfs", "root-image.gz", "root-tgz"),
        ),
        example="/srv/images key=FINGERPRINT os=debian release=bookworm "
        "arch=amd64 version=20261121 boot-kernel@=vmlinuz boot-initrd@=initrd.gz",
    ),
    Verb(
        "completion",
        "bash",
        'print what makes bash complete: eval "$(rackferry completion bash)"',
        LOCAL,
        alone="script",
    ),
    Verb(
        "completion",
        "zsh",
        'print what makes zsh complete: eval "$(rackferry completion zsh)"',
        LOCAL,
        alone="script",
    ),
    Verb(
        "check-config",
        "",
        "check a configuration file",
        LOCAL,
        ids=("file",),
        example="/etc/rackferry/regiond.toml",
    ),
)
