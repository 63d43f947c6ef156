"""TLS to the ``https`` endpoints of a cluster: the ``tls`` section of a cluster."""

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from lbjwt.config.fields import File, ServerName
from lbjwt.config.section import Section, across, given


class BackendTls(Section):
    """TLS to the `https` endpoints of a cluster: versions 1.2 and 1.3. lbjwt reads the files again when they change."""

    ca: File | None = Field(
        default=None,
        description="PEM file with certificate authorities. lbjwt trusts only these for the endpoints. Default: those of the system.",
    )
    certificate: File | None = Field(
        default=None, description="PEM file with the client certificate that lbjwt presents, followed by its chain."
    )
    private_key: File | None = Field(
        default=None,
        validate_default=True,
        description="PEM file with the unencrypted private key of `certificate`.",
    )
    server_name: ServerName | None = Field(
        default=None,
        description="Name or IP address that the certificates of the endpoints must have; a name is also sent to them (SNI). "
        "Default: the host in the address of each endpoint.",
    )
    verify: StrictBool = Field(
        default=True,
        description="false: accept any certificate. Anybody on the network path can then read and change requests, with the tokens in them.",
    )

    @field_validator("private_key")
    @classmethod
    def _certificate_with_key(cls, key: object, info: ValidationInfo) -> object:
        if given(info, "certificate") != (key is not None):
            raise across(
                "give both certificate and private_key",
                "private_key" if key is not None else "certificate",
                at_key=True,
            )
        return key
