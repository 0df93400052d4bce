"""Everything that a session writes into its output folder, gathered from one state."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from helixnb import densities
from helixnb.errors import InputError
from helixnb.expansion import expand_particles
from helixnb.io import output
from helixnb.io.lock import locked_folder
from helixnb.io.star import write_blocks
from helixnb.iteration.outcome import outcome
from helixnb.memory import peak_memory_MB
from helixnb.session.files import versions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from helixnb.core.postprocess import FinalMaps
    from helixnb.iteration.state import State
    from helixnb.particles import ParticleSet
    from helixnb.session.session import Session


def write_outputs(session: Session, out_dir: Path, *, overwrite: bool) -> Path:
    """Write all results of a session.

    Parameters
    ----------
    session : Session
        With a state.
    out_dir : Path
        Folder; made if it does not exist.
    overwrite : bool
        Replace the results of another run there.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        Before the first iteration, or for a folder that cannot be written to or
        holds another run's results.
    """
    state = session.state
    if state is None or state.iteration == 0:
        raise InputError("No poses yet: call session.step() first.")
    source = session.particles.source
    output.claim_folder(out_dir, overwrite=overwrite, protected=[source])
    with locked_folder(out_dir):
        return _written(session, state, out_dir)


def _written(session: Session, state: State, out_dir: Path) -> Path:
    """Write all results into a folder that is claimed."""
    particles = session.particles
    pixel_size_A = particles.pixel_size_A
    masks = {name: mask.to_numpy() for name, mask in session.masks.items()}
    maps = densities.final_maps(state, masks["fsc"], pixel_size_A)
    output.write_maps(
        out_dir,
        {
            "map.mrc": maps.average,
            "map_sharpened.mrc": maps.sharpened,
            **{
                name: grown
                for name, grown in (
                    ("map_symmetrized.mrc", maps.symmetrised),
                    ("map_symmetrized_sharpened.mrc", maps.symmetrised_sharpened),
                )
                if grown is not None
            },
            "half_map_A.mrc": state.half_maps[0],
            "half_map_B.mrc": state.half_maps[1],
            "local_resolution.mrc": session.local_resolution.to_numpy(),
            "mask_refinement.mrc": masks["refinement"],
            "mask_fsc.mrc": masks["fsc"],
            "mask_fsc_tight.mrc": masks["tight"],
        },
        pixel_size_A,
        f"helixnb {version('helixnb')} iteration {state.iteration}: "
        f"{state.symmetry_text}",
    )
    write_poses(out_dir / "particles.star", state, particles)
    if particles.native is not None:
        poses = state.poses.euler(pixel_size_A)
        cs_file = out_dir / output.CRYOSPARC_FILE
        particles.write_cs(cs_file, poses, half=state.survey.half)
    write_symmetry(out_dir / "symmetry.star", session, state)
    output.write_csv(out_dir / "fsc.csv", _fsc_table(session))
    output.write_csv(out_dir / "guinier.csv", _guinier_table(session))
    output.write_csv(out_dir / "history.csv", session.history)
    session.report(out_dir / "report.html")
    # Last, because its presence says that the others are complete.
    output.write_summary(out_dir / "summary.json", summary(session, state, maps))
    return out_dir


def _fsc_table(session: Session) -> Any:
    """FSC curves with their resolution beside the frequency."""
    table = session.fsc.to_dataframe().reset_index()
    with np.errstate(divide="ignore"):
        table.insert(1, "resolution_A", 1 / table["spatial_frequency"].to_numpy())
    return table.rename(columns={"spatial_frequency": "spatial_frequency_per_A"})


def _guinier_table(session: Session) -> Any:
    """Guinier plot, its abscissa with a unit."""
    table = session.guinier.to_dataframe().reset_index()
    return table.rename(columns={"inverse_square": "inverse_square_per_A2"})


def write_poses(path: Path, state: State, particles: ParticleSet) -> None:
    """Write the particles with their poses and half-sets.

    Parameters
    ----------
    path : Path
        STAR file; replaced in one step if it exists.
    state : State
        The iteration that found the poses.
    particles : ParticleSet
        Segments.
    """
    particles.write_star(
        path,
        state.poses.euler(particles.pixel_size_A),
        half=state.survey.half,
        extra=_extra_columns(state),
    )


def write_expanded(path: Path, state: State, particles: ParticleSet) -> None:
    """Write the symmetry mates of all particles.

    Parameters
    ----------
    path : Path
        STAR file; replaced in one step if it exists.
    state : State
        The iteration that found the poses.
    particles : ParticleSet
        Segments.

    Raises
    ------
    InputError
        Without helical symmetry, or before all particles have a pose.
    """
    if state.symmetry is None:
        raise InputError("No helical symmetry is imposed: there is nothing to expand.")
    if not state.used.all():
        raise InputError(
            f"Only {int(state.used.sum())} of {len(particles)} images are in use yet: "
            "expand after the refinement has taken all of them."
        )
    expand_particles(
        particles,
        path,
        state.parameters.symmetry or state.symmetry,
        state.symmetry_order,
        poses=state.poses.euler(particles.pixel_size_A),
        half=state.survey.half,
    )


def _extra_columns(state: State) -> dict[str, NDArray[np.float64]]:
    """Certainty of each pose, under RELION's names."""
    return {
        "rlnLogLikeliContribution": state.poses.log_evidence,
        "rlnNrOfSignificantSamples": np.maximum(
            1.0, np.rint(np.nan_to_num(state.poses.effective_poses, nan=1.0))
        ),
    }


