"""The run configuration: the schema, TOML in and out, overrides, and messages a person can act on."""

from tuiae.config.document import (
    SET,
    build_config,
    did_you_mean,
    dump_config,
    known_keys,
    load_config,
    parse_override,
    read_document,
    settings_of,
)
from tuiae.config.schema import (
    ENCODERS,
    FAMILIES,
    NAME_PATTERN,
    NAME_WORDS,
    NOISE_KINDS,
    VARIATIONAL,
    Activation,
    CheckpointSection,
    DataSection,
    Head,
    Initialisation,
    ModelSection,
    NoiseSection,
    OutputActivation,
    Precision,
    RunConfig,
    Section,
    TrainingSection,
)
