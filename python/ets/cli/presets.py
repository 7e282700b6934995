"""`ets presets`: what is published for whose model."""

from __future__ import annotations

from dataclasses import asdict

from ets.cli.output import Output
from ets.cli.shown_console import ShownText as Text
from ets.presets import all_presets


def list_presets(output: Output) -> None:
    """Each with its models, its source and all that it sets."""
    for preset in all_presets().values():
        if output.as_json:
            output.json(asdict(preset))
            continue
        console = output.console
        console.print(Text(preset.name, "bold"), soft_wrap=True)
        models = ", ".join(preset.models) or "none; give its name"
        plain = {key: value for key, value in preset.arguments.items() if key != "policy_options"}
        facts = {"by itself for": models, "source": preset.source}
        facts |= {
            key: repr(v) for key, v in {**plain, **preset.arguments["policy_options"]}.items()
        }
        for key, value in facts.items():
            console.print(Text.assemble((f"  {key:<15}  ", "dim"), value), soft_wrap=True)
        console.print()