def summary(session: Session, state: State, maps: FinalMaps) -> dict[str, Any]:
    """Headline facts of a run, as plain values for JSON.

    Parameters
    ----------
    session : Session
        Whose run it is.
    state : State
        Its current iteration.
    maps : FinalMaps
        The final maps of that.

    Returns
    -------
    dict
        ``twist_deg``, ``rise_A``, ``resolution_A``, ``iterations``,
        ``symmetry_order``, ``converged``, ``outcome``, ``seconds``,
        ``peak_memory_MB``, ``device``, ``parameters`` and more.
    """
    particles, rows = session.particles, session.history
    return {
        "twist_deg": state.symmetry.twist_deg if state.symmetry else None,
        "rise_A": state.symmetry.rise_A if state.symmetry else None,
        "point_group": state.parameters.point_group,
        **_symmetry_search(session, state),
        "resolution_A": float(state.resolution_A),
        "resolution_0.5_A": session.fsc.attrs["resolution_0.5"],
        "b_factor_A2": maps.b_factor_A2,
        "iterations": state.iteration,
        "symmetry_order": int(state.symmetry_order),
        "symmetry_agreement": state.check.overall if state.check else None,
        "converged": bool(state.converged),
        "outcome": outcome(state, session.parameters.frozen).text,
        "flags": list(state.flags),
        "seconds": float(rows["seconds"].sum()) if len(rows) else 0.0,
        "peak_memory_MB": peak_memory_MB(),
        "device": session.device,
        "seed": session.seed,
        "particles": str(particles.source),
        "n_segments": len(particles),
        "n_filaments": particles.n_filaments,
        "box_px": particles.box_px,
        "pixel_size_A": particles.pixel_size_A,
        "inter_box_A": particles.inter_box_A,
        "outer_diameter_A": 2 * float(state.survey.outer_radius_A),
        "notes": list(particles.notes),
        "parameters": state.parameters.as_dict(),
        "versions": versions(),
    }


def _symmetry_search(session: Session, state: State) -> dict[str, Any]:
    """Return how well twist and rise are known, and what else the maps may have."""
    scores = state.scores
    if scores is None:
        return {"twist_sd_deg": None, "rise_sd_A": None, "candidates": []}
    return {
        "twist_sd_deg": scores.twist_sd_deg,
        "rise_sd_A": scores.rise_sd_A,
        "suggested_point_group": scores.suggested_point_group,
        "dyad_score": scores.dyad.score,
        "candidates": session.candidates.reset_index().to_dict("records"),
    }


def write_symmetry(path: Path, session: Session, state: State) -> None:
    """Write twist, rise and their errors, and the candidates, as a STAR file.

    Parameters
    ----------
    path : Path
        STAR file; replaced in one step if it exists.
    session : Session
        Ranks the candidates.
    state : State
        Its current iteration.
    """
    scores = state.scores
    blocks = {
        "helical_symmetry": pd.DataFrame(
            {
                "rlnHelicalTwist": [state.twist_deg],
                "rlnHelicalRise": [state.rise_A],
                "rlnSymmetryGroup": [state.parameters.point_group],
                "helixnbTwistSd": [scores.twist_sd_deg if scores else np.nan],
                "helixnbRiseSd": [scores.rise_sd_A if scores else np.nan],
            }
        )
    }
    if scores is not None:
        table = session.candidates.reset_index()
        table["relation"] = table["relation"].replace("", "none")
        names = {"twist_deg": "rlnHelicalTwist", "rise_A": "rlnHelicalRise"}
        others = set(table.columns) - names.keys()
        names |= {n: "helixnb" + n.title().replace("_", "") for n in others}
        blocks["candidates"] = table.rename(columns=names)
    write_blocks(path, blocks)
