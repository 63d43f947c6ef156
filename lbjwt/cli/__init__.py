"""
The command line: ``lbjwt serve``, ``check``, ``doctor``, ``import``, ``explain``, ``schema``, ``demo``, ``keys``, ``status``, ``drain``, ``disable``,
``enable``, ``weight``, ``reload``, ``revoke``, ``token``.

Results go to standard output, everything else to standard error. A command is imported when it is called, so that ``lbjwt --help`` is fast.
"""

import difflib
import gc
import importlib

import click

from lbjwt.version import package_version

# the function `serve` of `lbjwt/cli/serve.py`, and so on, each with its help text
_COMMANDS = {
    "serve": "Verify tokens and balance requests.",
    "check": "Report every problem of a configuration file.",
    "doctor": "Test what a configuration needs.",
    "import": "Take over the configuration of nginx, Envoy, HAProxy or an AWS ALB.",
    "explain": "Show what would happen to a request, and why.",
    "schema": "Print the JSON Schema of the configuration file.",
    "demo": "Run an issuer, backends and the balancer on loopback.",
    "keys": "Generate keys.",
    "status": "Show the endpoints of a running balancer.",
    "drain": "Send no new request to an endpoint.",
    "disable": "Drain an endpoint and stop its health checks.",
    "enable": "Take an endpoint back into service.",
    "weight": "Set the weight of an endpoint.",
    "reload": "Have a running balancer read its configuration again.",
    "revoke": "Refuse tokens before they expire.",
    "token": "Mint, inspect and verify tokens.",
}

_MODULES = {**dict.fromkeys(("drain", "disable", "enable", "weight", "status"), "endpoints"), "import": "import_"}
"""Where a command is not in a module of its own name."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name == "serve":
            from lbjwt.process.early import hold_signals

            ctx.obj = ctx.with_resource(hold_signals())  # until this command line ends, however it does
        gc.disable()  # what is imported stays: to look for garbage in it takes a tenth of the time of a start
        ctx.call_on_close(gc.enable)
        module = importlib.import_module(f"lbjwt.cli.{_MODULES.get(cmd_name, cmd_name)}")
        if cmd_name != "serve":  # it goes on importing; `Slots.fork` collects, and enables it again
            gc.enable()
        command: click.Command = getattr(module, "import_" if cmd_name == "import" else cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if meant := difflib.get_close_matches(args[0], _COMMANDS, 1):
                raise click.UsageError(f"{error.message} Did you mean {meant[0]}?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Commands,
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
