"""
The command line: ``lbjwt serve``, ``check``, ``doctor``, ``explain``, ``schema``, ``demo``, ``keys``, ``revoke``, ``token``.

Exit codes: 0 is done, 1 is refused or failed, 2 is a problem of usage or configuration. What was asked for goes to standard output, everything else
to standard error. A command is imported when it is called, so that ``lbjwt --help`` and ``lbjwt --version`` cost no more than click.
"""

import click

from lbjwt.cli.lazy import LazyGroup
from lbjwt.version import package_version

_COMMANDS = {
    "serve": ("lbjwt.cli.serve:serve", "Verify tokens and balance requests."),
    "check": ("lbjwt.cli.check:check", "Report every problem of a configuration file."),
    "doctor": ("lbjwt.cli.doctor:doctor", "Test what a configuration needs."),
    "explain": ("lbjwt.cli.explain:explain", "Show what would happen to a request, and why."),
    "schema": ("lbjwt.cli.schema:schema", "Print the JSON Schema of the configuration file."),
    "demo": ("lbjwt.cli.demo:demo", "Run an issuer, backends and the balancer on loopback."),
    "keys": ("lbjwt.cli.keys:keys", "Generate keys."),
    "revoke": ("lbjwt.cli.revoke:revoke", "Refuse tokens before they expire."),
    "token": ("lbjwt.cli.token:token", "Mint, inspect and verify tokens."),
}


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def main(context: click.Context, version: bool) -> None:
    """An HTTP load balancer that verifies the JSON Web Token of every request.

    Exit codes: 0 done, 1 refused or failed, 2 a problem of usage or configuration.
    """
    if version:
        click.echo(f"lbjwt {package_version()}")
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
