"""Compare the coarse-to-fine search with the exhaustive one, image by image.

    python benchmarks/bounded_search.py [--images 400] [--resolution 10] [--snr 0.1]

An iteration from the true map of simulated segments is run twice, once as always, with
cells dropped that hold no posterior mass, and once with every cell of every level.
Printed are the images whose most probable cell (polarity, in-plane angle, tilt,
transverse shift) or most probable pose within it differs, how much less probable the
cell of the bounded search is by the exhaustive posterior where that is so, and the
cells scored over those of the finest complete grid.
"""

from __future__ import annotations

import argparse
import tempfile
from unittest.mock import patch

import mrcfile
import numpy as np

from helixnb.backend import get_backend
from helixnb.core.expectation import Posterior, expectation
from helixnb.core.scoring import Frames
from helixnb.iteration import alignment, particle_pass, refinement
from helixnb.iteration.initial import initial_state
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.simulate import Filaments, Microscope, simulate_segments

TWIST_DEG, RISE_A = -27.0, 12.0
BOX_PX, PIXEL_A = 96, 2.5
PER_FILAMENT = 8

Cell = tuple[int, int, int, int]


class Searched:
    """Best cells and poses of all images of an iteration, in the order of scoring."""

    def __init__(self) -> None:
        """Begin with no images."""
        self.mass: dict[float, dict[Cell, float]] = {}
        self.pose: dict[float, tuple[Cell, int]] = {}
        self.scored = self.grid = 0

    def add(self, chunk: object, posterior: Posterior) -> None:
        """Record a chunk; images are known by the sum of their transforms."""
        cells = posterior.cells
        self.scored += posterior.cells_scored
        self.grid += len(chunk) * posterior.level.cells_per_image
        for image in range(len(chunk)):
            key = float(np.abs(chunk.transforms[image]).sum(dtype=np.float64))
            own = np.flatnonzero(cells.image == image)
            axes = (cells.polarity, cells.psi, cells.tilt, cells.shift)
            names = [tuple(int(axis[i]) for axis in axes) for i in own]
            self.mass[key] = dict(zip(names, posterior.mass[own], strict=True))
            best = own[posterior.mass[own].argmax()]
            name = tuple(int(axis[best]) for axis in axes)
            self.pose[key] = name, int(posterior.weights[best].argmax())


def searched(
    state: State, particles: ParticleSet, parameters: Parameters, pruned_mass: float
) -> Searched:
    """Run an iteration and record what its search found."""
    found = Searched()

    def recorded(
        chunk: object, *args: object, **options: object
    ) -> tuple[Posterior, Frames]:
        posterior, frames = expectation(chunk, *args, **options)
        found.add(chunk, posterior)
        return posterior, frames

    with (
        patch.object(alignment, "PRUNED_MASS", pruned_mass),
        # Complete tables of many images would not fit into memory.
        patch.object(particle_pass, "CHUNK_IMAGES", PER_FILAMENT),
        patch.object(particle_pass, "expectation", recorded),
    ):
        backend = get_backend("cpu")
        refinement.step(state, particles, parameters, backend, _silent)
    return found


def _silent(stage: str, done: int, total: int) -> None:
    """Take no notice of progress."""


def main() -> None:
    """Simulate, search twice and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--resolution", type=float, default=10.0, help="A")
    parser.add_argument("--snr", type=float, default=0.1, help="of the images")
    args = parser.parse_args()
    print(
        "coherence  resolution  images  other cell  other pose  log odds  cells scored"
    )
    with tempfile.TemporaryDirectory() as folder:
        data = simulate_segments(
            folder,
            twist_deg=TWIST_DEG,
            rise_A=RISE_A,
            box_px=BOX_PX,
            pixel_size_A=PIXEL_A,
            filaments=Filaments(
                n_filaments=args.images // PER_FILAMENT,
                segments_per_filament=PER_FILAMENT,
                inter_box_A=40.0,
            ),
            microscope=Microscope(snr=args.snr),
        )
        particles = ParticleSet.from_file(data.particles_star)
        truth = mrcfile.read(data.truth_map).astype(np.float32)
        for coherence in (True, False):
            compare(particles, truth, args.resolution, coherence)


def compare(
    particles: ParticleSet, truth: np.ndarray, resolution_A: float, coherence: bool
) -> None:
    """Print one line."""
    parameters = Parameters(
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        initial_lowpass_A=resolution_A,
        coherence=coherence,
        search_symmetry=False,
    )
    backend = get_backend("cpu")
    state = initial_state(particles, parameters, backend, 0, _silent, truth)
    bounded = searched(state, particles, parameters, alignment.PRUNED_MASS)
    complete = searched(state, particles, parameters, 0.0)
    images = list(complete.pose)
    cells = [k for k in images if bounded.pose[k][0] != complete.pose[k][0]]
    poses = [k for k in images if bounded.pose[k] != complete.pose[k]]
    odds = [
        np.log(complete.mass[k][complete.pose[k][0]])
        - np.log(max(complete.mass[k].get(bounded.pose[k][0], 0.0), 1e-300))
        for k in cells
    ]
    print(
        f"{'on' if coherence else 'off':>9} {resolution_A:>9.1f} A {len(images):>7} "
        f"{len(cells) / len(images):>11.2%} {len(poses) / len(images):>11.2%} "
        f"{max(odds, default=0.0):>9.2f} {bounded.scored / complete.grid:>7.2%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
