"""Regularisation of references and sharpening of the final map."""

from __future__ import annotations

from dataclasses import dataclass

from helixnb.parameters.field import parameter


@dataclass(frozen=True, kw_only=True)
class RegularisationParameters:
    """Regularisation of references and sharpening of the final map."""

    nonuniform: bool = parameter(
        False,
        unit="",
        group="Non-uniform refinement",
        doc="Filter references locally, by cross-validation between the halves, on "
        "top of the filter by the FSC.",
        when="For maps with parts of different order, as most filaments with a "
        "flexible periphery.",
        cryosparc="Use Non-Uniform refinement",
        relion="--blush",
    )
    nonuniform_start_A: float = parameter(
        6.0,
        unit="A",
        low=2,
        high=20,
        group="Non-uniform refinement",
        doc="Resolution from which references are filtered locally.",
        when="About 8 for large subunits.",
        cryosparc="Local processing start resolution",
    )
    b_factor_A2: float | None = parameter(
        None,
        unit="A^2",
        low=0,
        high=2000,
        group="Sharpening",
        doc="Fall-off that the sharpened map undoes; None takes the Guinier fit, 0 "
        "weights by the FSC only. Other programs give it a minus sign.",
        when="If the fit is poor or noise shows.",
        cryosparc="B-Factor to apply",
        relion="--adhoc_bfac",
    )
