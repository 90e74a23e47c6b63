"""`keyhole registry simulate`: a made-up registry with known true effects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("simulate")
@click.option("--patients", required=True, type=int, help="How many rows, 20 to 2,000,000.")
@click.option("--seed", required=True, type=int, help="Same seed and options, same files.")
@click.option(
    "--out",
    default="simulated-registry",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The folder for registry.csv and truth.json.",
)
@click.option("--effect", default=-5.0, show_default=True, help="True effect on ODI at 12 months, points.")
@click.option("--confounding", default=1.0, show_default=True, help="How much patients decide the choice; 0 as by lot.")
@click.option("--hidden", default=0.0, show_default=True, help="Strength of a confounder that is in no column.")
@click.option("--overlap", default="good", show_default=True, type=click.Choice(["good", "poor"]))
@click.option(
    "--missing",
    default="mar",
    show_default=True,
    type=click.Choice(["none", "mcar", "mar", "mnar"]),
    help="By chance, by what is in the table, or by the missing value itself.",
)
@click.option("--missing-share", default=0.2, show_default=True, help="Share of ODI at 12 months that is missing.")
@click.option("--centres", default=8, show_default=True, help="How many centres.")
@click.option("--surgeons", default=24, show_default=True, help="How many surgeons.")
@click.option(
    "--curved",
    default="none",
    show_default=True,
    type=click.Choice(["none", "treatment", "outcome", "both"]),
    help="What follows the square of a measure, which a straight model misses.",
)
@click.option("--json", "as_json", is_flag=True, help="Print truth.json.")
def simulate_command(out: Path, as_json: bool, **chosen: Any) -> None:
    """Write a made-up registry and its truth: registry.csv and truth.json.

    Patients are not drawn by lot: who is healthier gets the small opening more often, so that the plain difference is
    wrong and `keyhole registry compare` can show whether it finds the true one. Nobody in it exists.
    """
    from keyhole.comparison.simulate import Settings, simulate, write_simulated

    found = simulate(Settings(**chosen))
    table, truth = write_simulated(found, out)
    if as_json:
        click.echo(truth.read_text(encoding="utf-8"), nl=False)
        return
    said = found.truth
    click.echo(
        f"{table}: {len(found.table):,} synthetic patients, {said['propensity']['share_miss']:.0%} small opening"
    )
    click.echo(f"{truth}: the true effects, among them")
    for name in ("odi_12m", "leg_12m", "complication", "reoperated", "minutes", "blood_loss_ml"):
        click.echo(f"  {name:<14} {said['effect'][name]:+.3g}")
    click.echo(f"{said['synthetic']} {said['research_use']}")
    click.echo(f"next: keyhole registry compare {table} --outcome odi_12m --treatment miss")
